"""What users of other contact centers complain of, each as a test: its number and sentence stand in the docstring.

The 38 are complaints and wishes about FreeSWITCH's mod_callcenter (1-20), FusionPBX (21-26), Asterisk's app_queue (27-35),
VICIdial and its family (36-37) and others (38), from their public issue trackers. ``TABLE`` has all of them: ``here`` is tested in this file,
a path is the test elsewhere, and ``not ours`` says why there is none.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import (
    AgentRules,
    CallbackRules,
    Center,
    Miss,
    Overflow,
    Policy,
    QueueOrder,
    QueueRules,
)
from services.routing.core.index import Index
from tests.unit.routing.floor import Floor

ROOT = Path(__file__).resolve().parents[2]

HERE = "here"
TABLE: dict[int, tuple[str, str]] = {
    1: ("agents are taken by another node in the moment before the call", HERE),
    2: ("a fixed node name makes the shared tables useless", HERE),
    3: ("the dispatcher breaks down at 200 calls and 20 a second", HERE),
    4: ("the dispatch thread hangs and only a reload helps", HERE),
    5: ("a caller and an agent stand in an offer for ever", HERE),
    6: (
        "a dead database connection stops everything",
        "tests/integration/test_nats_faults.py::test_nats_a_killed_server_costs_nothing",
    ),
    7: ("callers count as answered hours after their call", HERE),
    8: ("agents stay reserved when several were rung", HERE),
    9: (
        "the agent's phone rings for a caller who has hung up",
        "tests/unit/queue/test_queue_races.py::test_caller_hangs_up_before_freeswitch_has_the_agents_channel",
    ),
    10: ("two agents are rung on one phone", HERE),
    11: ("the last agent of the list is on a break and nobody is called", HERE),
    12: ("an agent who changes the status during an offer causes a storm of calls", HERE),
    13: (
        "the agent hears silence until the caller's announcement is over",
        "tests/unit/queue/test_queue_calls.py::test_the_place_is_spoken_when_it_is_known_and_nothing_else_plays",
    ),
    14: ("delays and maxima for refusing, busy and lost phones are missing", HERE),
    15: ("nothing is said when an agent is deleted", HERE),
    16: ("the offer may be announced before the caller", HERE),
    17: ("deleted agents stay after a reload", HERE),
    18: ("a queue that was removed comes back with a caller who left it", HERE),
    19: ("ten seconds pass before the first phone rings", HERE),
    20: (
        "queues can only be written in XML and need a reload",
        "tests/unit/center/test_center_watch.py::test_new_revision_is_taken_and_wrong_one_refused",
    ),
    21: ("missed calls are not reported", HERE),
    22: (
        "there are no statistics of queues",
        "tests/integration/test_reporting_books.py::test_the_views_tell_each_story_whatever_the_order",
    ),
    23: ("nobody is called back", HERE),
    24: ("an agent whose phone is not registered stays available", HERE),
    25: ("callers do not hear their position", HERE),
    26: (
        "recording fails for some agents",
        "tests/integration/test_recording_node.py::test_a_recorded_call_is_stored_with_its_sound_and_its_agent",
    ),
    27: ("the wrap-up of an agent of two queues ends early, or is reset by a transfer", HERE),
    28: ("the wrap-up cannot be seen", HERE),
    29: ("one phone that gives up ends the ringing of all", HERE),
    30: ("an event costs a pass over all queues and members", HERE),
    31: ("calls are counted twice under load, which skews the choice of the agent", HERE),
    32: ("transfers are missing in the log, so talk times are wrong", HERE),
    33: ("a queue with weight starves the others", HERE),
    34: ("locks of many threads block each other", HERE),
    35: ("a queue ties its tenant to one server", HERE),
    36: ("agents are thrown out when the server lags", HERE),
    37: ("answered calls are reported as abandoned", HERE),
    38: ("an agent who misses three calls is logged out for good; called-back callers jump the line", HERE),
}


def one_queue(agents: int = 2, **rules: object) -> Floor:
    queue = QueueRules(**rules)  # type: ignore[arg-type]
    people = {f"a{n}": AgentRules(f"10{n:02}", ("q",)) for n in range(agents)}
    floor = Floor(Center("r1", {"q": queue}, people, frozenset("12"), frozenset({"lunch"}), {}, "q"))
    floor.available(*people)
    return floor


def activity(floor: Floor, agent_id: str) -> str:
    return floor.engine.state.agent(agent_id).activity


def test_every_complaint_is_tested_or_has_a_reason() -> None:
    """The table is whole, what it points at exists, and every test here carries its number."""
    assert sorted(TABLE) == list(range(1, 39))
    mine = {
        int(n)
        for name, test in globals().items()
        if name.startswith("test_") and (doc := test.__doc__)
        for n in re.findall(r"^Complaint (\d+)", doc)
    }
    assert {n for n, (_, where) in TABLE.items() if where == HERE} == mine
    for _, where in TABLE.values():
        if where.startswith("tests/"):
            path, _, name = where.partition("::")
            assert re.search(rf"def {name}\(", (ROOT / path).read_text()), where


def test_one_agent_is_never_given_to_two_nodes() -> None:
    """Complaint 1: agents are taken by another node in the moment before the call."""
    floor = one_queue(1)
    for n, node in enumerate(("fs1", "fs2", "fs3")):
        floor.waits(f"c{n}", "q", node=node)
    assert [o.node for o in floor.facts(f.OfferMade)] == ["fs1"]
    assert activity(floor, "a0") == "offered"


def test_every_offer_names_its_node_and_every_entry_its_owner() -> None:
    """Complaint 2: a fixed node name makes the shared tables useless."""
    floor = one_queue(2)
    floor.waits("c1", "q", node="tehran-2")
    assert floor.offer("c1").node == "tehran-2"
    floor.take_over()
    assert [entry.facts[0] for entry in floor.log if isinstance(entry.facts[0], f.OwnerChanged)][-1] == (
        f.OwnerChanged("one", 2)
    )


def _work(floor: Floor, monkeypatch: pytest.MonkeyPatch, contact_id: str) -> int:
    """How many comparisons of an agent with a want one arrival, its offer and its end cost."""
    asked = 0
    original = Index._can

    def counted(self: Index, agent_id: str, want: object) -> bool:
        nonlocal asked
        asked += 1
        return original(self, agent_id, want)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Index, "_can", counted)
        floor.waits(contact_id, "q0", skills=("x:1",))
        floor.talks(contact_id)
        floor.report(i.ConversationEnded, contact_id, ended_by="caller")
    return asked


def _large(agents: int, queues: int) -> Floor:
    rules = {f"q{n}": QueueRules() for n in range(queues)}
    people = {
        f"a{n}": AgentRules(str(n), tuple({f"q{n % queues}", "q0"}), {"x": n % 5 + 1}) for n in range(agents)
    }
    floor = Floor(Center("r1", rules, people, default_fallback="q0"), checked=False)
    floor.available(*people)
    _warm(floor)
    return floor


def _warm(floor: Floor) -> None:
    floor.waits("warm", "q0", skills=("x:1",))
    floor.talks("warm")
    floor.report(i.ConversationEnded, "warm", ended_by="caller")


def test_a_call_costs_the_same_with_ten_times_the_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complaint 3: the dispatcher breaks down at 200 calls and 20 a second."""
    small, large = _large(100, 4), _large(1_000, 4)
    assert _work(small, monkeypatch, "c1") == _work(large, monkeypatch, "c1") <= 10


def test_another_owner_goes_on_where_one_hangs() -> None:
    """Complaint 4: the dispatch thread hangs and only a reload helps."""
    floor = one_queue(2, ring_ms=10_000)
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    floor.waits("c3", "q")
    floor.now_us += 60_000_000  # nobody decides for a minute, and the timers of that owner are gone
    floor.take_over()
    floor.pass_ms(0)
    assert {o.outcome for o in floor.facts(f.OfferEnded)} == {"expired"}
    assert floor.facts(f.OfferMade)[-1].attempt >= 1
    assert floor.engine.state.contacts["c1"].waiting_since_us < floor.now_us - 59_000_000


def test_an_offer_that_nobody_reports_on_ends_by_itself() -> None:
    """Complaint 5: a caller and an agent stand in an offer for ever."""
    floor = one_queue(1, ring_ms=15_000)
    floor.waits("c1", "q")
    floor.pass_ms(20_000)
    assert [o.outcome for o in floor.facts(f.OfferEnded)] == ["expired"]
    floor.pass_ms(5_000)
    assert len(floor.facts(f.OfferMade)) == 2


def test_a_contact_whose_leg_is_gone_is_closed_whatever_was_lost_before() -> None:
    """Complaint 7: callers count as answered hours after their call."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.send(
        i.ContactGone, contact_id="c1", cause="NORMAL_CLEARING"
    )  # the end of the talk was not reported
    assert floor.engine.state.contacts == {}
    assert activity(floor, "a0") == "idle"


@pytest.mark.parametrize("end", ["answered", "caller_left", "nobody_reported"])
def test_nobody_stays_reserved_when_several_were_rung(end: str) -> None:
    """Complaint 8: agents stay reserved when several were rung."""
    floor = one_queue(4, strategy="ring_all", ring_at_once=4, ring_ms=10_000)
    floor.waits("c1", "q")
    if end == "answered":
        floor.talks("c1")
    elif end == "caller_left":
        floor.send(i.ContactGone, contact_id="c1")
    else:
        floor.pass_ms(15_000)
        floor.send(i.ContactGone, contact_id="c1")
    reserved = [a for a in floor.engine.center.agents if activity(floor, a) in ("offered", "ringing")]
    assert reserved == []
    assert floor.engine.state.offers == {}


def test_phones_that_ring_together_are_different_ones() -> None:
    """Complaint 10: two agents are rung on one phone."""
    floor = one_queue(3, strategy="ring_all", ring_at_once=3)
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    dialled = Counter(o.extension for o in floor.facts(f.OfferMade))
    assert dialled == {
        "1000": 1,
        "1001": 1,
        "1002": 1,
    }  # that extensions are unique is checked in the document


def test_last_agent_of_the_list_on_a_break_stops_nobody() -> None:
    """Complaint 11: the last agent of the list is on a break and nobody is called."""
    floor = one_queue(3, strategy="linear")
    floor.send(i.SetAgentPresence, request_id="r", agent_id="a2", presence="break")
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert [o.agent_id for o in floor.facts(f.OfferMade)] == ["a0", "a1"]


def test_a_change_of_presence_during_an_offer_makes_no_further_offer() -> None:
    """Complaint 12: an agent who changes the status during an offer causes a storm of calls."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    for presence in ("break", "available", "offline", "available", "break"):
        floor.send(i.SetAgentPresence, request_id="r", agent_id="a0", presence=presence)
    assert len(floor.facts(f.OfferMade)) == 1
    assert floor.facts(f.OfferEnded) == []
    assert activity(floor, "a0") == "offered"


@pytest.mark.parametrize("cause", ["declined", "busy", "unreachable"])
def test_delay_and_most_per_cause(cause: str) -> None:
    """Complaint 14: delays and maxima for refusing, busy and lost phones are missing."""
    center = Center(
        "r1",
        {"q": QueueRules()},
        {"a0": AgentRules("1000", ("q",))},
        default_fallback="q",
        misses={cause: Miss(7_000, 3)},
    )
    floor = Floor(center)
    floor.available("a0")
    floor.waits("c1", "q")
    for _ in range(3):
        floor.report(i.OfferFailed, "c1", outcome=cause)
        floor.pass_ms(7_000)
    assert len(floor.facts(f.OfferMade)) == 3
    assert floor.engine.state.agent("a0").reason == cause


def test_removal_of_an_agent_is_a_fact() -> None:
    """Complaint 15: nothing is said when an agent is deleted."""
    floor = one_queue(2)
    floor.send(i.CenterRevised, center=Center("r2", {"q": QueueRules()}, {}, default_fallback="q"))
    gone = [
        (p.agent_id, p.presence, p.reason, p.actor)
        for p in floor.new_facts()
        if isinstance(p, f.AgentPresenceChanged)
    ]
    assert gone == [("a0", "offline", "removed", "system"), ("a1", "offline", "removed", "system")]


def test_the_caller_comes_before_the_offer_in_one_entry() -> None:
    """Complaint 16: the offer may be announced before the caller."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    assert [type(fact).__name__ for fact in floor.log[-1].facts] == [
        "ContactQueued",
        "OfferMade",
        "AgentActivityChanged",
    ]


def test_agents_and_queues_that_left_the_document_are_offered_nothing() -> None:
    """Complaint 17: deleted agents stay after a reload."""
    floor = one_queue(2)
    people = {"a1": AgentRules("1001", ("q",))}
    floor.send(i.CenterRevised, center=Center("r2", {"q": QueueRules()}, people, default_fallback="q"))
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    assert [o.agent_id for o in floor.facts(f.OfferMade)] == ["a1"]


def test_a_removed_queue_does_not_come_back_with_a_caller() -> None:
    """Complaint 18: a queue that was removed comes back with a caller who left it."""
    floor = one_queue(0)
    floor.waits("c1", "q")
    floor.send(i.ContactGone, contact_id="c1")
    floor.send(i.CenterRevised, center=Center("r2", {"new": QueueRules()}, {}, default_fallback="new"))
    floor.waits("c1", "q", recovered=True)
    assert floor.engine.state.contacts["c1"].queue == "new"
    shown = views.queues(floor.engine.state, floor.engine.center, floor.engine.index, floor.now_us)
    assert [q.queue for q in shown] == ["new"]


def test_a_free_agent_is_rung_in_the_entry_in_which_the_caller_comes() -> None:
    """Complaint 19: ten seconds pass before the first phone rings."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    assert (floor.offer("c1").waited_ms, floor.log[-1].at_us) == (0, floor.now_us)


def test_a_missed_call_is_a_fact_with_agent_cause_and_time() -> None:
    """Complaint 21: missed calls are not reported."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="no_answer", cause="NO_ANSWER", ring_ms=20_000)
    missed = floor.facts(f.OfferEnded)[0]
    assert (missed.agent_id, missed.outcome, missed.cause, missed.ring_ms) == (
        "a0",
        "no_answer",
        "NO_ANSWER",
        20_000,
    )


def _calling_back() -> Floor:
    back = CallbackRules(attempts=2, pause_ms=600_000, expires_ms=3_600_000)
    return one_queue(0, callback=back)


def test_who_asks_to_be_called_back_is_called_at_the_old_place() -> None:
    """Complaint 23: nobody is called back."""
    floor = _calling_back()
    floor.waits("asks", "q")
    since_us = floor.now_us
    floor.pass_ms(60_000)
    floor.send(i.CallbackAccepted, contact_id="asks", number="09121234567")
    assert floor.facts(f.ContactClosed)[-1].result == "callback_taken"
    _staff(floor, 1)
    offer = floor.facts(f.OfferMade)[-1]
    assert (offer.kind, offer.number, offer.waiting_since_us) == ("callback", "09121234567", since_us)


def _staff(floor: Floor, agents: int) -> None:
    """Give the queue its people: the same document with agents, who log in."""
    people = {f"a{n}": AgentRules(f"10{n:02}", ("q",)) for n in range(agents)}
    floor.send(
        i.CenterRevised, center=msgspec.structs.replace(floor.engine.center, revision="r2", agents=people)
    )
    floor.available(*people)


def test_an_agent_without_a_phone_is_offered_nothing_and_serves_nobody() -> None:
    """Complaint 24: an agent whose phone is not registered stays available."""
    floor = one_queue(1)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    floor.send(i.PhoneChanged, extension="1000", registered=False, node="fs1")
    floor.waits("c1", "q")
    assert floor.facts(f.OfferMade) == []
    assert (activity(floor, "a0"), floor.engine.index.serving("q")) == ("unreachable", 0)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    assert floor.offer("c1").agent_id == "a0"


def test_position_of_every_caller_is_known_and_kept() -> None:
    """Complaint 25: callers do not hear their position."""
    floor = one_queue(0)
    for n in range(3):
        floor.waits(f"c{n}", "q")
        floor.pass_ms(1_000)
    state, index = floor.engine.state, floor.engine.index
    assert [views.position(state, index, f"c{n}").position for n in range(3)] == [1, 2, 3]
    floor.send(i.ContactGone, contact_id="c0")
    assert [views.position(state, index, f"c{n}").position for n in range(3)] == [0, 1, 2]


def test_wrap_up_holds_for_all_queues_and_is_not_shortened_by_a_transfer() -> None:
    """Complaint 27: the wrap-up of an agent of two queues ends early, or is reset by a transfer."""
    queues = {"p": QueueRules(wrap_up_ms=20_000), "q": QueueRules(wrap_up_ms=1_000)}
    people = {n: AgentRules(f"10{k}", ("p", "q")) for k, n in enumerate(("a0", "a1"))}
    floor = Floor(Center("r1", queues, people, default_fallback="q"))
    floor.available("a0")
    floor.waits("c1", "p")
    floor.talks("c1")
    floor.waits("c2", "q")
    floor.send(i.AgentBridged, offer_id="moved", contact_id="c1", agent_id="a1", node="fs1")  # to a1
    floor.pass_ms(19_999)
    assert activity(floor, "a0") == "wrap_up"
    floor.pass_ms(1)
    assert floor.offer("c2").agent_id == "a0"


def test_wrap_up_is_an_activity_with_a_beginning_an_end_and_a_length() -> None:
    """Complaint 28: the wrap-up cannot be seen."""
    floor = one_queue(1, wrap_up_ms=20_000)
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    began = floor.facts(f.AgentActivityChanged)[-1]
    assert (began.activity, began.contact_id, began.limit_ms) == ("wrap_up", "c1", 20_000)
    floor.pass_ms(20_000)
    assert floor.facts(f.WrapUpEnded)[-1].wrap_up_ms == 20_000


def test_a_phone_that_gives_up_leaves_the_others_ringing() -> None:
    """Complaint 29: one phone that gives up ends the ringing of all."""
    floor = one_queue(3, strategy="ring_all", ring_at_once=3)
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert len(floor.engine.state.offers) == 2
    assert [o.outcome for o in floor.facts(f.OfferEnded)] == ["declined"]


def test_an_event_costs_the_same_with_ten_times_the_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complaint 30: an event costs a pass over all queues and members."""
    few, many = _large(200, 10), _large(200, 100)
    for floor in (few, many):
        for n in range(1, 10):
            floor.waits(f"other-{n}", f"q{n}", skills=("z:1",))
    assert _work(many, monkeypatch, "c1") <= _work(few, monkeypatch, "c1") <= 12


def test_a_report_that_comes_twice_counts_once() -> None:
    """Complaint 31: calls are counted twice under load, which skews the choice of the agent."""
    floor = one_queue(1, strategy="fewest_contacts")
    floor.waits("c1", "q")
    about = {"offer_id": floor.offer("c1").offer_id, "contact_id": "c1", "agent_id": "a0"}
    floor.send(i.AgentBridged, input_id="same", **about)
    floor.send(i.AgentBridged, input_id="same", **about)
    floor.send(i.AgentBridged, input_id="other", **about)
    assert floor.engine.state.agent("a0").contacts == 1
    assert len(floor.facts(f.ContactConnected)) == 1


def test_a_transfer_is_in_the_log_with_both_agents_and_their_times() -> None:
    """Complaint 32: transfers are missing in the log, so talk times are wrong."""
    floor = one_queue(2)
    floor.waits("c1", "q")
    assert floor.talks("c1") == "a0"
    floor.pass_ms(30_000)
    floor.send(i.AgentBridged, offer_id="moved", contact_id="c1", agent_id="a1", node="fs1")
    floor.pass_ms(12_000)
    floor.send(
        i.ConversationEnded,
        offer_id="moved",
        contact_id="c1",
        agent_id="a1",
        ended_by="caller",
        talk_ms=12_000,
    )
    assert [c.agent_id for c in floor.facts(f.ContactConnected)] == ["a0", "a1"]
    talked = {
        a.agent_id: a.previous_ms for a in floor.facts(f.AgentActivityChanged) if a.previous == "talking"
    }
    assert talked == {"a0": 30_000, "a1": 12_000}
    assert len(floor.facts(f.ContactClosed)) == 1


def test_queues_that_share_starve_nobody_whatever_their_weight() -> None:
    """Complaint 33: a queue with weight starves the others."""

    def taken(between: str) -> list[str]:
        center = Center(
            "r1",
            {"vip": QueueRules(), "all": QueueRules()},
            {"a0": AgentRules("1000", ("vip", "all"), orders={"all": QueueOrder(1)})},
            default_fallback="all",
            between_queues=between,
        )
        floor = Floor(center)
        for n in range(10):
            floor.waits(f"vip-{n}", "vip", priority=100)
            floor.waits(f"all-{n}", "all")
        floor.available("a0")
        for _ in range(10):
            contact_id = floor.facts(f.OfferMade)[-1].contact_id
            floor.talks(contact_id)
            floor.report(i.ConversationEnded, contact_id, ended_by="caller")
        return [o.queue for o in floor.facts(f.OfferMade)][:10]

    assert Counter(taken("share")) == {"vip": 5, "all": 5}
    assert Counter(taken("strict")) == {"vip": 10}


def test_nobody_who_decides_about_calls_waits_for_a_lock() -> None:
    """Complaint 34: locks of many threads block each other.

    One loop decides for a tenant and one for a node, each input as a whole; what is shared between threads is behind the event socket's
    client. So neither routing nor queue has anything to lock or a thread to lock against.
    """
    found = []
    for path in sorted((ROOT / "services").glob("[rq]*/**/*.py")):
        if path.relative_to(ROOT / "services").parts[0] not in ("routing", "queue"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            called = node.attr if isinstance(node, ast.Attribute) else ""
            if {"threading", "multiprocessing", "concurrent.futures"} & set(names) or called in (
                "Lock",
                "RLock",
                "Semaphore",
                "to_thread",
                "run_in_executor",
            ):
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert found == []


def test_agents_serve_callers_on_every_node() -> None:
    """Complaint 35: a queue ties its tenant to one server."""
    floor = one_queue(2)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    floor.waits("c1", "q", node="fs2")
    floor.waits("c2", "q", node="fs1")
    assert [(o.agent_id, o.node) for o in floor.facts(f.OfferMade)] == [("a0", "fs2"), ("a1", "fs1")]


def test_a_node_that_lags_costs_nobody_the_login() -> None:
    """Complaint 36: agents are thrown out when the server lags."""
    floor = one_queue(1)
    floor.send(i.PhoneChanged, extension="1000", registered=True, node="fs1")
    floor.send(i.NodeSeen, node="fs1", up=False)
    assert (activity(floor, "a0"), floor.engine.state.agent("a0").presence) == ("unreachable", "available")
    floor.send(i.NodeSeen, node="fs1", up=True)
    assert activity(floor, "a0") == "idle"


def test_who_was_bridged_was_answered() -> None:
    """Complaint 37: answered calls are reported as abandoned."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    about = {"offer_id": floor.offer("c1").offer_id, "contact_id": "c1", "agent_id": "a0"}
    floor.send(i.ConversationEnded, ended_by="caller", **about)  # the bridge itself was never reported
    floor.send(i.ContactGone, contact_id="c1")
    assert [(c.outcome, c.result) for c in floor.facts(f.ContactClosed)] == [("completed", "answered")]


def test_an_agent_who_missed_calls_is_paused_with_the_reason_and_comes_back() -> None:
    """Complaint 38: an agent who misses three calls is logged out for good; called-back callers jump the line."""
    floor = one_queue(1)
    floor.engine.policy = Policy(max_no_answer=3)
    floor.waits("c1", "q")
    for _ in range(3):
        floor.report(i.OfferFailed, "c1", outcome="no_answer")
        floor.pass_ms(5_000)
    agent = floor.engine.state.agent("a0")
    assert (agent.presence, agent.reason) == ("break", "no_answer")
    floor.available("a0")
    assert floor.offer("c1").attempt == 4
    # Whoever is taken in again keeps the place: the waiting time is the caller's, not the queue's.
    floor.talks("c1")
    since_us = floor.engine.state.contacts["c1"].waiting_since_us
    floor.waits("c1", "q", recovered=True)
    assert floor.engine.state.contacts["c1"].waiting_since_us == since_us


def test_called_back_callers_do_not_jump_the_line() -> None:
    """Complaint 38, its second half: whoever is called back is neither before the older callers nor behind the younger ones."""
    floor = _calling_back()
    for contact_id in ("older", "asks", "younger"):
        floor.waits(contact_id, "q")
        floor.pass_ms(1_000)
    floor.send(i.CallbackAccepted, contact_id="asks", number="09121234567")
    _staff(floor, 3)
    assert [o.contact_id.partition("-")[0] for o in floor.facts(f.OfferMade)] == ["older", "asks", "younger"]


def test_no_way_out_of_a_queue_is_a_busy_tone() -> None:
    """Complaint 18 again: callers of a queue that is full or gone are led on, never turned away without a word."""
    floor = one_queue(0, max_length=1, full=Overflow("hangup", "sorry"))
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    left = floor.facts(f.ContactOverflowed)[-1]
    assert (left.contact_id, left.action, left.target) == ("c2", "hangup", "sorry")
