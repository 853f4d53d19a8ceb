#[derive(headwater::ReadModel)]
struct CartSummary {
    #[key]
    cart_id: String,
}

fn main() {}
