#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened")]
    Opened,
    #[event(name = "cart.opened")]
    Closed,
}

fn main() {}
