#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
struct Cart {
    #[key]
    cart_id: Option<String>,
    #[key]
    #[column(json)]
    lines: Vec<String>,
    #[key(first)]
    shop: String,
}

fn main() {}
