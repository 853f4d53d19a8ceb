#[derive(headwater::Event)]
#[event(categroy = "cart")]
enum OnTheEnum {
    #[event(name = "cart.opened")]
    Opened,
}

#[derive(headwater::Event)]
#[event(category = "cart")]
enum OnAVariant {
    #[event(nmae = "cart.opened")]
    Opened,
    #[event(name = "cart.closed", name = "cart.shut")]
    Closed,
    #[event(name = "cart.item_added")]
    ItemAdded {
        #[event(rename = "SKU")]
        sku: String,
    },
}

fn main() {}
