"""The inventory of the event socket's traps: what goes wrong, what keeps it from us, and the test that would notice.

``cures`` are places in ``services/common/esl`` (``module:name``) or files. A trap without a test says why none is needed.
tests/unit/esl/test_esl_traps.py holds this table to the truth: tests and cures are there, and no test of a trap is missing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trap:
    """One trap."""

    sentence: str
    cures: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    none_because: str = ""


TEXT = "tests/unit/esl/test_esl_traps.py::"
SOCKET = "tests/integration/test_esl_traps_on_sockets.py::"
CLIENT = "tests/integration/test_esl_client.py::"
SERVER = "tests/integration/test_esl_server.py::"
FAULTS = "tests/integration/test_esl_node_faults.py::"
DEFECTS = "tests/integration/test_esl_greenswitch_defects.py::"
CODEC = "tests/unit/esl/test_esl_protocol.py::"
DIALPLAN = "freeswitch/conf/dialplan/peyvand.xml"


def trap(sentence: str, cures: str, *tests: str) -> Trap:
    return Trap(sentence, tuple(cures.split()), tests)


def harmless(sentence: str, why: str) -> Trap:
    return Trap(sentence, none_because=why)


TRAPS: tuple[Trap, ...] = (
    # -- connection
    trap(
        "The password is all up to the line's end",
        "client:SwitchAddress.parse",
        TEXT + "test_a_password_goes_out_to_the_letter_or_is_refused",
    ),
    trap(
        "A command before auth is 'not found'",
        "transport:InboundLink.connect",
        SOCKET + "test_nothing_is_sent_before_the_password_is_asked_for",
    ),
    trap(
        "A wrong password is answered, told and cut",
        "node:Node.run",
        CLIENT + "test_a_wrong_password_is_told_once_and_tried_until_it_is_right",
    ),
    trap(
        "Connecting may hang at any step",
        "transport:InboundLink.connect",
        DEFECTS + "test_d14_the_deadline_of_connecting_holds_for_all_of_it",
    ),
    trap(
        "userauth's reply is cut with its end",
        "client:SwitchAddress.parse",
        TEXT + "test_userauth_whose_reply_is_cut_is_never_used",
    ),
    trap(
        "A forbidden address gets a rejection, no request",
        "transport:Protocol.handle_event",
        SOCKET + "test_the_recorded_rejection_is_told_as_such",
        TEXT + "test_a_forbidden_address_gets_a_rejection_instead_of_the_request_for_a_password",
    ),
    trap(
        "Connections are unlimited and cost 1.5 MB each",
        "node:Node",
        SOCKET + "test_a_node_costs_two_connections_whatever_is_asked",
    ),
    trap(
        "The listen backlog is 5",
        "node:Node.run",
        FAULTS + "test_whoever_refuses_is_asked_again_after_a_growing_and_uneven_time",
        FAULTS + "test_one_socket_is_opened_after_the_other",
    ),
    trap(
        "exit is matched by its beginning, and its farewell has a body",
        "transport:Protocol.stop",
        SOCKET + "test_only_six_verbs_are_ever_sent",
    ),
    trap(
        "A close waits for background jobs",
        "transport:Protocol.close",
        SOCKET + "test_stopping_waits_for_nobodys_farewell",
        DEFECTS + "test_d15_stop_waits_for_no_job_and_works_inside_a_handler",
    ),
    trap(
        "A farewell has a body of 0 to 67 bytes",
        "protocol:Decoder",
        TEXT + "test_a_farewell_has_a_body_of_any_size",
        SOCKET + "test_a_farewell_of_a_live_connection_disturbs_no_reply",
    ),
    trap(
        "The reason of a farewell is in its body",
        "transport:Protocol.handle_event",
        CLIENT + "test_the_switchs_farewell_is_the_reason",
    ),
    trap(
        "Nodes have addresses of version 6 too",
        "client:SwitchAddress.parse",
        TEXT + "test_addresses_of_version_six_are_read",
        FAULTS + "test_addresses_of_both_families_are_connected_to_without_a_lookup",
        SOCKET + "test_calls_are_taken_over_version_six",
    ),
    harmless(
        "sendevent and sendmsg are not access controlled",
        "a matter of the switch's configuration: our client has the one password",
    ),
    # -- framing
    trap(
        "The order of a frame's lines differs by kind",
        "protocol:Decoder",
        TEXT + "test_the_order_of_a_frames_lines_means_nothing",
    ),
    trap(
        "Replies carry no id: strictly first in, first out",
        "transport:Protocol.submit",
        CLIENT + "test_a_late_answer_goes_to_nobody_and_the_next_ones_to_the_right_callers",
    ),
    trap(
        "A job may overtake its reply",
        "node:Node.submit_job",
        CLIENT + "test_a_job_that_overtakes_its_reply_is_not_lost",
    ),
    trap(
        "A half-sent command stops events, and a newline ends it",
        "transport:Protocol.submit transport:Protocol.poke",
        SOCKET + "test_a_half_written_command_is_never_followed_by_a_poke",
        CLIENT + "test_a_large_command_is_written_whole_with_others_behind_it",
    ),
    trap(
        "A body that is announced and not sent spins a thread",
        "protocol:sendmsg",
        SOCKET + "test_head_and_body_of_a_command_go_out_together",
    ),
    trap(
        "One CR swallows the headers before it",
        "quoting:command",
        TEXT + "test_a_carriage_return_in_a_value_swallows_the_headers_before_it",
    ),
    trap(
        "A head of 10 MB becomes two commands",
        "quoting:MAX_HEAD_BYTES",
        TEXT + "test_a_command_of_ten_megabytes_is_two",
    ),
    trap(
        "Every content-length is obeyed",
        "quoting:command",
        TEXT + "test_a_second_length_would_swallow_the_next_command",
    ),
    trap(
        "Bare newlines have no reply",
        "transport:Protocol.poke",
        CLIENT + "test_newlines_fetch_events_while_a_job_is_waited_for",
        SERVER + "test_newlines_fetch_events_while_a_call_is_held",
    ),
    trap(
        "Replies are cut at 511 bytes",
        "quoting:checked_id",
        TEXT + "test_replies_are_cut_at_511_bytes_so_ids_are_short",
    ),
    trap(
        "A Job-UUID is cut at 36 characters",
        "quoting:checked_job_id",
        SOCKET + "test_a_job_id_that_freeswitch_would_cut_is_refused",
    ),
    trap(
        "getvar's value can forge a reply",
        "quoting:command",
        TEXT + "test_getvar_is_refused_since_its_value_can_forge_a_reply",
    ),
    trap(
        "Failure has no form but text",
        "client:SwitchClient.api",
        SOCKET + "test_failure_is_in_the_text_and_given_as_it_is",
    ),
    trap(
        "Only connect's reply is percent-encoded",
        "protocol:event_from_connect",
        TEXT + "test_only_the_reply_to_connect_is_percent_encoded",
    ),
    trap(
        "reload and mod_event_socket anywhere reload the module",
        "quoting:command quoting:neutralise",
        TEXT + "test_the_words_that_reload_the_module_never_leave_in_a_head",
    ),
    harmless(
        "Requests are read byte by byte; 970 bgapi a second",
        "a ceiling of the switch; nothing here comes near it (one originate an offer)",
    ),
    # -- subscriptions
    trap(
        "Every word after CUSTOM is a subclass",
        "client:subscription",
        TEXT + "test_standard_names_stand_before_custom",
    ),
    trap("CUSTOM alone delivers nothing", "client:subscription", TEXT + "test_custom_alone_is_refused"),
    trap(
        "Unknown names are ignored without a word",
        "client:subscription",
        TEXT + "test_names_that_freeswitch_would_split_or_ignore_are_refused",
    ),
    trap(
        "A subscription can be refused",
        "node:Node",
        SOCKET + "test_a_subscription_that_is_refused_is_no_connection",
    ),
    trap(
        "Filters are alternatives and keep BACKGROUND_JOB away",
        "node:Node.submit_app",
        SOCKET + "test_filters_are_alternatives_and_let_background_jobs_through",
    ),
    trap(
        "Negative filters alone deliver nothing; /x/ is an expression",
        "quoting:checked_id",
        SOCKET + "test_no_id_becomes_a_negative_filter_or_an_expression",
        TEXT + "test_an_id_that_would_be_a_negative_filter_or_an_expression_is_refused",
    ),
    trap(
        "myevents lacks RECORD, PLAYBACK and HOLD",
        "server:OutboundServer",
        SOCKET + "test_what_myevents_lacks_is_subscribed_beside_it",
    ),
    trap(
        "Inbound myevents of an unknown id delivers everything",
        "client:SwitchClient",
        SOCKET + "test_only_six_verbs_are_ever_sent",
    ),
    trap(
        "Log lines are frames among replies",
        "transport:Protocol.handle_event",
        TEXT + "test_log_lines_between_replies_take_nobodys_place",
        SOCKET + "test_log_lines_between_replies_answer_nobody",
    ),
    trap(
        "Diverted events have no name",
        "protocol:Event",
        TEXT + "test_an_event_without_a_name_is_an_event",
        SOCKET + "test_a_diverted_event_without_a_name_reaches_the_session_and_harms_nobody",
    ),
    harmless(
        "The format changes for queued events; ALL, nixevent and noevents have side effects",
        "the format is chosen once, at the subscription, and none of these commands is sent (test_only_six_verbs_are_ever_sent)",
    ),
    harmless(
        "Filters cost the dispatch thread 1.5 us an event",
        "one listener a service and node, with a short list of names",
    ),
    # -- outbound
    trap(
        "The first command is answered only if it is connect",
        "server:OutboundServer",
        SOCKET + "test_we_speak_first_and_all_of_the_greeting_before_any_answer",
    ),
    trap(
        "Without full there is no linger, api or event",
        DIALPLAN,
        TEXT + "test_the_dialplan_asks_for_async_and_full",
        SERVER + "test_a_socket_without_full_control_is_reported",
    ),
    trap(
        "Without linger CHANNEL_HANGUP_COMPLETE is lost",
        "server:OutboundServer",
        SOCKET + "test_the_last_event_comes_after_the_notice_and_then_we_let_go",
    ),
    trap(
        "A lingering socket holds the session",
        "link:_LINGER_MAX_S",
        SERVER + "test_a_session_is_closed_when_the_last_event_never_comes",
    ),
    trap(
        "After the hangup sendmsg says +OK and runs nothing",
        "link:Link.execute",
        SOCKET + "test_after_the_hangup_nothing_is_sent_that_would_never_run",
        SERVER + "test_a_hangup_fails_whoever_waits_and_the_socket_closes_after_the_last_event",
    ),
    trap(
        "A socket that dies at once orphans the call",
        f"link:_REFUSE_AFTER_S {DIALPLAN}",
        TEXT + "test_a_refused_call_is_let_go_after_the_dangerous_moment",
        SOCKET + "test_a_call_too_many_is_held_over_the_dangerous_moment",
        TEXT + "test_the_dialplan_goes_on_without_us_and_survives_a_failed_bridge",
    ),
    trap(
        "exit must be read before the socket is closed",
        "server:OutboundSession.leave",
        SERVER + "test_a_hand_over_sets_the_variables_and_lets_go_in_one_write",
    ),
    harmless(
        "The socket application connects without a timeout",
        "on the switch's side; we listen with a backlog of 1024 and accept at once (test_d12)",
    ),
    # -- sendmsg
    trap(
        "A completion belongs to the Event-UUID, not to the application's name",
        "node:Node.submit_app link:Link.on_events",
        CLIENT + "test_an_application_is_matched_by_the_id_we_gave_it",
        DEFECTS + "test_d09_an_application_ends_with_its_own_completion",
    ),
    trap(
        "Arguments in a header cannot hold everything",
        "protocol:sendmsg",
        TEXT + "test_arguments_go_as_a_body_and_wait_their_turn",
    ),
    trap(
        "Without event-lock commands nest and complete backwards",
        "server:OutboundSession.execute",
        SOCKET + "test_commands_on_a_call_wait_for_each_other_unless_told_otherwise",
    ),
    trap(
        "An unknown application hangs up without a completion",
        "protocol:sendmsg link:Link.on_events",
        TEXT + "test_what_is_no_applications_name_is_refused",
        SOCKET + "test_an_unknown_application_ends_in_the_hangup_that_it_causes",
    ),
    trap(
        "A failed bridge hangs up the caller",
        f"{DIALPLAN} node:Node.on_command_events",
        TEXT + "test_the_dialplan_goes_on_without_us_and_survives_a_failed_bridge",
        SOCKET + "test_a_bridge_that_fails_and_hangs_up_ends_waiting",
    ),
    trap(
        "Arguments are expanded, by set twice",
        "quoting:multiset quoting:neutralise",
        TEXT + "test_what_would_be_expanded_is_refused_or_made_harmless",
    ),
    harmless(
        "With loops there is a completion each time round",
        "loops are never set: no command of ours has that header",
    ),
    harmless(
        "Applications start on the 20 ms clock of the media",
        "a property of the switch; newlines fetch the events as soon as they are there",
    ),
    # -- encoding
    trap("A plus is no blank", "protocol:Decoder", TEXT + "test_a_plus_is_a_plus"),
    trap(
        "Plain form cannot tell %41 from A",
        "client:subscription",
        TEXT + "test_events_are_asked_for_as_json_which_loses_nothing",
    ),
    trap(
        "Lines are split before values are decoded, at LF only",
        "protocol:Decoder",
        TEXT + "test_lines_are_split_before_values_are_decoded",
        CODEC + "test_only_a_line_feed_ends_a_line",
        DEFECTS + "test_d17_only_a_line_feed_ends_a_line",
    ),
    trap(
        "Values and JSON hold bytes that are no UTF-8",
        "protocol:Event.headers",
        TEXT + "test_bytes_that_are_no_utf8_spoil_one_value",
        DEFECTS + "test_d06_a_byte_that_is_no_utf8_spoils_one_answer_only",
    ),
    trap(
        "An empty value is _undef_, and an empty header deletes",
        "protocol:Event.get quoting:command",
        TEXT + "test_an_empty_value_is_empty_in_both_forms_and_never_sent",
    ),
    trap("A variable is text or a list", "protocol:Event.get", TEXT + "test_a_variable_is_text_or_a_list"),
    trap(
        "Text that starts with ARRAY:: becomes a list",
        "quoting:command quoting:neutralise",
        TEXT + "test_text_that_would_become_a_list_is_refused",
    ),
    trap("Headers come twice", "protocol:Event.get", TEXT + "test_a_header_that_comes_twice_counts_once"),
    trap(
        "A body stands raw behind the headers",
        "protocol:Event.body",
        TEXT + "test_a_body_in_an_event_is_raw_and_no_header",
        DEFECTS + "test_d02_a_body_is_a_body_and_no_header",
    ),
    trap(
        "XML costs the switch six times as much",
        "client:subscription",
        TEXT + "test_xml_is_never_asked_for_and_read_over",
    ),
    harmless(
        "Variables are in some kinds of events only",
        "known to the services, which subscribe to those kinds; their tests run on recorded events",
    ),
    # -- order, time, slow consumers
    trap(
        "Event-Sequence is neither the order nor without gaps",
        "node:Node.on_subscribed_events",
        SOCKET + "test_events_keep_the_order_in_which_they_came",
    ),
    trap(
        "A stalled reader freezes the event sockets of the switch",
        "node:Node.on_subscribed_events",
        CLIENT + "test_a_backlog_closes_our_own_sockets_delivers_what_is_there_and_starts_over",
        DEFECTS + "test_d11_a_burst_starves_no_timer_and_fills_no_memory",
    ),
    trap(
        "api holds up the events of its connection",
        "node:Node",
        SOCKET + "test_a_slow_command_holds_up_no_event",
    ),
    trap(
        "Whoever waits must be told of the end",
        "transport:Protocol.close",
        DEFECTS + "test_d04_the_end_of_the_connection_ends_waiting",
        CLIENT + "test_a_lost_connection_fails_callers_tells_the_service_last_and_is_made_again",
    ),
    harmless(
        "Timestamps move in steps of 20 ms",
        "durations are computed from the owners' own clocks where 20 ms matter",
    ),
    harmless(
        "More than one dispatch thread would let events overtake each other",
        "a setting of the switch that its configuration here does not make",
    ),
)
