//! The list of laws, once, and the macro that makes a test of each.

/// Calls the macro in brackets with what is given and the list of laws: `module { law law … } …`.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_laws {
    ([$($then:tt)+] $($given:tt)*) => {
        $($then)+! {
            $($given)*
            guard {
                an_absent_run_can_be_made
                a_run_that_is_there_is_not_made_again
                the_present_version_is_replaced
                a_stale_version_is_refused
                the_same_counter_with_another_nonce_is_refused
                a_nonce_counts_to_its_last_bit
                a_version_of_the_future_is_refused
                a_version_of_an_absent_run_is_refused
                a_message_needs_no_version
                a_message_to_an_absent_run_is_refused
                a_rejected_batch_leaves_no_trace
                a_rejected_batch_does_not_touch_its_neighbours
                of_two_batches_in_one_call_under_one_version_the_first_wins
                of_two_creations_in_one_call_the_first_wins
            }
            commit {
                an_accepted_batch_is_read_back
                one_batch_changes_every_part_of_a_run
                every_field_of_a_head_is_kept
                every_status_is_kept
                a_commit_of_nothing_is_nothing
                one_call_writes_many_runs
                batches_of_one_call_follow_each_other
                a_batch_does_not_see_what_stands_behind_it
                a_repeated_batch_is_accepted_without_effect
                a_repeated_creation_is_accepted_without_effect
                a_batch_twice_in_one_call_is_applied_once
                a_repeated_batch_does_not_renew_the_lease
                a_batch_repeated_much_later_is_refused
                the_head_tells_whether_a_write_was_applied
                a_batch_that_contradicts_itself_fails_as_invalid
                an_invalid_batch_fails_its_whole_call
                a_batch_that_contradicts_an_earlier_one_of_its_call_fails_it
                a_failed_call_does_not_harm_the_next
            }
            journal {
                records_are_returned_in_sequence
                a_journal_is_read_from_any_place
                a_journal_is_empty_behind_its_end
                a_head_can_change_without_a_record
                a_long_journal_is_read_page_by_page
                only_the_last_page_of_a_journal_is_short
                a_journal_page_is_no_larger_than_the_largest
                journals_do_not_mix
            }
            inbox {
                a_posted_message_waits_in_the_inbox
                messages_are_returned_in_the_order_of_posting
                taking_keeps_the_order_of_the_rest
                a_message_id_is_posted_once
                a_taken_message_does_not_come_back
                an_id_twice_in_one_batch_is_delivered_once
                an_id_is_used_up_within_its_run_only
                taking_an_unknown_id_does_not_use_it_up
                posting_never_changes_the_head
                a_stale_owner_takes_no_message
                a_run_can_be_made_with_mail
                a_finished_run_gets_mail_and_is_not_due
                an_inbox_is_read_up_to_a_limit
                an_inbox_page_is_no_larger_than_the_largest
                an_absent_run_has_no_mail
                a_message_wakes_a_waiting_run
                a_message_does_not_wait_for_the_timer
                a_message_between_reading_and_parking_is_not_lost
                a_run_without_mail_sleeps_on
            }
            lease {
                the_store_sets_the_end_of_a_lease
                a_leased_run_is_not_due
                a_run_is_due_when_its_lease_has_ended
                a_lease_holds_to_its_last_millisecond
                a_write_renews_the_lease
                a_lease_can_be_given_back
                a_lease_can_be_shortened
                a_stale_owner_cannot_commit
                a_stale_owner_cannot_renew
                an_owner_nobody_took_over_still_commits
                opening_ends_the_leases_of_an_exclusive_store_only
                opening_keeps_the_version_and_the_name_of_the_worker
                a_write_computed_before_a_reopening_still_counts
                an_idle_run_without_timer_or_mail_is_never_due
            }
            claim {
                a_claim_takes_the_run_over
                a_claim_touches_neither_journal_nor_inbox
                claimed_heads_are_the_stored_heads
                the_claimer_can_commit_at_once
                a_claimed_run_is_not_claimed_again
                the_fence_grows_with_each_takeover
                a_claim_goes_by_priority_then_age
                age_is_counted_from_creation
                a_changed_priority_counts
                a_claim_takes_at_most_its_limit
                a_claim_is_no_larger_than_the_largest
                a_claim_keeps_to_its_queues
                a_claim_keeps_to_its_workflows_and_versions
                a_claim_keeps_to_its_tenant
                runs_that_do_not_fit_do_not_use_up_the_limit
                finished_and_paused_runs_are_not_claimed
                a_resumed_run_is_claimed
                a_finished_run_that_is_opened_again_goes_on
                a_run_is_claimed_when_its_time_has_come
                a_moved_timer_fires_at_its_new_time
                a_live_lease_shields_a_run_from_its_own_worker_too
                each_claimed_run_gets_a_nonce_of_its_own
            }
            scan {
                an_empty_store_scans_empty
                scanned_heads_are_the_stored_heads
                heads_come_in_the_order_of_creation
                heads_of_one_time_come_in_the_order_of_their_keys
                times_before_1970_are_in_order_too
                pages_of_any_size_join_to_the_whole
                filtered_pages_join_to_the_whole
                a_scan_page_is_no_larger_than_the_largest
                a_scan_goes_on_behind_any_cursor
                a_scan_is_stable_while_heads_change
                a_scan_finds_by_tenant
                a_scan_finds_by_status
                a_scan_finds_by_workflow_and_queue
                a_scan_finds_by_tag
                a_scan_finds_by_worker
                a_scan_finds_by_mail
                a_scan_for_due_runs_finds_what_a_claim_takes
                a_scan_finds_by_time_of_ending
                filters_are_joined_by_and
                a_rejected_change_does_not_show_in_a_scan
            }
            durability {
                reopening_keeps_every_part_of_every_run
                reopening_keeps_the_ids_that_were_seen
                a_batch_repeated_after_reopening_is_accepted_without_effect
                a_reopened_store_still_refuses_a_stale_version
                a_reopened_store_still_knows_what_is_due
                a_removed_run_stays_removed_after_reopening
                a_store_is_written_across_many_reopenings
                a_store_keeps_its_identity
                a_fresh_store_is_healthy
                a_second_opener_is_refused_or_sees_the_same
                a_second_opener_changes_nothing
                a_closed_store_can_be_opened_by_the_next
            }
            remove {
                a_finished_run_is_removed_whole
                an_unfinished_run_is_not_removed
                the_count_of_removed_runs_is_right
                the_id_of_a_removed_run_can_be_used_again
                a_removed_run_takes_its_message_ids_with_it
                an_owner_of_a_removed_run_is_refused_by_its_successor
                removing_touches_no_other_run
                many_runs_are_removed_in_one_call
            }
            tally {
                an_empty_store_has_no_tally
                runs_are_counted_by_tenant_workflow_queue_and_status
                a_changed_head_is_counted_where_it_is_now
                only_what_was_applied_is_counted
                a_claim_changes_no_count
                a_removed_run_is_not_counted
                reopening_keeps_the_tally
                a_tally_among_writes_counts_each_run_once
            }
            isolation {
                keys_that_look_alike_are_different_keys
                a_write_reaches_one_key_only
                one_run_id_in_two_tenants_is_two_runs
                a_version_of_another_tenant_opens_nothing
                no_scan_or_claim_reaches_another_tenant
                ids_of_the_greatest_length_work_everywhere
                message_ids_that_look_alike_are_different
            }
            payload {
                records_come_back_byte_for_byte
                messages_come_back_byte_for_byte
                summaries_come_back_byte_for_byte
                a_payload_of_the_greatest_length_is_kept
                every_field_of_a_record_is_kept
            }
            size {
                a_batch_of_the_greatest_size_is_accepted
                a_batch_over_the_greatest_size_is_refused
                a_call_may_be_larger_than_a_batch
                a_batch_holds_so_many_records
                a_batch_holds_so_many_messages
                a_summary_has_a_greatest_length
                tags_have_a_greatest_number_and_length
                a_batch_over_a_limit_fails_its_whole_call
                a_call_may_hold_thousands_of_batches
            }
            clock {
                the_store_tells_its_clock
                a_clock_put_back_does_not_end_a_lease
                a_clock_put_forward_ends_leases_and_fires_timers
                a_timer_fires_again_after_the_clock_was_put_back
                a_lease_taken_on_a_clock_ahead_holds
                a_renewal_goes_by_the_clock_as_it_is
                mail_wakes_a_run_wherever_the_clock_stands
                opening_on_a_clock_put_back_goes_by_the_same_rule
            }
            concurrency {
                sixteen_claimers_never_claim_a_run_twice
                racing_replacements_have_one_winner
                racing_creations_have_one_winner
                an_owner_and_a_claimer_never_both_win
                messages_posted_at_once_arrive_once_and_in_order
                an_owner_among_posting_outsiders_loses_nothing
                a_reader_never_sees_half_a_batch
                writers_of_different_runs_do_not_disturb_each_other
            }
            model {
                random_commits_give_what_the_reference_gives
                random_claims_on_a_jumping_clock_give_what_the_reference_gives
                random_removals_give_what_the_reference_gives
                random_work_across_reopenings_gives_what_the_reference_gives
            }
        }
    };
}

/// Makes the tests of the conformance kit for the store that the expression makes: one for each law in `mod laws`,
/// and each again in `mod laws_inside_the_fault_decorator`. See [`conformance`](mod@crate::conformance).
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        mod laws {
            #[allow(unused_imports)]
            use super::*;
            $crate::__with_laws! { [$crate::__law_tests] ($harness) check }
        }

        mod laws_inside_the_fault_decorator {
            #[allow(unused_imports)]
            use super::*;
            $crate::__with_laws! { [$crate::__law_tests] ($harness) check_inside_the_fault_decorator }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:tt $check:ident $($module:ident { $($law:ident)+ })+) => {
        $($crate::__law_tests! { @module $harness $check $module { $($law)+ } })+
    };
    (@module ($harness:expr) $check:ident $module:ident { $($law:ident)+ }) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $law() {
                    $crate::conformance::$check(async { $harness }, $crate::conformance::$module::$law);
                }
            )+
        }
    };
}

macro_rules! law_names {
    ($($module:ident { $($law:ident)+ })+) => {
        /// The name of every law, as `module::law`.
        pub const LAWS: &[&str] = &[$($(concat!(stringify!($module), "::", stringify!($law)),)+)+];
    };
}

crate::__with_laws! { [law_names] }
