"""Asterisk's queue_log: what each call and each agent did, also where lines are missing."""

from __future__ import annotations

from pathlib import Path

from services.common.ids import derived_id
from services.reporting.core.imports.clock import epoch_us
from services.reporting.core.imports.names import AgentName, Names, QueueName
from services.reporting.core.imports.queue_log import QueueLog
from services.reporting.core.imports.queue_log_calls import CLOSED, line_of
from services.reporting.core.imports.records import Contact, History, Interval, Segment, slots_of

LOG = Path(__file__).parents[2] / "vectors" / "imports" / "queue_log"
NAMES = Names(
    queues={"sales": QueueName("verkauf", service_level_s=30, short_abandon_s=5)},
    agents={"SIP/1001": "reza", "Sara": AgentName("sara", team="north")},
    numbers={"982191000000": "1000"},
)


def read(text: str, names: Names = NAMES) -> list[History]:
    """All histories of a log."""
    log = QueueLog("acme", "pbx", names, derived_id)
    found = []
    for line in text.splitlines():
        at, _, rest = line.partition("|")
        found += log.take(line_of(epoch_us(at), rest.split("|")))
    return found + list(log.finish())


def contacts(histories: list[History]) -> dict[str, tuple[Contact, tuple[Segment, ...]]]:
    return {h.contact.ani: (h.contact, h.segments) for h in histories if h.contact is not None}


def intervals(histories: list[History], agent_id: str, kind: str) -> list[Interval]:
    found = [i for h in histories for i in h.intervals if (i.agent_id, i.kind) == (agent_id, kind)]
    return sorted(found, key=lambda one: one.started_at)


def s(at: int) -> int:
    """Seconds after the log's first line, in microseconds since the epoch."""
    return (1_795_334_400 + at) * 1_000_000


def test_an_answered_call_has_its_wait_its_ringing_its_talk_and_the_offer_that_came_to_nothing() -> None:
    histories = read(LOG.read_text())
    contact, (stay, talk) = contacts(histories)["09121112233"]
    assert contact.contact_id == derived_id("import", "pbx", "1795335098.10")
    # The channel began two seconds before the queue, as its id says.
    assert (contact.started_at, contact.waiting_since) == (s(698), s(700))
    assert (contact.outcome, contact.result, contact.wait_ms, contact.talk_ms) == ("answered",) * 2 + (
        10_000,
        60_000,
    )
    assert (contact.agent_id, contact.team, contact.queue, contact.entry_point) == (
        "sara",
        "north",
        "verkauf",
        "1000",
    )
    assert (contact.target_ms, contact.short_ms, contact.ended_by) == (30_000, 5_000, "caller")
    assert (contact.offers, contact.offers_missed, contact.total_ms) == (2, 1, 72_000)
    assert (stay.kind, stay.outcome, stay.wait_ms, stay.reason) == ("queue", "answered", 10_000, "arrived")
    assert (talk.kind, talk.agent_id, talk.ring_ms, talk.talk_ms) == ("agent", "sara", 6_000, 60_000)
    assert (stay.next_segment_id, talk.previous_segment_id) == (talk.segment_id, stay.segment_id)
    assert contact.offer_id == talk.offer_id != ""
    outcomes = {
        o.agent_id: (o.outcome, o.ring_ms)
        for h in histories
        for o in h.offers
        if o.contact_id == contact.contact_id
    }
    assert outcomes == {"reza": ("no_answer", 3_000), "sara": ("accepted", 6_000)}


def test_every_way_out_of_a_queue_has_its_own_word() -> None:
    found = {ani: c for ani, (c, _) in contacts(read(LOG.read_text())).items()}
    assert {ani: (c.outcome, c.result, c.overflow_reason, c.wait_ms) for ani, c in found.items()} == {
        "09121112233": ("answered", "answered", "", 10_000),
        "09351234567": ("abandoned", "short_abandon", "", 3_000),
        "02188776655": ("answered", "answered", "max_wait", 50_000),
        "09120000000": ("overflowed", "overflowed", "key", 8_000),
        "09120000001": ("overflowed", "no_agent", "no_agent", 1_000),
        "09120000002": ("answered", "answered", "", 4_000),
    }
    # The last call of the log goes on: the next log tells of it.
    assert "09120000003" not in found


def test_a_call_through_three_queues_and_two_agents_is_one_contact_of_linked_segments() -> None:
    contact, segments = contacts(read(LOG.read_text()))["02188776655"]
    assert [(one.kind, one.queue, one.reason, one.outcome) for one in segments] == [
        ("queue", "verkauf", "arrived", "overflowed"),
        ("queue", "support", "overflow", "answered"),
        ("agent", "support", "arrived", "transferred"),
        ("queue", "verkauf", "transfer", "answered"),
        ("agent", "verkauf", "arrived", "completed"),
    ]
    assert [one.segment_no for one in segments] == [1, 2, 3, 4, 5]
    assert {one.initial_segment_id for one in segments} == {segments[0].segment_id}
    assert [one.previous_segment_id for one in segments[1:]] == [one.segment_id for one in segments[:-1]]
    assert (contact.first_queue, contact.queue, contact.transfers) == ("verkauf", "verkauf", 1)
    assert (contact.talk_ms, contact.agent_id, contact.ended_by) == (120_000, "sara", "agent")


def test_an_agents_day_has_presence_by_members_and_pauses_and_activity_by_calls() -> None:
    histories = read(LOG.read_text())
    presence = [
        (i.value, i.reason, i.started_at, i.ended_at) for i in intervals(histories, "sara", "presence")
    ]
    assert presence == [
        ("break", "", s(600), s(660)),
        ("available", "", s(660), s(1100)),
        ("break", "lunch", s(1100), s(2600)),
        ("available", "", s(2600), s(4200)),
        ("offline", "", s(4200), s(4300)),
    ]
    activity = [(i.value, i.started_at, i.ended_at) for i in intervals(histories, "sara", "activity")]
    assert activity == [
        ("idle", s(600), s(704)),
        ("offered", s(704), s(710)),
        ("talking", s(710), s(770)),
        ("idle", s(770), s(1012)),
        ("offered", s(1012), s(1021)),
        ("talking", s(1021), s(1081)),
        ("idle", s(1081), s(4200)),
    ]


def test_an_agents_time_that_passes_midnight_is_a_row_a_day_and_touches_all_its_quarters() -> None:
    day = 86_400 * 20_779
    histories = read(f"{day - 1800}|NONE|q|A|ADDMEMBER|\n{day + 900}|NONE|q|A|REMOVEMEMBER|\n")
    presence = intervals(histories, "A", "presence")
    assert [(i.started_at, i.ended_at, i.continued) for i in presence] == [
        ((day - 1800) * 1_000_000, day * 1_000_000, False),
        (day * 1_000_000, (day + 900) * 1_000_000, True),
    ]
    assert set().union(*map(slots_of, histories)) == {day - 1800, day - 900, day}


def test_what_rotation_cut_off_is_put_back_from_what_the_last_lines_say() -> None:
    whole = read(
        "1795335100|1795335098.10|q|NONE|ENTERQUEUE||0912|1\n"
        "1795335110|1795335098.10|q|A|CONNECT|10|x.11|6\n"
        "1795335170|1795335098.10|q|A|COMPLETECALLER|10|60|1\n"
    )
    second_half = read("1795335170|1795335098.10|q|A|COMPLETECALLER|10|60|1\n")
    (full,), (half,) = ([h for h in hs if h.contact] for hs in (whole, second_half))
    assert half.contact is not None
    assert full.contact is not None
    for name in (
        "contact_id",
        "started_at",
        "waiting_since",
        "connected_at",
        "ended_at",
        "wait_ms",
        "talk_ms",
    ):
        assert getattr(half.contact, name) == getattr(full.contact, name), name
    # Who tells more of the call wins, in whatever order they are imported.
    assert full.contact.version > half.contact.version > CLOSED
    abandoned = read("1795335203|1795335199.20|q|NONE|ABANDON|1|1|4\n")[0]
    assert abandoned.contact is not None
    assert (abandoned.contact.wait_ms, abandoned.contact.waiting_since) == (4_000, 1_795_335_199_000_000)


def test_a_call_that_never_ends_is_closed_when_asterisk_starts_anew_and_says_less_than_its_end_would() -> (
    None
):
    log = "1795335100|1795335098.10|q|NONE|ENTERQUEUE||0912|1\n1795336000|NONE|NONE|NONE|QUEUESTART|\n"
    (history,) = read(log)
    assert history.contact is not None
    assert (history.contact.outcome, history.contact.result) == ("ended_unseen", "ended_unseen")
    assert history.contact.version < CLOSED


def test_memory_holds_the_calls_of_the_last_hours_only() -> None:
    log = QueueLog("acme", "pbx", Names(), derived_id)
    most = 0
    for n in range(3_000):
        at_us = (1_795_335_000 + n * 60) * 1_000_000
        for event, data in (("ENTERQUEUE", ["", "0912", "1"]), ("ABANDON", ["1", "1", "0"])):
            list(log.take(line_of(at_us, [f"{1_795_335_000 + n * 60}.{n}", "q", "NONE", event, *data])))
        most = max(most, log.held)
    assert most <= 122
