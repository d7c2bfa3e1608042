"""Routing's core under arbitrary events: invariants after every step, replay, takeovers, two owners."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import AgentRules, Center, Overflow, Policy, QueueRules
from services.routing.core.state import State
from tests.unit.routing.floor import Floor

QUEUE_NAMES = ("a", "b", "c")
AGENT_NAMES = ("g1", "g2", "g3", "g4")
NODES = ("fs1", "fs2")
SKILLS = st.dictionaries(st.sampled_from(("x", "y")), st.integers(1, 2), max_size=2)
OVERFLOWS = st.one_of(
    st.sampled_from(QUEUE_NAMES).map(lambda q: Overflow("queue", q)),
    st.just(Overflow("transfer", "+1")),
    st.just(Overflow("hangup")),
)
QUEUE_RULES = st.builds(
    QueueRules,
    skills=SKILLS,
    ring_ms=st.sampled_from((5_000, 15_000)),
    wrap_up_ms=st.sampled_from((0, 10_000)),
    max_wait_ms=st.sampled_from((0, 20_000)),
    max_length=st.sampled_from((0, 0, 2)),
    overflow=OVERFLOWS,
)
AGENT_RULES = st.builds(
    lambda queues, skills: AgentRules("", tuple(sorted(queues)), skills),
    st.sets(st.sampled_from(QUEUE_NAMES), min_size=1),
    SKILLS,
)


@st.composite
def centers(draw: st.DrawFn) -> Center:
    queues = draw(st.dictionaries(st.sampled_from(QUEUE_NAMES), QUEUE_RULES, min_size=1))
    agents = draw(st.dictionaries(st.sampled_from(AGENT_NAMES), AGENT_RULES))
    agents = {
        name: msgspec.structs.replace(
            r, extension=name.replace("g", "10"), queues=tuple(q for q in r.queues if q in queues)
        )
        for name, r in agents.items()
    }
    revision = str(draw(st.integers(0, 999)))
    fallback = draw(st.sampled_from(sorted(queues)))
    return Center(revision, queues, agents, frozenset("12"), frozenset({"lunch"}), {}, fallback)


class RoutingMachine(RuleBasedStateMachine):
    """Callers, agents, phones, nodes, documents and owners do whatever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[type[Any], dict[str, Any]]] = []
        self.contact_count = 0

    @initialize(center=centers(), max_no_answer=st.integers(1, 2))
    def begin(self, center: Center, max_no_answer: int) -> None:
        self.floor = Floor(center, Policy(max_no_answer=max_no_answer))
        for agent_id in sorted(center.agents):
            self.floor.available(agent_id)

    def send(self, kind: type[Any], **fields: Any) -> None:
        fields["input_id"] = f"s{len(self.sent)}"
        self.sent.append((kind, fields))
        self.floor.send(kind, **fields)

    def contact_ids(self) -> list[str]:
        """Open, closed and unknown ones."""
        return [f"k{n}" for n in range(self.contact_count + 1)]

    def offers(self) -> list[f.OfferMade]:
        return self.floor.facts(f.OfferMade)

    @rule(queue=st.sampled_from((*QUEUE_NAMES, "unknown")), node=st.sampled_from(NODES), priority=st.integers(-1, 1),
          skills=st.lists(st.sampled_from(("x:1", "y:2", "x", "z:?")), max_size=1), ago_ms=st.integers(0, 5_000))  # fmt: skip
    def caller_waits(self, queue: str, node: str, priority: int, skills: list[str], ago_ms: int) -> None:
        contact_id = f"k{self.contact_count}"
        self.contact_count += 1
        since_us = self.floor.now_us - ago_ms * 1000
        self.send(i.ContactWaiting, contact_id=contact_id, queue=queue, node=node, priority=priority,
                  skills=tuple(skills), waiting_since_us=since_us)  # fmt: skip

    @rule(data=st.data(), recovered=st.booleans())
    def caller_is_reported_again(self, data: st.DataObject, recovered: bool) -> None:
        contact_id = data.draw(st.sampled_from(self.contact_ids()))
        self.send(i.ContactWaiting, contact_id=contact_id, queue="a", node="fs1",
                  waiting_since_us=self.floor.now_us, recovered=recovered)  # fmt: skip

    @rule(data=st.data(), unseen=st.booleans())
    def caller_leaves(self, data: st.DataObject, unseen: bool) -> None:
        self.send(i.ContactGone, contact_id=data.draw(st.sampled_from(self.contact_ids())), unseen=unseen)

    @precondition(lambda self: self.offers())
    @rule(data=st.data(), outcome=st.sampled_from(("no_answer", "busy", "declined", "unreachable", "withdrawn", "failed")),
          what=st.sampled_from((i.OfferRinging, i.OfferAnswered, i.OfferFailed, i.AgentBridged, i.AgentBridged, i.ConversationEnded)),
          newest=st.booleans())  # fmt: skip
    def offer_is_reported_on(self, data: st.DataObject, outcome: str, what: type[Any], newest: bool) -> None:
        offer = self.offers()[-1] if newest else data.draw(st.sampled_from(self.offers()))
        fields: dict[str, Any] = {
            "offer_id": offer.offer_id,
            "contact_id": offer.contact_id,
            "agent_id": offer.agent_id,
        }
        if what is i.OfferFailed:
            fields["outcome"] = outcome
        if what is i.ConversationEnded:
            fields |= {"ended_by": "caller", "talk_ms": 1_000}
        self.send(what, **fields)

    @precondition(lambda self: self.floor.facts(f.ContactConnected))
    @rule(data=st.data())
    def conversation_ends(self, data: st.DataObject) -> None:
        talk = data.draw(st.sampled_from(self.floor.facts(f.ContactConnected)))
        self.send(i.ConversationEnded, offer_id=talk.offer_id, contact_id=talk.contact_id, agent_id=talk.agent_id,
                  ended_by="agent", talk_ms=1_000)  # fmt: skip

    @rule(data=st.data(), agent_id=st.sampled_from(AGENT_NAMES))
    def somebody_is_bridged_by_surprise(self, data: st.DataObject, agent_id: str) -> None:
        contact_id = data.draw(st.sampled_from(self.contact_ids()))
        self.contact_count = max(self.contact_count, int(contact_id[1:]) + 1)
        self.send(i.AgentBridged, offer_id="surprise", contact_id=contact_id, agent_id=agent_id, node="fs1")

    @rule(
        data=st.data(),
        agent_id=st.sampled_from(AGENT_NAMES),
        code=st.sampled_from(("1", "9")),
        keyed=st.booleans(),
    )
    def disposition(self, data: st.DataObject, agent_id: str, code: str, keyed: bool) -> None:
        if keyed:
            contact_id = data.draw(st.sampled_from(self.contact_ids()))
            self.send(i.DispositionKeyed, contact_id=contact_id, agent_id=agent_id, code=code)
        else:
            self.send(i.SetDisposition, request_id="r", agent_id=agent_id, code=code)

    @rule(
        agent_id=st.sampled_from(AGENT_NAMES),
        presence=st.sampled_from(("available", "available", "break", "offline", "toggle", "odd")),
    )
    def presence(self, agent_id: str, presence: str) -> None:
        self.send(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence=presence)

    @rule(number=st.integers(1, 5), registered=st.booleans(), node=st.sampled_from(NODES))
    def phone(self, number: int, registered: bool, node: str) -> None:
        self.send(i.PhoneChanged, extension=f"10{number}", registered=registered, node=node)

    @rule(numbers=st.sets(st.integers(1, 5)), node=st.sampled_from(NODES))
    def phones(self, numbers: set[int], node: str) -> None:
        self.send(i.PhonesListed, node=node, extensions=frozenset(f"10{n}" for n in numbers))

    @rule(node=st.sampled_from(NODES), up=st.booleans())
    def node(self, node: str, up: bool) -> None:
        self.send(i.NodeSeen, node=node, up=up)

    @rule(center=centers())
    def document(self, center: Center) -> None:
        self.send(i.CenterRevised, center=center)

    @rule(ms=st.sampled_from((0, 1, 999, 1_000, 5_000, 10_000, 20_000, 60_000)))
    def time_passes(self, ms: int) -> None:
        self.floor.pass_ms(ms)

    @rule(ms=st.integers(1, 30_000))
    def clock_jumps(self, ms: int) -> None:
        """The process was frozen, or its clock was set back and forth: timers fire late."""
        self.floor.now_us += ms * 1000 if ms % 2 else -ms * 1000

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def redelivery(self, data: st.DataObject) -> None:
        kind, fields = data.draw(st.sampled_from(self.sent))
        recorded = self.floor.engine.state.has_seen(fields["input_id"])
        if kind is i.CenterRevised or not recorded:
            return  # a document is no delivery; what led to nothing may lead to something later
        entries = len(self.floor.log)
        self.floor.send(kind, **fields)
        assert len(self.floor.log) == entries

    @rule(via_snapshot=st.booleans())
    def takeover(self, via_snapshot: bool) -> None:
        self.floor.take_over(via_snapshot=via_snapshot)

    @invariant()
    def log_gives_the_same_state(self) -> None:
        if hasattr(self, "floor"):
            assert self.floor.replayed().dump() == self.floor.engine.state.dump()
            assert self.floor.timers == self.floor.engine.timers

    @invariant()
    def each_offer_ends_once(self) -> None:
        if not hasattr(self, "floor"):
            return
        made = [o.offer_id for o in self.floor.facts(f.OfferMade)]
        ended = [o.offer_id for o in self.floor.facts(f.OfferEnded)]
        assert len(made) == len(set(made))
        assert len(ended) == len(set(ended))
        assert set(made) - set(ended) == set(self.floor.engine.state.offers)

    @invariant()
    def nobody_is_lost(self) -> None:
        """Every queued contact is open or was closed after it was queued last."""
        if not hasattr(self, "floor"):
            return
        is_open: dict[str, bool] = {}
        for entry in self.floor.log:
            for fact in entry.facts:
                if isinstance(fact, f.ContactQueued):
                    assert fact.requeued == is_open.get(fact.contact_id, False)
                    is_open[fact.contact_id] = True
                elif isinstance(fact, f.ContactClosed):
                    assert is_open[fact.contact_id]
                    assert min(fact.wait_ms, fact.talk_ms) >= 0
                    is_open[fact.contact_id] = False
        assert {c for c, o in is_open.items() if o} == set(self.floor.engine.state.contacts)

    @invariant()
    def views_agree(self) -> None:
        if not hasattr(self, "floor"):
            return
        state, center, index = self.floor.engine.state, self.floor.engine.center, self.floor.engine.index
        shown = views.contacts(state, index, self.floor.now_us)
        assert {c.contact_id for c in shown} == set(state.contacts)
        for contact in shown:
            place = views.position(state, index, contact.contact_id)
            assert place.position == contact.position
            assert place.position <= place.waiting
        assert sum(q.talking for q in views.queues(state, center, index, self.floor.now_us)) <= len(shown)
        assert len(views.agents(state, center, self.floor.now_us)) == len(center.agents)

    def teardown(self) -> None:
        """When everybody logs in and the nodes are back, whoever can be served is being served."""
        if not hasattr(self, "floor"):
            return
        for node in NODES:
            self.floor.send(i.NodeSeen, node=node, up=True)
        for agent_id in sorted(self.floor.engine.center.agents):
            self.floor.send(
                i.PhoneChanged, extension=agent_id.replace("g", "10"), registered=True, node="fs1"
            )
            self.floor.available(agent_id)
        assert State.load(self.floor.engine.state.dump(), self.floor.policy) is not None
        assert self.floor.engine.check() == []


RoutingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoutingMachine = RoutingMachine.TestCase
