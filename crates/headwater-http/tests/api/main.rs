//! The log over HTTP, on both databases.
#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod access;
mod append;
mod changes;
mod consumers;
mod described;
mod feed;
mod mounted;
mod operate;
mod pages;
mod server;
mod support;

use support::Service;

/// Makes a test of each behaviour on each database.
macro_rules! on_both_databases {
    ($($topic:ident: $($behaviour:ident),+;)+) => {
        mod sqlite {
            $(mod $topic {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $behaviour() {
                    crate::$topic::$behaviour(crate::Service::on_sqlite().await).await;
                })+
            })+
        }

        mod postgres {
            $(mod $topic {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $behaviour() {
                    crate::$topic::$behaviour(crate::Service::on_postgres().await).await;
                })+
            })+
        }
    };
}

on_both_databases! {
    append:
        an_append_is_answered_with_versions_and_positions,
        data_and_metadata_are_kept_byte_for_byte,
        the_same_event_ids_again_change_nothing,
        a_wrong_version_is_refused_where_it_stood,
        what_cannot_be_accepted_changes_nothing,
        of_many_lines_the_wrong_ones_are_rejected_by_their_numbers,
        the_wrong_ones_of_an_array_are_rejected_by_their_places,
        a_store_that_fails_in_the_middle_is_told,
        many_lines_again_are_duplicates,
        an_append_of_unknown_outcome_is_settled_by_its_ids;
    pages:
        a_stream_is_read_page_by_page_in_both_directions,
        the_log_is_read_page_by_page_in_both_directions,
        a_page_that_stays_as_it_is_may_be_kept,
        a_filter_is_a_list_of_names_and_beginnings,
        a_page_that_cannot_be_is_refused;
    feed:
        each_event_comes_once_and_in_order,
        a_client_that_was_cut_off_goes_on_behind_what_it_has,
        where_nothing_is_wanted_the_client_is_told_how_far_it_is,
        a_feed_begins_where_it_is_told,
        a_place_that_is_none_is_refused;
    consumers:
        a_consumer_gets_what_it_has_not_acknowledged,
        a_consumer_waits_for_events,
        a_place_that_an_operator_has_moved_is_not_acknowledged,
        a_consumer_that_is_not_there_is_not_found;
    changes:
        a_row_comes_with_the_event_that_has_changed_it,
        a_client_that_comes_back_misses_no_row,
        what_cannot_be_followed_is_refused;
    operate:
        projections_are_seen_paused_and_resumed;
}
