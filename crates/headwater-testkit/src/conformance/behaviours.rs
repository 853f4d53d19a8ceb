//! The list of all behaviours, by topic: what a store promises.

/// Makes a module with a test for each behaviour of the suite, on a fresh log for each of them.
///
/// The second argument is the path of an async function that yields a
/// [`Harness`](crate::conformance::Harness).
#[macro_export]
macro_rules! conformance {
    ($name:ident, $factory:path) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::behaviours! {
            $factory;
            append:
                an_append_is_applied_where_its_expected_version_holds,
                a_conflict_leaves_no_stream_behind,
                versions_are_1_2_3_without_holes,
                positions_rise_in_the_order_of_the_append,
                an_append_to_many_streams_is_all_or_nothing,
                a_conflict_names_the_first_stream_that_is_elsewhere,
                events_of_one_append_lie_in_the_log_in_the_order_given,
                a_stream_that_comes_again_in_an_append_goes_on,
                concurrent_appends_leave_no_hole_in_a_stream,
                of_writers_with_one_expected_version_exactly_one_wins,
                appends_to_the_same_streams_in_opposite_orders_do_not_deadlock,
                a_refused_append_takes_no_other_with_it,
                appends_under_load_leave_no_tasks_behind;
            idempotency:
                the_same_append_again_gives_the_first_result,
                an_append_is_recognised_after_later_ones,
                an_append_to_many_streams_again_gives_the_first_result,
                the_same_id_with_other_content_is_refused,
                the_same_ids_in_another_append_are_refused,
                a_taken_id_is_told_before_a_conflict,
                of_the_same_append_many_times_at_once_one_is_applied,
                an_id_that_rivals_use_at_once_is_taken_once;
            limits:
                what_is_exactly_at_a_limit_is_taken,
                what_is_over_a_limit_is_refused_by_its_size,
                the_size_of_an_append_counts_all_its_streams,
                a_name_that_is_no_name_is_refused,
                data_and_metadata_that_do_not_fit_are_refused,
                an_append_that_contradicts_itself_is_refused,
                limits_can_be_set,
                a_time_out_of_range_fails_alone;
            bytes:
                data_and_metadata_read_back_exactly,
                delicate_data_is_recognised_when_it_is_tried_again,
                a_large_event_reads_back_exactly,
                names_are_byte_exact,
                times_are_kept_to_the_microsecond,
                the_time_of_recording_is_the_stores,
                ids_read_back_exactly;
            read:
                a_stream_reads_forward_from_a_version,
                a_stream_reads_backward_from_a_version,
                what_does_not_exist_reads_as_nothing,
                the_log_reads_from_a_position,
                a_long_log_is_read_whole_in_both_directions,
                a_filter_yields_what_it_names,
                a_filter_yields_a_conversation_or_one_event,
                a_filter_yields_a_span_of_time,
                dropping_a_reading_midway_leaves_the_log_usable,
                readings_that_stand_still_hold_nobody_up,
                a_slow_reader_sees_all_while_writers_go_on;
            snapshots:
                a_long_stream_is_loaded_from_its_snapshot,
                a_snapshot_of_other_code_is_replaced,
                snapshot_and_tail_equal_a_full_replay,
                a_snapshot_of_another_past_is_replaced;
            streams:
                a_stream_tells_its_version_and_times,
                streams_are_listed_by_name,
                streams_are_listed_by_category,
                a_refused_append_makes_no_stream,
                many_streams_can_be_listed_in_part;
            health:
                a_log_that_only_headwater_has_written_has_no_fault,
                an_examination_of_a_new_log_finds_no_error;
            ceiling:
                the_ceiling_of_an_empty_log_is_its_start,
                an_acknowledged_append_lies_below_the_ceiling,
                a_refused_append_does_not_hold_the_ceiling,
                nothing_appears_below_the_ceiling,
                nothing_is_read_past_an_open_transaction,
                looks_that_nobody_waits_for_do_not_pile_up,
                the_ceiling_comes_to_rest_at_the_last_event;
            subscribe:
                each_event_comes_once_and_in_order,
                each_subscriber_gets_every_event,
                a_subscription_starts_behind_a_position,
                a_waiting_subscriber_is_woken_at_once,
                an_event_without_a_hint_is_found_by_the_poll,
                a_cursor_moves_past_what_its_filter_leaves_out,
                batches_keep_to_their_limit,
                a_hundred_subscribers_cost_one_reading,
                an_event_that_comes_during_a_look_is_found_at_once,
                large_events_come_in_several_batches,
                a_subscriber_of_a_restored_log_gets_its_events,
                a_slow_subscriber_among_others_misses_nothing,
                dropped_futures_of_a_subscription_lose_nothing;
            subscriptions:
                a_subscription_goes_on_behind_what_was_acknowledged,
                what_was_acknowledged_stays_so,
                a_subscription_begins_where_it_is_told,
                an_operator_moves_and_removes_a_subscription,
                a_subscription_that_was_made_anew_is_another_one,
                a_subscription_that_waits_learns_that_it_was_moved,
                a_place_is_moved_on_by_one_who_knows_this_log_alone,
                a_subscription_of_another_log_is_refused,
                dropped_subscribers_miss_nothing;
            cancellation:
                a_cancelled_append_is_there_as_a_whole_or_not_at_all,
                dropped_calls_of_every_kind_leave_the_log_usable,
                a_call_that_is_dropped_wherever_it_waits_swallows_no_append;
            append_in:
                events_share_the_fate_of_the_users_transaction,
                events_are_seen_from_the_commit_on,
                a_refused_append_leaves_the_transaction_usable,
                a_transaction_begun_in_sql_takes_events,
                an_append_that_was_committed_is_recognised,
                a_subscriber_gets_events_of_such_a_transaction;
            append_only:
                events_cannot_be_changed_or_removed;
            migrate:
                migrating_again_changes_nothing,
                sixteen_starts_at_once_all_succeed,
                a_newer_schema_is_refused,
                an_older_schema_is_refused_where_it_may_not_be_migrated,
                a_schema_is_a_log_of_its_own;
            lease:
                a_lease_is_one_instances,
                a_lease_runs_out,
                of_many_instances_one_gets_a_lease,
                an_earlier_owner_cannot_write,
                an_amendment_revokes_the_lease,
                an_instance_that_stops_hands_its_work_over,
                the_work_of_an_instance_that_is_gone_is_taken_over,
                instances_share_the_projections_evenly,
                a_build_that_was_left_is_finished,
                a_second_rebuild_is_refused;
            operator:
                a_rebuild_keeps_to_its_rate,
                a_paused_projection_stands_still_until_it_is_resumed,
                a_paused_projection_can_be_rebuilt,
                an_event_is_left_out_by_an_operators_word,
                a_projection_is_moved_to_a_position,
                a_running_instance_rebuilds_what_it_is_asked_for,
                a_build_is_held_back_promoted_and_left_again,
                a_rebuild_can_be_held_back,
                a_row_that_was_altered_by_hand_is_named,
                tables_of_every_kind_are_compared,
                a_verification_removes_what_it_has_built,
                a_read_model_is_verified_while_events_come_in,
                a_generation_is_dropped_by_its_number,
                a_build_that_is_dropped_is_not_asked_for_any_more,
                a_build_that_is_held_back_can_be_dropped,
                no_act_but_a_seek_adopts_a_checkpoint_of_another_log,
                a_projection_that_cannot_be_begun_holds_up_no_other,
                changed_code_builds_itself_beside_the_old,
                an_act_on_an_unknown_projection_is_refused;
            parking:
                a_parked_event_holds_its_stream_and_no_other,
                an_event_parked_alone_holds_nothing,
                an_event_is_tried_again_as_often_as_declared,
                what_cannot_be_decoded_is_parked,
                a_rebuild_parks_what_it_cannot_apply,
                what_waits_beside_an_event_that_fails_is_set_aside_as_well,
                what_waits_behind_an_event_that_is_left_out_goes_on,
                what_waits_is_not_overtaken_under_another_policy;
            inline:
                an_append_changes_an_inline_read_model_itself,
                an_append_that_an_inline_projection_cannot_apply_is_refused,
                an_append_goes_on_without_what_is_to_set_it_aside,
                what_others_append_is_applied_to_an_inline_read_model,
                two_processes_change_one_inline_read_model,
                an_inline_read_model_is_caught_up_with_under_load,
                an_append_behind_an_open_transaction_is_refused_in_time,
                a_rebuild_is_handed_over_to_appends_that_go_on,
                a_paused_inline_projection_holds_up_no_append,
                a_projection_that_is_not_inline_any_more_holds_up_no_append,
                an_open_transaction_holds_off_what_is_to_change_inline,
                an_append_of_an_older_snapshot_is_not_passed_over;
            partitions:
                partitions_hold_the_rows_of_a_whole_fold,
                instances_share_the_partitions_of_a_fold,
                another_number_of_partitions_is_built_anew,
                a_partitioned_generation_is_rebuilt_verified_and_left_again,
                an_operator_acts_on_all_partitions;
            checkpoint:
                a_new_checkpoint_lies_before_the_first_event,
                rows_and_checkpoint_move_in_one_transaction,
                a_stale_checkpoint_does_not_move,
                a_stale_checkpoint_is_not_amended,
                a_checkpoint_knows_the_last_event_below_it,
                a_held_checkpoint_makes_the_next_one_wait,
                a_transaction_with_a_refused_statement_cannot_be_committed,
                a_transaction_with_a_dropped_statement_cannot_be_committed,
                a_retired_generation_does_not_move,
                a_dropped_commit_is_whole_or_nothing,
                dropped_transactions_leave_the_store_usable,
                a_promoted_generation_takes_the_place_of_the_one_before,
                a_failure_is_noted_and_taken_back,
                a_stale_failure_is_not_noted,
                one_can_wait_for_a_read_model;
            read_model:
                every_type_of_column_reads_back,
                every_type_of_column_can_be_queried,
                every_type_can_be_a_parameter,
                a_key_may_be_of_any_type,
                a_column_may_have_the_name_of_a_keyword,
                text_with_a_nul_is_refused,
                a_value_that_its_column_cannot_hold_is_refused,
                rows_are_replaced_and_removed_by_their_keys,
                a_batch_may_be_empty_or_large,
                sql_of_the_users_runs_in_the_transaction,
                the_public_views_can_be_queried,
                a_wrong_query_is_refused;
            commands:
                commands_that_come_together_share_an_append,
                what_was_decided_on_a_failed_append_is_decided_anew,
                no_decision_is_stored_behind_an_event_that_it_has_not_seen,
                a_refusal_waits_for_what_it_was_decided_on,
                a_refusal_on_a_failed_append_is_decided_anew,
                a_state_in_memory_is_never_older_than_the_call,
                a_state_in_memory_is_not_read_again,
                states_in_memory_keep_to_their_bound,
                the_states_of_callers_who_went_away_keep_to_the_bound,
                an_append_that_never_begins_holds_nobody_up,
                a_state_that_the_log_no_longer_holds_is_forgotten,
                a_command_that_the_log_refuses_takes_no_other_with_it,
                after_a_lost_answer_the_log_is_asked,
                a_caller_who_goes_away_takes_no_other_with_him,
                a_command_that_is_under_way_is_recognised_by_its_id,
                an_append_that_ends_with_its_runtime_holds_nobody_up,
                many_commands_at_once_are_cut_into_appends,
                a_panic_in_a_command_is_its_own;
            repository:
                a_command_loads_decides_and_appends,
                a_decision_without_events_writes_nothing,
                a_refusal_comes_back_as_the_domains_own,
                a_decision_is_made_anew_after_a_conflict,
                a_decision_is_made_anew_until_it_is_applied,
                retries_are_bounded,
                an_expected_version_is_not_tried_again,
                a_command_is_recognised_by_its_id,
                a_command_is_recognised_where_it_would_be_refused,
                of_the_same_command_many_times_at_once_one_is_carried_out,
                several_decisions_go_into_one_append,
                concurrent_commands_are_all_carried_out,
                a_command_records_its_circumstances,
                an_event_of_an_older_schema_is_brought_up,
                an_event_that_cannot_be_decoded_stops_the_command;
            projection:
                projections_catch_up_with_the_log,
                catching_up_again_applies_each_event_once,
                an_empty_log_makes_empty_read_models,
                many_events_over_many_rows_are_folded,
                an_event_may_touch_many_rows_and_remove_some,
                a_row_that_an_event_names_twice_is_folded_once,
                a_running_projection_sees_new_events,
                settled_projections_hold_all_events,
                a_fold_can_be_asked_as_of_a_position,
                rows_and_checkpoint_agree_at_each_moment,
                a_failing_projection_stops_while_others_go_on,
                a_projection_that_panics_stops_while_others_go_on,
                an_interrupted_projection_goes_on_where_it_stood,
                two_runners_at_once_apply_each_event_once,
                a_checkpoint_of_another_log_stops_its_projection,
                a_projection_can_neither_append_nor_query_beside_its_batch,
                a_key_that_does_not_read_back_stops_its_projection,
                a_read_model_may_be_larger_than_what_is_kept,
                declarations_that_contradict_each_other_are_refused;
            deploy:
                newer_code_goes_on_with_what_older_code_built,
                events_that_older_code_passed_over_ask_for_a_rebuild,
                newer_code_takes_a_projection_over_from_running_older_code,
                a_projection_that_changed_asks_for_a_rebuild,
                older_code_leaves_a_newer_read_model_alone,
                a_failure_that_names_no_event_is_cleared_by_the_right_code;
            rebuild:
                a_rebuild_yields_the_same_rows,
                a_rebuild_mends_a_read_model,
                a_rebuild_of_an_unknown_projection_is_refused,
                a_rebuild_may_be_the_first_build,
                a_query_never_sees_a_rebuild,
                a_rebuild_beside_a_running_projection_loses_nothing,
                an_interrupted_rebuild_goes_on,
                what_was_built_of_something_else_is_built_anew,
                one_generation_is_kept,
                a_rebuild_tells_how_it_goes_on;
            shared_reading:
                rebuilds_that_begin_together_read_the_log_once,
                rebuilds_of_different_categories_share_a_reading,
                a_shared_reading_that_breaks_is_shared_again,
                a_log_that_cannot_be_read_fails_the_rebuild,
                a_rebuild_that_is_broken_off_goes_on_where_it_was;
            properties:
                the_store_behaves_like_the_model,
                any_json_reads_back_exactly;
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ($factory:path; $($topic:ident: $($behaviour:ident),+ $(,)?;)+) => {$(
        mod $topic {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[test]
                fn $behaviour() {
                    $crate::conformance::run(
                        async || $factory().await,
                        $crate::conformance::$topic::$behaviour,
                    );
                }
            )+
        }
    )+};
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// A behaviour that is written and not listed would be run by nobody.
    #[test]
    fn every_behaviour_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
        let list = fs::read_to_string(folder.join("behaviours.rs")).expect("this file");
        for file in fs::read_dir(folder).expect("this folder") {
            let path = file.expect("an entry").path();
            let source = fs::read_to_string(&path).expect("a source file");
            for line in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let name = line.split('(').next().unwrap_or_default();
                let listed = list.split(|c: char| c != '_' && !c.is_alphanumeric());
                assert!(listed.into_iter().any(|word| word == name), "{name} is not listed");
            }
        }
    }
}
