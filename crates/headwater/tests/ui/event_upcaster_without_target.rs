#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.item_added", version = 2, upcast(1 = ItemAddedV1))]
    ItemAdded { sku: String, quantity: u32 },
    #[event(name = "cart.closed", version = 3, upcast(1 = fn same, 2 = ClosedV2))]
    Closed,
}

struct ItemAddedV1 {
    sku: String,
}

struct ClosedV2;

fn same(data: String) -> String {
    data
}

fn main() {}
