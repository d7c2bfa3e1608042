"""Complaints about the distributor itself: nodes and owners, what a decision costs, the order of offers and queues. Table: ``test_complaints``."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, QueueOrder, QueueRules
from services.routing.core.index import Index
from tests.complaints.one_queue import activity, one_queue
from tests.unit.routing.floor import Floor

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_caller_comes_before_the_offer_in_one_entry() -> None:
    """Complaint 16: the offer may be announced before the caller."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    assert [type(fact).__name__ for fact in floor.log[-1].facts] == [
        "ContactQueued",
        "OfferMade",
        "AgentActivityChanged",
    ]


def test_a_free_agent_is_rung_in_the_entry_in_which_the_caller_comes() -> None:
    """Complaint 19: ten seconds pass before the first phone rings."""
    floor = one_queue(1)
    floor.waits("c1", "q")
    assert (floor.offer("c1").waited_ms, floor.log[-1].at_us) == (0, floor.now_us)


def test_an_event_costs_the_same_with_ten_times_the_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Complaint 30: an event costs a pass over all queues and members."""
    few, many = _large(200, 10), _large(200, 100)
    for floor in (few, many):
        for n in range(1, 10):
            floor.waits(f"other-{n}", f"q{n}", skills=("z:1",))
    assert _work(many, monkeypatch, "c1") <= _work(few, monkeypatch, "c1") <= 12


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
