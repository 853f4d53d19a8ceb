#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
struct Cart {
    cart_id: String,
}

fn main() {}
