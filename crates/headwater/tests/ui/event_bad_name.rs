#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "")]
    Opened,
    #[event(name = "cart.\n")]
    Closed,
}

fn main() {}
