#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened")]
    Opened,
    #[event(name = "cart.opened")]
    Closed,
}

// Who uses the type hears nothing else.
fn main() {
    headwater::Decoder::<CartEvent>::new().unwrap();
}
