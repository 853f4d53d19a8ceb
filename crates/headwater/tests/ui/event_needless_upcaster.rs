#[derive(headwater::Event)]
#[event(category = "cart")]
enum CartEvent {
    #[event(name = "cart.opened", upcast(1 = fn same))]
    Opened,
    #[event(name = "cart.closed", version = 2, upcast(1 = fn same, 2 = fn same))]
    Closed,
    #[event(name = "cart.emptied", version = 2, upcast(1 = fn same, 1 = fn same))]
    Emptied,
    #[event(name = "cart.moved", version = 2, upcast(0 = fn same, 1 = fn same))]
    Moved,
}

fn same(data: String) -> String {
    data
}

fn main() {}
