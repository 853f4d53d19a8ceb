#[derive(headwater::ReadModel)]
#[read_model(table = "Cart-Summaries")]
struct Cart {
    #[key]
    cart_id: String,
}

#[derive(headwater::ReadModel)]
#[read_model(table = "a23456789_123456789_123456789_123456789_123456789_12")]
struct Long {
    #[key]
    cart_id: String,
}

fn main() {}
