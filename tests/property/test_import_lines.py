"""Imports: no line of any format may crash one, and what comes out is whole and fits its tables."""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.common.ids import derived_id
from services.reporting.core.imports import callcenter, cdr, cdr_csv
from services.reporting.core.imports.clock import epoch_us, stamp_us
from services.reporting.core.imports.names import Names
from services.reporting.core.imports.queue_log import EVENTS, QueueLog
from services.reporting.core.imports.queue_log_calls import line_of
from services.reporting.core.imports.records import (
    MOST_VERSION,
    BadLine,
    History,
    contact_row,
    rows_of_history,
    slots_of,
)

START_S = 1_795_334_400
WORDS = st.text(string.printable + "سلام\x00\u2028é|", max_size=12)
DATA = st.lists(
    st.one_of(st.integers(-5, 400).map(str), st.sampled_from(("", "x|y", "PAUSED", "lunch"))), max_size=5
)


@st.composite
def logs(draw: st.DrawFn) -> list[str]:
    """Lines in the order of time of a few calls, agents and queues; some of them make no sense."""
    lines, at_s = [], START_S
    for _ in range(draw(st.integers(1, 25))):
        at_s += draw(st.sampled_from((0, 0, 1, 5, -3, 60, 4_000, 90_000)))
        call = draw(st.sampled_from((f"{START_S - 1}.1", f"{START_S + 5}.2", "pbx-1.3", "NONE", "")))
        queue, agent = draw(st.sampled_from("pq")), draw(st.sampled_from(("A", "SIP/2", "NONE", "")))
        event = draw(st.sampled_from(sorted(EVENTS)))
        data = draw(DATA)
        lines.append("|".join((str(at_s), call, queue, agent, event, *data)))
    return lines


def taken(lines: list[str]) -> Iterator[History]:
    log = QueueLog("acme", "pbx", Names(), derived_id)
    for text in lines:
        at, _, rest = text.partition("|")
        try:
            yield from log.take(line_of(epoch_us(at), rest.split("|")))
        except BadLine:
            continue
    yield from log.finish()
    assert log.held == 0


def whole(history: History) -> None:
    """What must hold of everything that an import makes."""
    assert all(0 <= slot < 2**32 and slot % 900 == 0 for slot in slots_of(history))
    for row in rows_of_history(history):
        msgspec.msgpack.encode(row.values[2:])
    for interval in history.intervals:
        assert interval.started_at < interval.ended_at
        assert interval.started_at // 86_400_000_000 == (interval.ended_at - 1) // 86_400_000_000
    contact = history.contact
    if contact is None:
        return
    contact_row(contact)
    assert 0 < contact.version <= MOST_VERSION
    assert contact.started_at <= (contact.waiting_since or contact.started_at)
    assert min(contact.wait_ms, contact.talk_ms, contact.total_ms, contact.hold_ms) >= 0
    assert (contact.outcome == "answered") == (contact.connected_at > 0)
    assert contact.offers >= contact.offers_missed >= 0
    segments = history.segments
    assert all(one.wait_ms >= 0 and one.talk_ms >= 0 and one.ended_at >= one.started_at for one in segments)
    assert [one.segment_no for one in segments] == list(range(1, len(segments) + 1))
    assert [one.next_segment_id for one in segments[:-1]] == [one.segment_id for one in segments[1:]]
    assert sum(one.talk_ms for one in segments) <= contact.talk_ms + len(segments)


@given(logs())
def test_any_log_makes_whole_histories_and_each_contact_of_settled_calls_once(lines: list[str]) -> None:
    for history in taken(lines):
        whole(history)


@given(logs())
def test_the_same_log_makes_the_same_rows(lines: list[str]) -> None:
    assert list(taken(lines)) == list(taken(lines))


@given(st.lists(st.one_of(WORDS, st.text(max_size=40)), max_size=20))
def test_lines_of_anything_are_taken_or_refused_with_a_reason(lines: list[str]) -> None:
    for history in taken(lines):
        whole(history)
    lists, events = callcenter.Lists(Names()), callcenter.Events("acme", Names())
    for line in lines:
        with contextlib.suppress(BadLine):
            assert cdr_csv.form_of(line).variables
        with contextlib.suppress(BadLine):
            lists.take(lists.header(line), line)
        with contextlib.suppress(BadLine):
            list(events.take(line))
        with contextlib.suppress(BadLine):
            assert abs(stamp_us(line, ZoneInfo("Asia/Tehran"))) < 2**63


STAMPS = st.one_of(
    WORDS,
    st.sampled_from(
        ("", "0", "2026-10-25 02:30:00", "2026-11-20 09:30:00", "9999-12-31 23:59:59", "0001-01-01 00:00:00")
    ),
)
NUMBERS = st.one_of(WORDS, st.integers(-1, 10**19).map(str))
VARIABLES = st.fixed_dictionaries(
    {"uuid": st.one_of(WORDS, st.just("u-1")), "start_stamp": STAMPS},
    optional={
        **dict.fromkeys(("end_stamp", "answer_stamp"), STAMPS),
        **dict.fromkeys(
            (
                *("duration", "billsec", "start_epoch", "end_uepoch", "answer_uepoch", "bridge_uepoch"),
                *("cc_queue_joined_epoch", "cc_queue_answered_epoch", "cc_queue_canceled_epoch"),
                *("cc_queue_terminated_epoch", "hold_accum_ms"),
            ),
            NUMBERS,
        ),
        "cc_side": st.sampled_from(("member", "agent", "x")),
        "cc_cancel_reason": st.sampled_from(("TIMEOUT", "BREAK_OUT", "x")),
        **dict.fromkeys(
            ("cc_queue", "cc_agent", "caller_id_name", "bleg_uuid", "cc_member_session_uuid"), WORDS
        ),
        "call_direction": st.just("inbound"),
        "hangup_cause": st.sampled_from(("USER_BUSY", "NORMAL_CLEARING", "x")),
    },
)


@given(st.lists(VARIABLES, max_size=5))
def test_a_legs_variables_make_a_whole_history_or_are_refused(rows: list[dict[str, str]]) -> None:
    clock = cdr_csv.Clock(ZoneInfo("Europe/Berlin"))
    for variables in rows:
        with contextlib.suppress(BadLine):
            complete = clock.complete(variables)
            leg = cdr_csv.leg_of_values(complete)
            whole(cdr.history_of(leg, complete, Names(), "acme", derived_id))


@given(WORDS, st.sampled_from(sorted(cdr_csv.TEMPLATES)))
def test_a_callers_name_never_moves_the_other_values(name: str, template: str) -> None:
    form = cdr_csv.Template.of(cdr_csv.TEMPLATES[template])
    values = dict.fromkeys(form.variables, "7") | {"uuid": "u-1", "hangup_cause": "NORMAL_CLEARING"}
    values |= {v: "2026-11-20 09:30:00" for v in form.variables if v.endswith("_stamp")}
    values["caller_id" if template == "asterisk" else "caller_id_name"] = name
    line = form.texts[0] + "".join(values[v] + t for v, t in zip(form.variables, form.texts[1:], strict=True))
    # Refused: it looks like a line with more values than can be told apart.
    with contextlib.suppress(BadLine):
        assert form.read(line)["uuid"] == "u-1"
