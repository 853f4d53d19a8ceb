#[derive(headwater::Event)]
#[event(category = "")]
enum Empty {
    #[event(name = "cart.opened")]
    Opened,
}

#[derive(headwater::Event)]
#[event(category = "shopping-cart")]
enum Hyphen {
    #[event(name = "cart.opened")]
    Opened,
}

fn main() {}
