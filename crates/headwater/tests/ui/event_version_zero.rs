#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened", version = 0)]
    Opened,
    #[event(name = "cart.closed", version = 4294967295)]
    Closed,
}

fn main() {}
