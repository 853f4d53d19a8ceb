#[derive(headwater::ReadModel)]
#[read_model(name = "carts")]
struct OnTheStruct {
    #[key]
    cart_id: String,
}

#[derive(headwater::ReadModel)]
#[read_model(table = "carts")]
struct OnAField {
    #[key]
    #[column(txt)]
    cart_id: String,
    #[column(text, json)]
    lines: Vec<String>,
}

fn main() {}
