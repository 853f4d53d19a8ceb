//! What the log promises of order, under writers that commit in another order than they began.

mod ceiling;
mod follower;
mod groups;
mod happened_before;
mod place;
mod rounds;
mod swap;
mod woken;
