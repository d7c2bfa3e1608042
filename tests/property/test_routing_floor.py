"""A floor where people mostly do what comes next: transfers, consultations, callbacks and chats get far, and meet each other.

``test_routing_engine`` throws anything at routing's core; there a consultation that is answered while the caller asks for a callback
hardly ever comes about. Here every rule looks at who is where and takes a step that such a person can take.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.routing.core import inputs as i
from services.routing.core.center import (
    CALL,
    AgentRules,
    CallbackRules,
    Center,
    ChannelRules,
    Overflow,
    Policy,
    QueueRules,
)
from services.routing.core.records import Contact, Offer
from services.routing.core.toll import Rights
from tests.property import routing_books as books
from tests.unit.routing.floor import Floor

AGENTS = ("g1", "g2", "g3", "g4")
QUEUES = ("a", "b")
NODES = ("fs1", "fs2")
PHONES = ("101", "102", "90")
"""Two agents' own phones, and a desk that is nobody's."""
PRESENCES = ("available", "available", "break", "offline")


@st.composite
def floors(draw: st.DrawFn) -> Center:
    """Four agents for two queues; what decides about transfers, callbacks and shares is drawn."""
    callback = CallbackRules(
        first=draw(st.sampled_from(("customer", "agent"))), dial_ms=10_000, attempts=2, pause_ms=2_000
    )
    queues = {
        queue: QueueRules(
            ring_ms=10_000,
            wrap_up_ms=draw(st.sampled_from((0, 5_000))),
            strategy=draw(st.sampled_from(("longest_idle", "least_occupied", "ring_all", "random_weighted"))),
            ring_at_once=draw(st.sampled_from((1, 2))),
            max_wait_ms=draw(st.sampled_from((0, 30_000))),
            overflow=draw(
                st.sampled_from((Overflow("callback"), Overflow("queue", "b"), Overflow("hangup")))
            ),
            callback=callback,
        )
        for queue in QUEUES
    }
    interrupts = st.sampled_from((frozenset[str](), frozenset({"call"}), frozenset({"call", "chat"})))
    capacity = st.sampled_from(({}, {"chat": 1}, {"email": 0}))
    outside = draw(st.sampled_from(("", "0935")))
    return Center(
        "r1",
        queues,
        {
            a: AgentRules(
                f"10{a[1]}",
                QUEUES,
                capacity=draw(capacity),
                number=outside if a == "g3" else "",
                confirm=draw(st.booleans()),
            )
            for a in AGENTS[:-1]
        }
        | {AGENTS[-1]: AgentRules("104", QUEUES, capacity={"call": draw(st.integers(0, 1))})},
        frozenset("12"),
        frozenset(),
        default_fallback="a",
        channels={
            "chat": ChannelRules(draw(st.integers(2, 3))),
            "email": ChannelRules(draw(st.integers(2, 4)), draw(interrupts)),
        },
        transfer_failed=draw(st.sampled_from(("queue", "agent"))),
        transfer_place=draw(st.sampled_from(("kept", "last"))),
        calls=Rights(allowed=("0",)),
        desks=frozenset({"90"}),
        pin_attempts=2,
        pin_lock_ms=5_000,
    )


class FloorMachine(RuleBasedStateMachine):
    """Callers, customers of other channels, agents, queue and owners."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0

    @initialize(center=floors(), talks=st.integers(1, 2), waits=st.integers(0, 2))
    def begin(self, center: Center, talks: int, waits: int) -> None:
        """Everybody is there, one or two talk and some wait, so that what follows is about something."""
        self.documents = [(0, center)]
        self.floor = Floor(center, Policy(nodes=NODES))
        self.floor.available(*AGENTS)
        for n in range(talks + waits):
            self.a_caller_comes("a", "0912")
            for offer in self.offers() if n < talks else ():
                if offer.offer_id in self.floor.engine.state.offers:
                    self.report(i.AgentBridged, offer)

    # -- who is where

    def contacts(self, *statuses: str, calls: bool = True) -> list[Contact]:
        found = self.floor.engine.state.contacts.values()
        return [c for c in found if c.status in statuses and (c.channel == CALL) == calls]

    def offers(self, *, calls: bool = True, consult: bool = False) -> list[Offer]:
        found = self.floor.engine.state.offers.values()
        return [o for o in found if (o.channel == CALL) == calls and (o.kind == "consult") == consult]

    def on_phone(self) -> list[Contact]:
        return [c for c in self.contacts("waiting", "offered") if not c.no_leg]

    def report(self, kind: type[Any], of: Offer, **fields: Any) -> None:
        about = {"offer_id": of.offer_id, "contact_id": of.contact_id, "agent_id": of.agent_id}
        self.floor.send(kind, **about, **fields)

    # -- callers

    @rule(queue=st.sampled_from(QUEUES), ani=st.sampled_from(("0912", "0913")))
    def a_caller_comes(self, queue: str, ani: str) -> None:
        self.came += 1
        self.floor.waits(f"k{self.came}", queue, ani=ani)

    @precondition(lambda self: self.on_phone())
    @rule(data=st.data(), number=st.sampled_from(("0912", "0913")), seldom=st.integers(0, 2))
    def a_caller_leaves_or_asks_to_be_called_back(
        self, data: st.DataObject, number: str, seldom: int
    ) -> None:
        contact = data.draw(st.sampled_from(self.on_phone()))
        if seldom:
            self.floor.send(i.CallbackAccepted, contact_id=contact.contact_id, number=number)
        self.floor.send(i.ContactGone, contact_id=contact.contact_id, cause="NORMAL_CLEARING")

    @precondition(lambda self: any(o.kind == "callback" for o in self.offers()))
    @rule(data=st.data(), answers=st.integers(0, 3))
    def a_customer_is_called_back(self, data: st.DataObject, answers: int) -> None:
        offer = data.draw(st.sampled_from([o for o in self.offers() if o.kind == "callback"]))
        contact = self.floor.engine.state.contacts[offer.contact_id]
        if not contact.no_leg:
            return
        if answers:
            self.floor.waits(
                contact.contact_id,
                contact.queue,
                waiting_since_us=contact.waiting_since_us,
                callback_id=contact.callback_id,
            )
        else:
            self.floor.send(
                i.CallbackAttempted,
                contact_id=contact.contact_id,
                callback_id=contact.callback_id,
                outcome="no_answer",
            )

    # -- phones

    @precondition(lambda self: self.offers())
    @rule(
        data=st.data(), answers=st.integers(0, 5), outcome=st.sampled_from(("no_answer", "declined", "busy"))
    )
    def a_phone_rings(self, data: st.DataObject, answers: int, outcome: str) -> None:
        offer = data.draw(st.sampled_from(self.offers()))
        if not answers:
            self.report(i.OfferFailed, offer, outcome=outcome)
        elif not self.floor.engine.state.contacts[offer.contact_id].no_leg:
            self.report(i.OfferRinging, offer)
            self.report(i.OfferAnswered, offer)
            self.report(i.AgentBridged, offer)

    @precondition(lambda self: self.contacts("talking"))
    @rule(data=st.data(), held=st.booleans())
    def an_agent_holds_or_resumes(self, data: st.DataObject, held: bool) -> None:
        contact = data.draw(st.sampled_from(self.contacts("talking")))
        kind = i.ContactHeld if held else i.ContactResumed
        self.floor.send(kind, agent_id=contact.agent_id, contact_id=contact.contact_id)

    @precondition(lambda self: self.contacts("talking"))
    @rule(data=st.data(), recovered=st.integers(0, 4), seldom=st.integers(0, 1))
    def a_talk_ends(self, data: st.DataObject, recovered: int, seldom: int) -> None:
        if seldom:
            return
        contact = data.draw(st.sampled_from(self.contacts("talking")))
        if recovered:
            self.floor.send(
                i.ConversationEnded,
                offer_id=contact.offer_id,
                contact_id=contact.contact_id,
                agent_id=contact.agent_id,
                ended_by="caller",
            )
        else:  # The agent's leg is lost, the caller's is not.
            self.floor.waits(contact.contact_id, contact.queue, recovered=True)

    # -- calls that agents place

    @rule(agent=st.sampled_from(AGENTS), dialled=st.booleans(), answers=st.integers(0, 3))
    def an_agent_places_a_call(self, agent: str, dialled: bool, answers: int) -> None:
        """By click or from the phone; one in four reaches nobody."""
        if dialled:
            self.dial(agent, True)
        self.came += 1
        contact_id = f"p{self.came}"
        self.floor.send(
            i.PlaceCall,
            request_id="r",
            contact_id=contact_id,
            agent_id=agent,
            number="0211",
            leg_id=f"own-{agent}" if dialled else "",
            node="fs1",
        )
        found = [o for o in self.offers() if o.contact_id == contact_id]
        if found and answers:
            self.floor.waits(contact_id, found[0].queue)
            self.report(i.AgentBridged, found[0])
        elif found:
            self.floor.send(i.OutboundFailed, contact_id=contact_id, outcome="no_answer")

    # -- phones and nodes

    @rule(agent=st.sampled_from(AGENTS), phone=st.sampled_from(PHONES), pin=st.integers(0, 4))
    def an_agent_logs_in_at_a_phone(self, agent: str, phone: str, pin: int) -> None:
        """Somebody else's, a desk, or the own one again; whoever is there is logged out. One PIN of five is wrong."""
        self.floor.send(
            i.SeatAgent,
            request_id="r",
            agent_id=agent,
            extension=phone,
            node="fs1",
            by_pin=True,
            verified=pin > 0,
            force=True,
        )

    @rule(node=st.sampled_from(NODES), draining=st.booleans())
    def a_node_is_emptied_or_back(self, node: str, draining: bool) -> None:
        self.floor.send(
            i.NodeDrainChanged, node=node, draining=draining, since_us=self.floor.now_us, actor="root"
        )

    @precondition(lambda self: self.on_phone())
    @rule(data=st.data(), node=st.sampled_from(NODES))
    def a_caller_arrives_on_another_node(self, data: st.DataObject, node: str) -> None:
        """Whoever rings for the caller rings in vain; the place is the same."""
        contact = data.draw(st.sampled_from(self.on_phone()))
        since_us, moves = contact.waiting_since_us, contact.node != node
        self.floor.waits(contact.contact_id, contact.queue, node=node, recovered=True)
        now = self.floor.engine.state.contacts.get(contact.contact_id)
        if now is not None and moves and not contact.leaving:
            assert (now.node, now.waiting_since_us) == (node, since_us)

    # -- transfers and consultations

    @precondition(lambda self: self.contacts("talking"))
    @rule(data=st.data(), kind=st.sampled_from(("agent", "agent", "queue", "number")))
    def a_contact_is_passed_on(self, data: st.DataObject, kind: str) -> None:
        self.pass_on(data, kind)

    @precondition(lambda self: any(not c.consult_agent for c in self.contacts("talking")))
    @rule(data=st.data(), answers=st.integers(0, 3))
    def an_agent_wants_to_ask(self, data: st.DataObject, answers: int) -> None:
        self.pass_on(data, "agent", consult=True)
        if answers and self.offers(consult=True):
            self.a_colleague_answers(self.offers(consult=True)[-1])

    def pass_on(self, data: st.DataObject, kind: str, *, consult: bool = False) -> None:
        contact = data.draw(st.sampled_from(self.contacts("talking")))
        able = [a for a in AGENTS[:-1] if self.floor.engine.state.agent(a).activity in ("idle", "handling")]
        targets = {"agent": able or AGENTS, "queue": QUEUES, "number": ("0211",)}
        self.floor.send(
            i.TransferRequested,
            request_id="r",
            offer_id=contact.offer_id,
            contact_id=contact.contact_id,
            agent_id=contact.agent_id,
            target_kind=kind,
            target=data.draw(st.sampled_from(targets[kind])),
            consult=consult,
        )

    @precondition(lambda self: self.offers(consult=True))
    @rule(data=st.data(), answers=st.integers(0, 3))
    def a_colleague_is_asked(self, data: st.DataObject, answers: int) -> None:
        offer = data.draw(st.sampled_from(self.offers(consult=True)))
        if answers:
            self.a_colleague_answers(offer)
        else:
            self.report(i.OfferFailed, offer, outcome="no_answer")

    def a_colleague_answers(self, offer: Offer) -> None:
        self.report(i.ConsultStarted, offer, from_agent_id=offer.by_agent)
        assert self.floor.engine.state.contacts[offer.contact_id].consult_agent == offer.agent_id

    @precondition(lambda self: any(c.consult_agent for c in self.contacts("talking")))
    @rule(data=st.data(), outcome=st.sampled_from(("completed", "completed", "cancelled", "failed", "gone")))
    def a_consultation_ends(self, data: st.DataObject, outcome: str) -> None:
        contact = data.draw(st.sampled_from([c for c in self.contacts("talking") if c.consult_agent]))
        about = {"contact_id": contact.contact_id, "agent_id": contact.consult_agent}
        if outcome == "gone":
            self.floor.send(i.ContactGone, contact_id=contact.contact_id)
            return
        self.floor.send(i.ConsultEnded, offer_id="asked", outcome=outcome, **about)
        if outcome == "completed":
            self.floor.send(i.AgentBridged, offer_id="asked", **about)

    # -- other channels

    @rule(
        channel=st.sampled_from(("chat", "chat", "email")),
        queue=st.sampled_from(QUEUES),
        several=st.integers(1, 4),
    )
    def contacts_of_another_channel_come(self, channel: str, queue: str, several: int) -> None:
        for _ in range(several):
            self.came += 1
            self.floor.send(
                i.EnqueueContact,
                request_id="r",
                contact_id=f"t{self.came}",
                channel=channel,
                queue=queue,
                reporter="desk",
            )

    @precondition(lambda self: self.offers(calls=False))
    @rule(data=st.data(), several=st.integers(1, 4), declined=st.integers(0, 5))
    def they_are_taken_up(self, data: st.DataObject, several: int, declined: int) -> None:
        for _ in range(several):
            if offers := self.offers(calls=False):
                offer = data.draw(st.sampled_from(offers))
                action = "accept" if declined else "decline"
                self.handle(offer.agent_id, offer.contact_id, action)

    @precondition(lambda self: self.contacts("talking", calls=False))
    @rule(data=st.data(), action=st.sampled_from(("complete", "complete", "release", "leave")))
    def they_are_finished(self, data: st.DataObject, action: str) -> None:
        contact = data.draw(st.sampled_from(self.contacts("talking", calls=False)))
        if action == "leave":
            self.floor.send(i.LeaveContact, request_id="r", contact_id=contact.contact_id)
        else:
            self.handle(contact.agent_id, contact.contact_id, action)

    def handle(self, agent_id: str, contact_id: str, action: str) -> None:
        self.floor.send(
            i.HandleContact, request_id="r", agent_id=agent_id, contact_id=contact_id, action=action
        )
        assert not any(isinstance(o, i.Refuse) for o in self.floor.outputs)

    # -- people, time and owners

    @rule(agent=st.sampled_from(AGENTS), presence=st.sampled_from(PRESENCES))
    def somebody_comes_or_goes(self, agent: str, presence: str) -> None:
        self.floor.send(i.SetAgentPresence, request_id="r", agent_id=agent, presence=presence)

    @rule(agent=st.sampled_from(AGENTS), began=st.booleans(), seldom=st.integers(0, 2))
    def somebody_dials(self, agent: str, began: bool, seldom: int) -> None:
        if not seldom:
            self.dial(agent, began)

    def dial(self, agent: str, began: bool) -> None:
        self.floor.send(
            i.OwnCallChanged, extension=f"10{agent[1]}", leg_id=f"own-{agent}", began=began, node="fs1"
        )

    @rule(ms=st.sampled_from((500, 2_000, 5_000, 15_000)))
    def time_passes(self, ms: int) -> None:
        self.floor.pass_ms(ms)

    @rule(via_snapshot=st.booleans())
    def the_owner_dies(self, via_snapshot: bool) -> None:
        self.floor.take_over(via_snapshot=via_snapshot)

    # -- what must hold

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "floor"):
            return
        log, state = self.floor.log, self.floor.engine.state
        assert self.floor.replayed().dump() == state.dump()
        books.each_offer_ends_once(log, state)
        books.nobody_has_two_calls(log)
        books.nobody_is_over_capacity(log, self.documents, state)
        books.every_contact_has_one_end(log, state, places_may_change=True)
        books.callbacks_keep_their_place(log, state)

    def teardown(self) -> None:
        """Nobody is stuck: when everybody does the next thing again and again, the floor is empty in the end."""
        if not hasattr(self, "floor"):
            return
        for agent in AGENTS:
            self.dial(agent, False)
        for node in NODES:
            self.a_node_is_emptied_or_back(node, False)
        for _ in range(200):
            state = self.floor.engine.state
            self.floor.available(*[a for a in AGENTS if state.agent(a).presence != "available"])
            if not state.contacts:
                break
            self._next_thing()
        assert self.floor.engine.state.contacts == {}
        assert self.floor.engine.state.offers == {}
        self.floor.pass_ms(10_000)
        assert {self.floor.engine.state.agent(a).activity for a in AGENTS} == {"idle"}

    def _next_thing(self) -> None:
        for offer in self.offers(consult=True):
            self.report(i.OfferFailed, offer, outcome="no_answer")
        for offer in self.offers():
            contact = self.floor.engine.state.contacts.get(offer.contact_id)
            if contact is not None and contact.no_leg:
                self.floor.waits(contact.contact_id, contact.queue, waiting_since_us=contact.waiting_since_us)
            if offer.offer_id in self.floor.engine.state.offers:
                self.report(i.AgentBridged, offer)
        for contact in self.contacts("talking"):
            self.floor.send(i.ContactGone, contact_id=contact.contact_id)
        for offer in self.offers(calls=False):
            if offer.offer_id in self.floor.engine.state.offers:
                self.handle(offer.agent_id, offer.contact_id, "accept")
        for contact in self.contacts("talking", calls=False):
            self.handle(contact.agent_id, contact.contact_id, "complete")
        for contact in self.contacts("waiting"):
            if contact.leaving:  # Asked whether to be called back, and hangs up.
                self.floor.send(i.ContactGone, contact_id=contact.contact_id)
        self.floor.pass_ms(3_000)


FloorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFloorMachine = FloorMachine.TestCase
