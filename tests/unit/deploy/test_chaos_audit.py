"""The account of a chaos run: each rule finds what it is for, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from deploy.dev.balance import Books, Contact, Recording
from deploy.dev.chaos.audit import (
    Finding,
    Ledgers,
    Logged,
    Span,
    agents_legs,
    books_of,
    dropped,
    judge,
    offers_ends,
    places,
    waits,
)
from deploy.dev.chaos.faults import KILL, plan

S = 1_000_000


def leg(name: str, **fields: Any) -> dict[str, Any]:
    """A line of the ledger: a caller's leg unless said otherwise."""
    return {
        "kind": "leg",
        "leg": name,
        "node": "fs1",
        "direction": "inbound",
        "destination": "1000",
        "call_id": name,
        "claimed_contact": "",
        "created_us": 0,
        "answered_us": 0,
        "first_bridge_us": 0,
        "hung_up_us": 30 * S,
        "ended_us": 30 * S,
        "ended_by": "caller",
        "cause": "NORMAL_CLEARING",
    } | fields


def agents_leg(name: str, contact: str, **fields: Any) -> dict[str, Any]:
    usual = {
        "direction": "outbound",
        "destination": "2001",
        "call_id": contact,
        "claimed_contact": contact,
        "created_us": 9 * S,
        "first_bridge_us": 10 * S,
        "hung_up_us": 20 * S,
        "ended_us": 20 * S,
        "ended_by": "agent",
    }
    return leg(name, **usual | fields)


def call(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "call",
        "call_id": name,
        "node": "fs1",
        "waiting_us": 8 * S,
        "bridges": [],
        "ended_us": 30 * S,
        "ended_by": "caller",
        "cause": "NORMAL_CLEARING",
    } | fields


def bridge(agent_leg: str, began_s: float = 10, ended_s: float = 20, agent: str = "2001") -> dict[str, Any]:
    return {
        "agent_leg": agent_leg,
        "agent_extension": agent,
        "bridged_us": int(began_s * S),
        "unbridged_us": int(ended_s * S),
    }


def answered(**agent: Any) -> Ledgers:
    """One conversation of ten seconds, which the agent ended."""
    return Ledgers([leg("c1"), agents_leg("a1", "c1", **agent), call("c1", bridges=[bridge("a1")])])


def kinds(found: Any) -> list[str]:
    return [f.kind for f in found]


def test_audit_takes_a_conversation_that_a_person_ended_as_it_is() -> None:
    assert list(dropped(answered())) == []


def test_audit_finds_a_conversation_that_a_command_ended() -> None:
    assert kinds(dropped(answered(ended_by="command"))) == ["dropped_talking"]


def test_audit_finds_an_agent_who_only_put_down_after_the_bridge_was_taken_apart() -> None:
    assert kinds(dropped(answered(hung_up_us=21 * S))) == ["dropped_talking"]


def test_audit_excuses_a_conversation_that_went_down_with_its_switch() -> None:
    assert list(dropped(answered(ended_by="switch", cause="CRASH"))) == []


@pytest.mark.parametrize(
    ("ended_by", "cause", "found"),
    [
        ("agent", "NORMAL_CLEARING", []),
        ("command", "NORMAL_CLEARING", ["dropped_talking"]),
        ("switch", "CRASH", []),
    ],
)
def test_audit_looks_at_the_phone_of_a_call_across_nodes(ended_by: str, cause: str, found: list[str]) -> None:
    phone = agents_leg("p1", "c1", node="fs2", hung_up_us=19 * S, ended_by=ended_by, cause=cause)
    ledgers = Ledgers([*answered().lines, phone])
    assert kinds(dropped(ledgers)) == found
    assert kinds(agents_legs(ledgers)) == []
    assert ledgers.crashed(ledgers.calls[0]) == (cause == "CRASH")


def test_audit_finds_a_waiting_caller_who_was_hung_up_on() -> None:
    assert kinds(waits(Ledgers([call("c1", ended_by="command")]), ())) == ["lost"]
    assert list(waits(Ledgers([call("c1")]), ())) == []


def test_audit_finds_a_caller_who_was_hung_up_on_in_the_menu() -> None:
    assert kinds(waits(Ledgers([call("c1", waiting_us=0, ended_by="switch")]), ())) == ["lost"]


@pytest.mark.parametrize(("ended_by", "found"), [("caller", []), ("command", ["lost"])])
def test_audit_wants_a_caller_kept_whose_agents_node_went_down(ended_by: str, found: list[str]) -> None:
    torn = [agents_leg("a1", "c1", cause="CRASH", ended_by="switch"), call("c1", bridges=[bridge("a1")])]
    torn[-1] |= {"ended_by": ended_by}
    assert kinds(waits(Ledgers(torn), ())) == found
    again = [*torn, agents_leg("a2", "c1", created_us=21 * S, first_bridge_us=22 * S, hung_up_us=25 * S)]
    again[1] = torn[1] | {"bridges": [bridge("a1"), bridge("a2", 22, 25)]}
    assert kinds(waits(Ledgers(again), ())) == []


def test_audit_finds_a_caller_whom_nobody_came_for_unless_the_node_was_away() -> None:
    forgotten = Ledgers([call("c1", ended_us=100 * S)])
    assert kinds(waits(forgotten, ())) == ["lost"]
    assert list(waits(forgotten, [Span("fs1", 10 * S, 70 * S)])) == []
    assert kinds(waits(forgotten, [Span("fs2", 10 * S, 70 * S)])) == ["lost"]


@pytest.mark.parametrize(("since_s", "found"), [(8.5, []), (20, ["lost"]), (2, ["lost"])])
def test_audit_finds_a_caller_who_lost_the_place(since_s: float, found: list[str]) -> None:
    queued = Logged("contact_queued", {"contact_id": "c1", "waiting_since_us": str(int(since_s * S))}, 9 * S)
    assert kinds(places(Ledgers([call("c1")]), [queued])) == found
    # Nobody was sent back in line who was told of in time and parked when the switch was back.
    cut_off = [Span("fs1", 3 * S, 9 * S)]
    assert kinds(places(Ledgers([call("c1")]), [queued], cut_off)) == (["lost"] if since_s == 20 else [])
    assert kinds(places(Ledgers([call("c1")]), [queued], [Span("fs2", 3 * S, 9 * S)])) == found


def test_audit_finds_an_agent_whose_phone_rang_while_talking() -> None:
    lines = [
        leg("c1"), agents_leg("a1", "c1"), call("c1", bridges=[bridge("a1")]),
        agents_leg("a2", "c2", created_us=15 * S, first_bridge_us=0, hung_up_us=17 * S),
    ]  # fmt: skip
    assert kinds(agents_legs(Ledgers(lines))) == ["double_offers"]
    lines[-1] |= {"node": "fs2"}
    assert kinds(agents_legs(Ledgers(lines))) == ["double_offers"]
    lines[-1] |= {"created_us": 20 * S, "hung_up_us": 22 * S}
    assert kinds(agents_legs(Ledgers(lines))) == []


@pytest.mark.parametrize(("answered_s", "found"), [(12, []), (0, ["double_offers"])])
def test_audit_lets_an_agent_be_told_that_the_caller_has_left(answered_s: int, found: list[str]) -> None:
    """A phone that rings on for somebody who has left is another matter."""
    lines = [
        leg("c1", hung_up_us=13 * S),
        agents_leg("a1", "c1", first_bridge_us=0, answered_us=answered_s * S, hung_up_us=16 * S),
        agents_leg("a2", "c2", created_us=14 * S, first_bridge_us=0, hung_up_us=14 * S, cause="USER_BUSY"),
    ]
    assert kinds(agents_legs(Ledgers(lines))) == found


@pytest.mark.parametrize(("cause", "found"), [("CRASH", []), ("NO_ANSWER", ["double_offers"])])
def test_audit_lets_a_phone_ring_on_for_a_node_that_went_down(cause: str, found: list[str]) -> None:
    lines = [
        agents_leg("a1", "c1", cause=cause, first_bridge_us=0, hung_up_us=11 * S, ended_us=11 * S),
        agents_leg("p1", "c1", node="fs2", first_bridge_us=0, hung_up_us=20 * S, created_us=10 * S),
        agents_leg("a2", "c2", node="fs2", created_us=15 * S, first_bridge_us=16 * S),
    ]
    assert kinds(agents_legs(Ledgers(lines))) == found


@pytest.mark.parametrize(("at_s", "found"), [(15, ["double_offers"]), (19.9, []), (21, [])])
def test_audit_finds_a_call_that_a_talking_agents_phone_refused(at_s: float, found: list[str]) -> None:
    refused = agents_leg(
        "a2",
        "c2",
        created_us=int(at_s * S),
        first_bridge_us=0,
        hung_up_us=int(at_s * S) + 5,
        cause="USER_BUSY",
    )
    assert kinds(agents_legs(Ledgers([*answered().lines, refused]))) == found


def test_audit_lets_a_leg_that_is_kept_for_a_key_be_there_with_the_next() -> None:
    lines = [
        leg("c1", hung_up_us=20 * S),
        agents_leg("a1", "c1", hung_up_us=24 * S),
        call("c1", bridges=[bridge("a1")]),
        agents_leg("a2", "c2", created_us=23 * S, first_bridge_us=0, hung_up_us=25 * S),
    ]
    assert kinds(agents_legs(Ledgers(lines))) == []


@pytest.mark.parametrize(("ends", "found"), [(0, ["double_offers"]), (1, []), (2, ["double_offers"])])
def test_audit_wants_exactly_one_end_of_an_offer(ends: int, found: list[str]) -> None:
    fields = {"offer_id": "o1", "contact_id": "c1"}
    log = [Logged("offer_made", fields, 1), *[Logged("offer_ended", fields, 2)] * ends]
    assert kinds(offers_ends(log)) == found


def test_audit_compares_the_books_without_what_went_down_with_its_switch() -> None:
    books = Books(
        contacts=[Contact("c1", "answered", "sara"), Contact("c2", "ended_unseen")],
        legs=["c1", "a1"],
        recordings=[Recording("c1", 9000, (0.1, 0.1))],
        facts=["f1", "f2"],
    )
    lines = [
        *answered().lines,
        leg("c2", cause="CRASH", ended_by="switch"),
        call("c2", cause="CRASH", ended_by="switch"),
    ]
    agents = {"2001": "sara"}
    assert list(books_of(Ledgers(lines), agents, books, ["f1", "f2"])) == []
    assert kinds(books_of(Ledgers(lines), agents, books, ["f1", "f2", "f3"])) == ["mismatched"]
    doubled = Books(books.contacts, books.legs, books.recordings, ["f1", "f2", "f2"])
    assert kinds(books_of(Ledgers(lines), agents, doubled, ["f1", "f2"])) == ["mismatched"]
    still_open = Books([books.contacts[0], Contact("c2", "open")], books.legs, books.recordings, books.facts)
    assert kinds(books_of(Ledgers(lines), agents, still_open, ["f1", "f2"])) == ["mismatched"]


@pytest.mark.parametrize(
    ("node", "until_s", "found"),
    [("fs1", 31, []), ("fs1", 29, ["mismatched"]), ("fs2", 31, ["mismatched"])],
)
def test_audit_takes_an_end_for_unseen_only_when_nobody_could_see(
    node: str, until_s: int, found: list[str]
) -> None:
    books = Books([Contact("c1", "ended_unseen")], ["c1"], [], [])
    ledgers = Ledgers([leg("c1"), call("c1")])
    blind = [Span(node, 5 * S, until_s * S)]
    assert kinds(books_of(ledgers, {}, books, [], blind)) == found
    known = Books([Contact("c1", "abandoned")], ["c1"], [], [])
    assert kinds(books_of(ledgers, {}, known, [], blind)) == []


@pytest.mark.parametrize(("from_s", "found"), [(9, []), (11, ["mismatched"])])
def test_audit_takes_a_conversation_for_unseen_only_as_a_whole(from_s: int, found: list[str]) -> None:
    """Bridged at 10 s, over at 20, the call at 30."""
    books = Books([Contact("c1", "ended_unseen")], ["c1", "a1"], [], [])
    blind = [Span("fs1", from_s * S, 31 * S)]
    assert set(kinds(books_of(answered(), {"2001": "sara"}, books, [], blind))) == set(found)
    verdict = judge(answered(), [], {"2001": "sara"}, books, [], (), (), blind)
    assert verdict.unseen == (not found)


@pytest.mark.parametrize(("until_s", "found"), [(21, []), (19, ["mismatched"])])
def test_audit_wants_a_recording_of_all_that_anybody_could_record(until_s: int, found: list[str]) -> None:
    books = Books([Contact("c1", "answered", "sara")], ["c1", "a1"], [], [])
    idle = [Span("fs1", 9 * S, until_s * S)]
    assert kinds(books_of(answered(), {"2001": "sara"}, books, [], (), idle)) == found


@pytest.mark.parametrize(
    ("node", "began_s", "found"), [("fs1", 29, []), ("fs1", 31, ["mismatched"]), ("fs2", 29, ["mismatched"])]
)
def test_audit_wants_no_record_of_a_leg_that_ended_while_its_switch_was_killed(
    node: str, began_s: int, found: list[str]
) -> None:
    books = Books([Contact("c1", "abandoned")], [], [], [])
    ledgers = Ledgers([leg("c1"), call("c1")])
    crashes = [Span(node, began_s * S, 40 * S)]
    assert kinds(books_of(ledgers, {}, books, [], (), (), crashes)) == found
    there = Books(books.contacts, ["c1"], [], [])
    assert kinds(books_of(ledgers, {}, there, [], (), (), crashes)) == []


def test_verdict_counts_by_kind() -> None:
    stuck = [Finding("stuck", "c1", "agent sara is still talking")]
    books = Books([Contact("c1", "answered", "2001")], ["c1", "a1"], [Recording("c1", 9000, (0.1, 0.1))], [])
    verdict = judge(answered(), [], {}, books, [], (), stuck)
    assert [verdict.count(kind) for kind in ("stuck", "lost", "mismatched")] == [1, 0, 0]
    assert (verdict.calls, verdict.answered, verdict.longest_wait_s) == (1, 1, 2.0)


def test_plan_is_the_same_for_a_seed_and_has_every_kind() -> None:
    made = plan(7, 600, 60)
    assert made == plan(7, 600, 60) != plan(8, 600, 60)
    assert len(made) == 60
    assert {p.target for p in made} == {
        "ivr", "routing", "queue", "recording", "reporting", "nats", "clickhouse", "switch"
    }  # fmt: skip
    assert all(5 <= p.at_s <= 595 for p in made)
    nats = [p.at_s for p in made if p.target == "nats"]
    assert all(later - sooner >= 25 for sooner, later in itertools.pairwise(nats))


def test_plan_takes_both_copies_at_once_a_tenth_of_the_time() -> None:
    both = [p for p in plan(7, 600, 60) if p.which == "both"]
    assert len(both) == 6
    assert {p.target for p in both} <= {"ivr", "routing", "queue"}


def test_plan_leaves_out_what_it_is_told_to() -> None:
    assert {p.target for p in plan(1, 60, 12, without=frozenset({"nats", "switch"}))} <= {
        "ivr", "routing", "queue", "recording", "reporting", "clickhouse"
    }  # fmt: skip
    assert any(p.how == KILL for p in plan(1, 60, 12))
