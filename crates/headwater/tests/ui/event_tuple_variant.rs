#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.item_added")]
    ItemAdded(String, u32),
    #[event(name = "cart.closed")]
    Closed(),
    #[event(name = "cart.opened")]
    Opened(#[serde(with = "text")] String),
}

fn main() {}
