#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
enum Cart {
    Open,
}

#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
struct Tuple(String, i64);

fn main() {}
