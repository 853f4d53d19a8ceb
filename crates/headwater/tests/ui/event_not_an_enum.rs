#[derive(headwater::Event)]
#[event(category = "cart")]
struct Opened {
    customer: String,
}

#[derive(headwater::Event)]
#[event(category = "cart")]
enum Never {}

#[derive(headwater::Event)]
#[event(category = "cart")]
enum Generic<T> {
    #[event(name = "cart.opened")]
    Opened { by: T },
}

fn main() {}
