#[derive(headwater::Event)]
enum ShopEvent {
    Cart,
    Order { number: u64 },
}

#[derive(headwater::Event)]
enum CategoryForgotten {
    #[event(name = "cart.opened")]
    Opened,
}

fn main() {}
