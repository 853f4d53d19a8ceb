#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
#[allow(non_snake_case)]
struct Cart {
    #[key]
    cartId: String,
    position: u64,
    #[column(name = "total price")]
    total: i64,
}

#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
struct Twice {
    #[key]
    cart_id: String,
    total: i64,
    #[column(name = "total")]
    price: i64,
}

fn main() {}
