#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened", version = 2)]
    Opened,
    #[event(name = "cart.closed", version = 4, upcast(1 = fn same, 3 = fn same))]
    Closed,
}

fn same(data: String) -> String {
    data
}

fn main() {}
