use super::{Client, checkout, conditions, keys, products, relay};

/// The stores hold the same contract, so a selection will do: what races, and what asks in SQL.
#[tokio::test]
async fn the_shop_is_the_same_on_postgresql() {
    let database = headwater_testkit::postgres::database().await;
    let shop = Client::over(database.url()).await;
    checkout::a_sale_from_cart_to_cancellation(&shop).await;
    checkout::one_order_however_often_it_comes(&shop).await;
    checkout::one_order_for_one_of_the_buyers(&shop).await;
    keys::one_change_however_often_it_comes(&shop).await;
    conditions::no_command_to_another_version(&shop).await;
    products::a_list_as_far_as_its_reader_wants(&shop).await;
    relay::the_recorded_requests_are_answered_as_recorded(&shop).await;
    shop.log.close().await;
}
