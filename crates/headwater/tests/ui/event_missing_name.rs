#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    ItemAdded {
        sku: String,
    },
    #[event(version = 2)]
    Opened,
}

fn main() {}
