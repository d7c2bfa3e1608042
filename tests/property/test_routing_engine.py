"""Routing's core under arbitrary events: invariants after every step, replay, takeovers, two owners."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.center import Center, Policy
from services.routing.core.state import State
from tests.property import routing_books as books
from tests.property.routing_centers import AGENT_NAMES, QUEUE_NAMES, centers
from tests.unit.routing.floor import Floor

NODES = ("fs1", "fs2")
NO_ANSWERS = ("voicemail:message", "queue:b", "queue:unknown", "hangup:sorry", "callback:", "transfer:0912")


class RoutingMachine(RuleBasedStateMachine):
    """Callers, agents, phones, nodes, documents and owners do whatever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[type[Any], dict[str, Any]]] = []
        self.contact_count = 0
        self.documents: list[tuple[int, Center]] = []
        """In force from so many entries of the log on."""

    @initialize(center=centers(), max_no_answer=st.integers(1, 2))
    def begin(self, center: Center, max_no_answer: int) -> None:
        self.documents.append((0, center))
        self.floor = Floor(center, Policy(max_no_answer=max_no_answer, nodes=NODES))
        for agent_id in sorted(center.agents):
            self.floor.available(agent_id)

    def send(self, kind: type[Any], **fields: Any) -> None:
        fields["input_id"] = f"s{len(self.sent)}"
        self.sent.append((kind, fields))
        self.floor.send(kind, **fields)

    def contact_ids(self) -> list[str]:
        """Open, closed and unknown ones."""
        return [f"k{n}" for n in range(self.contact_count + 1)]

    def any_contact_ids(self) -> list[str]:
        """Also those of callbacks, of calls that agents placed, and of other channels."""
        known = (q.contact_id for q in self.floor.facts(f.ContactQueued))
        return list(dict.fromkeys((*self.contact_ids(), *known)))

    def offers(self) -> list[f.OfferMade]:
        return self.floor.facts(f.OfferMade)

    @rule(queue=st.sampled_from((*QUEUE_NAMES, "unknown")), node=st.sampled_from(NODES), priority=st.integers(-1, 1),
          skills=st.lists(st.sampled_from(("x:1", "y:2", "x", "z:?")), max_size=1), ago_ms=st.integers(0, 5_000),
          preferred=st.sampled_from(("", "", *AGENT_NAMES)), no_answer=st.sampled_from(("", "", *NO_ANSWERS)), vip=st.booleans(), ani=st.sampled_from(("", "0912", "0913")))  # fmt: skip
    def caller_waits(self, queue: str, node: str, priority: int, skills: list[str], ago_ms: int,
                     preferred: str, no_answer: str, vip: bool, ani: str) -> None:  # fmt: skip
        contact_id = f"k{self.contact_count}"
        self.contact_count += 1
        since_us = self.floor.now_us - ago_ms * 1000
        self.send(i.ContactWaiting, contact_id=contact_id, queue=queue, node=node, priority=priority,
                  skills=tuple(skills), waiting_since_us=since_us, preferred_agent=preferred,
                  preferred_ms=4_000 if no_answer else 0, no_answer=no_answer,
                  service_class="vip" if vip else "", ani=ani)  # fmt: skip

    @rule(data=st.data(), recovered=st.booleans(), node=st.sampled_from(NODES))
    def caller_is_reported_again(self, data: st.DataObject, recovered: bool, node: str) -> None:
        """By the node that has the leg, or by another one to which the caller was moved."""
        contact_id = data.draw(st.sampled_from(self.any_contact_ids()))
        self.send(i.ContactWaiting, contact_id=contact_id, queue="a", node=node,
                  waiting_since_us=self.floor.now_us, recovered=recovered)  # fmt: skip

    @rule(data=st.data(), key=st.sampled_from("159"), true=st.booleans())
    def caller_presses_a_key(self, data: st.DataObject, key: str, true: bool) -> None:
        contact_id = data.draw(st.sampled_from(self.contact_ids()))
        contact = self.floor.engine.state.contacts.get(contact_id)
        queue = contact.queue if contact is not None and true else "a"
        self.send(i.KeyPressed, contact_id=contact_id, key=key, queue=queue)

    @rule(data=st.data(), unseen=st.booleans(), kept=st.booleans())
    def caller_leaves(self, data: st.DataObject, unseen: bool, kept: bool) -> None:
        contact_id = data.draw(st.sampled_from(self.any_contact_ids()))
        self.send(i.ContactGone, contact_id=contact_id, unseen=unseen,
                  kept_offer_id=self.offer_of(contact_id) if kept else "")  # fmt: skip

    def offer_of(self, contact_id: str) -> str:
        contact = self.floor.engine.state.contacts.get(contact_id)
        return contact.offer_id if contact is not None else ""

    @precondition(lambda self: self.closing())
    @rule(data=st.data(), true=st.integers(0, 3))
    def an_agent_who_answered_in_vain_is_free(self, data: st.DataObject, true: int) -> None:
        agent_id, contact_id = data.draw(st.sampled_from(self.closing()))
        self.send(i.AgentReleased, offer_id="o", contact_id=contact_id if true else "k0", agent_id=agent_id)

    def closing(self) -> list[tuple[str, str]]:
        agents = self.floor.engine.state.agents.values()
        return sorted((a.agent_id, a.contact_id) for a in agents if a.activity == "closing")

    @rule(data=st.data(), number=st.sampled_from(("0912", "0913")))
    def caller_asks_to_be_called_back(self, data: st.DataObject, number: str) -> None:
        waiting = [c.contact_id for c in self.floor.engine.state.contacts.values() if c.status != "talking"]
        contact_id = data.draw(st.sampled_from(waiting or self.any_contact_ids()))
        self.send(i.CallbackAccepted, contact_id=contact_id, number=number)

    @precondition(lambda self: self.floor.engine.state.callbacks)
    @rule(
        data=st.data(),
        what=st.sampled_from(("answers", "answers", "busy", "no_answer", "agent_left", "no_answer both")),
    )
    def customer_is_called(self, data: st.DataObject, what: str) -> None:
        callbacks = self.floor.engine.state.callbacks
        callback_id = data.draw(st.sampled_from(sorted(callbacks)))
        contact = self.floor.engine.state.contacts[callbacks[callback_id]]
        if what == "answers":
            self.send(
                i.ContactWaiting, contact_id=contact.contact_id, queue=contact.queue, node="fs1",
                waiting_since_us=contact.waiting_since_us, callback_id=callback_id,
            )  # fmt: skip
        else:
            outcome, _, both = what.partition(" ")
            self.send(
                i.CallbackAttempted, contact_id=contact.contact_id, callback_id=callback_id, outcome=outcome,
                agent_outcome="no_answer" if both else "", kept_offer_id=contact.offer_id,
            )  # fmt: skip

    @precondition(lambda self: self.floor.facts(f.ContactQueued))
    @rule(
        data=st.data(),
        action=st.sampled_from(("cancel", "reschedule", "odd")),
        ms=st.sampled_from((0, 5_000, 900_000)),
        number=st.sampled_from(("", "0912", "x")),
    )
    def callback_is_changed(self, data: st.DataObject, action: str, ms: int, number: str) -> None:
        known = sorted(self.floor.engine.state.callbacks) or self.any_contact_ids()
        not_before_us = self.floor.now_us + ms * 1000 if ms else 0
        self.send(i.ChangeCallback, request_id="r", callback_id=data.draw(st.sampled_from(known)), action=action,
                  not_before_us=not_before_us, number=number)  # fmt: skip

    # -- calls that agents place

    @rule(
        agent_id=st.sampled_from(AGENT_NAMES),
        number=st.sampled_from(("0211", "0211", "x", "911")),
        queue=st.sampled_from(("", *QUEUE_NAMES)),
        dialled=st.booleans(),
        node=st.sampled_from(("", *NODES)),
    )
    def an_agent_places_a_call(
        self, agent_id: str, number: str, queue: str, dialled: bool, node: str
    ) -> None:
        """By click, or from the phone: then there is a leg, which was an own call until now."""
        if not self.queues_of(agent_id):
            return  # The document says that there is one: an agent of no queue cannot name it.
        leg_id = next(iter(self.floor.engine.state.agent(agent_id).own_legs), "") if dialled else ""
        self.send(i.PlaceCall, request_id="r", contact_id=f"p{len(self.sent)}", agent_id=agent_id,
                  number=number, queue=queue, leg_id=leg_id, node=node)  # fmt: skip

    def queues_of(self, agent_id: str) -> tuple[str, ...]:
        rules = self.floor.engine.center.agents.get(agent_id)
        return rules.queues if rules is not None else QUEUE_NAMES

    @precondition(lambda self: any(o.kind == "outbound" for o in self.offers()))
    @rule(data=st.data(), what=st.sampled_from(("answers", "answers", "busy", "agent_left")))
    def a_party_is_called(self, data: st.DataObject, what: str) -> None:
        offer = data.draw(st.sampled_from([o for o in self.offers() if o.kind == "outbound"]))
        if what != "answers":
            self.send(
                i.OutboundFailed, contact_id=offer.contact_id, outcome=what, kept_offer_id=offer.offer_id
            )
            return
        self.send(i.ContactWaiting, contact_id=offer.contact_id, queue=offer.queue, node=offer.node,
                  waiting_since_us=self.floor.now_us)  # fmt: skip
        self.send(
            i.AgentBridged, offer_id=offer.offer_id, contact_id=offer.contact_id, agent_id=offer.agent_id
        )

    # -- other channels

    @rule(
        channel=st.sampled_from(("chat", "chat", "email", "fax")),
        queue=st.sampled_from((*QUEUE_NAMES, "unknown")),
        preferred=st.sampled_from(("", *AGENT_NAMES)),
        again=st.booleans(),
    )
    def a_contact_of_another_channel_comes(
        self, channel: str, queue: str, preferred: str, again: bool
    ) -> None:
        contact_id = f"t{self.contact_count - again}"
        self.contact_count += not again
        self.send(i.EnqueueContact, request_id="r", contact_id=contact_id, channel=channel, queue=queue,
                  reporter="desk", preferred_agent=preferred)  # fmt: skip

    @rule(
        data=st.data(),
        action=st.sampled_from(("accept", "accept", "accept", "decline", "complete", "release", "odd")),
        true=st.integers(0, 4),
        code=st.sampled_from(("", "1")),
    )
    def an_agent_handles(self, data: st.DataObject, action: str, true: int, code: str) -> None:
        state = self.floor.engine.state
        offered = action in ("accept", "decline")
        pairs = [
            (a.agent_id, c)
            for a in state.agents.values()
            for c, x in a.at_hand.items()
            if bool(x.offer_id) == offered
        ]
        if pairs and true:
            agent_id, contact_id = data.draw(st.sampled_from(sorted(pairs)))
        else:
            agent_id = data.draw(st.sampled_from(AGENT_NAMES))
            contact_id = data.draw(st.sampled_from(self.any_contact_ids()))
        self.send(
            i.HandleContact,
            request_id="r",
            agent_id=agent_id,
            contact_id=contact_id,
            action=action,
            code=code,
        )

    @rule(data=st.data())
    def a_customer_of_another_channel_leaves(self, data: st.DataObject) -> None:
        contact_id = data.draw(st.sampled_from(self.any_contact_ids()))
        self.send(i.LeaveContact, request_id="r", contact_id=contact_id)

    @precondition(lambda self: self.offers())
    @rule(data=st.data(), outcome=st.sampled_from(("no_answer", "busy", "declined", "unreachable", "withdrawn", "failed", "no_line")),
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

    @rule(
        agent_id=st.sampled_from(AGENT_NAMES),
        extension=st.sampled_from(("90", "101", "102", "77")),
        verified=st.booleans(),
        force=st.booleans(),
    )
    def sits_down(self, agent_id: str, extension: str, verified: bool, force: bool) -> None:
        self.send(
            i.SeatAgent,
            request_id="r",
            agent_id=agent_id,
            extension=extension,
            by_pin=force,
            verified=verified,
            force=force,
            node="fs1",
        )

    @rule(closed=st.sets(st.sampled_from((*QUEUE_NAMES, "callback:a", "callback:b"))))
    def hours(self, closed: set[str]) -> None:
        self.send(i.HoursChanged, closed=frozenset(closed))

    @rule(agent_id=st.sampled_from(AGENT_NAMES), action=st.sampled_from(("request", "extend", "end", "odd")))
    def wrap_up(self, agent_id: str, action: str) -> None:
        self.send(i.SetWrapUp, request_id="r", agent_id=agent_id, action=action)

    @rule(data=st.data(), priority=st.integers(-5, 5))
    def priority(self, data: st.DataObject, priority: int) -> None:
        contact_id = data.draw(st.sampled_from(self.contact_ids()))
        self.send(i.SetContactPriority, request_id="r", contact_id=contact_id, priority=priority)

    @rule(agent_id=st.sampled_from(AGENT_NAMES), data=st.data(), held=st.booleans())
    def hold(self, agent_id: str, data: st.DataObject, held: bool) -> None:
        contact_id = data.draw(st.sampled_from(self.contact_ids()))
        self.send(i.ContactHeld if held else i.ContactResumed, agent_id=agent_id, contact_id=contact_id)

    @rule(
        data=st.data(),
        kind=st.sampled_from(("agent", "queue", "number", "keyed")),
        consult=st.booleans(),
        true=st.booleans(),
    )
    def transfer(self, data: st.DataObject, kind: str, consult: bool, true: bool) -> None:
        talking = [c for c in self.floor.engine.state.contacts.values() if c.status == "talking"]
        if talking and true:
            contact = data.draw(st.sampled_from(talking))
            contact_id, agent_id, offer_id = contact.contact_id, contact.agent_id, contact.offer_id
        else:
            contact_id, offer_id = data.draw(st.sampled_from(self.contact_ids())), "o"
            agent_id = data.draw(st.sampled_from(AGENT_NAMES))
        targets = {"agent": AGENT_NAMES, "queue": QUEUE_NAMES, "number": ("0211", "x")}
        target = data.draw(st.sampled_from(targets.get(kind, ("1001", "0211"))))
        self.send(
            i.TransferRequested, request_id="r", offer_id=offer_id, contact_id=contact_id, agent_id=agent_id,
            target_kind=kind, target=target, consult=consult,
        )  # fmt: skip

    @rule(data=st.data(), outcome=st.sampled_from(("", "", "completed", "cancelled")), bridged=st.booleans())
    def consult(self, data: st.DataObject, outcome: str, bridged: bool) -> None:
        asked = [o for o in self.floor.engine.state.offers.values() if o.kind == "consult"]
        about = [c for c in self.floor.engine.state.contacts.values() if c.consult_agent]
        if asked and not outcome:
            o = data.draw(st.sampled_from(asked))
            self.send(
                i.ConsultStarted, offer_id=o.offer_id, contact_id=o.contact_id, agent_id=o.agent_id,
                from_agent_id=o.by_agent,
            )  # fmt: skip
        elif about:
            c = data.draw(st.sampled_from(about))
            if bridged:
                self.send(i.AgentBridged, offer_id="asked", contact_id=c.contact_id, agent_id=c.consult_agent)
            else:
                self.send(
                    i.ConsultEnded, offer_id="asked", contact_id=c.contact_id, agent_id=c.consult_agent,
                    outcome=outcome or "failed",
                )  # fmt: skip

    @rule(
        number=st.integers(1, 5),
        leg=st.sampled_from(("l1", "l2")),
        began=st.booleans(),
        node=st.sampled_from(NODES),
    )
    def own_call(self, number: int, leg: str, began: bool, node: str) -> None:
        self.send(i.OwnCallChanged, extension=f"10{number}", leg_id=leg, began=began, node=node)

    @rule(
        legs=st.dictionaries(st.sampled_from(("l1", "l2", "l3")), st.sampled_from(("101", "102", "105"))),
        node=st.sampled_from(NODES),
    )
    def own_calls(self, legs: dict[str, str], node: str) -> None:
        self.send(i.OwnCallsListed, node=node, legs=legs)

    @rule(number=st.integers(1, 5), registered=st.booleans(), node=st.sampled_from(NODES))
    def phone(self, number: int, registered: bool, node: str) -> None:
        self.send(i.PhoneChanged, extension=f"10{number}", registered=registered, node=node)

    @rule(numbers=st.sets(st.integers(1, 5)), node=st.sampled_from(NODES))
    def phones(self, numbers: set[int], node: str) -> None:
        self.send(i.PhonesListed, node=node, extensions=frozenset(f"10{n}" for n in numbers))

    @rule(node=st.sampled_from(NODES), up=st.booleans())
    def node(self, node: str, up: bool) -> None:
        self.send(i.NodeSeen, node=node, up=up)

    @rule(node=st.sampled_from(NODES), draining=st.booleans())
    def node_is_emptied(self, node: str, draining: bool) -> None:
        """And back in service."""
        since_us = self.floor.now_us if draining else 0
        self.send(i.NodeDrainChanged, node=node, draining=draining, since_us=since_us, actor="root")

    @rule(center=centers())
    def document(self, center: Center) -> None:
        self.documents.append((len(self.floor.log), center))
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
    def the_books_are_right(self) -> None:
        if not hasattr(self, "floor"):
            return
        log, state = self.floor.log, self.floor.engine.state
        books.each_offer_ends_once(log, state)
        books.nobody_has_two_calls(log)
        books.nobody_is_over_capacity(log, self.documents, state)
        books.every_contact_has_one_end(log, state)
        books.callbacks_keep_their_place(log, state)

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
        agents = {a.agent_id: a for a in views.agents(state, center, self.floor.now_us)}
        assert {a for a, seen in agents.items() if not seen.draining} == set(center.agents)
        gone = agents.keys() - center.agents.keys()
        assert all(agents[a].contact_id or agents[a].at_hand for a in gone)

    def teardown(self) -> None:
        """When everybody logs in and the nodes are back, whoever can be served is being served."""
        if not hasattr(self, "floor"):
            return
        for node in NODES:
            self.floor.send(i.NodeSeen, node=node, up=True)
            self.floor.send(i.OwnCallsListed, node=node, legs={})
        for agent_id in sorted(self.floor.engine.center.agents):
            self.floor.send(
                i.PhoneChanged, extension=agent_id.replace("g", "10"), registered=True, node="fs1"
            )
            self.floor.available(agent_id)
        assert State.load(self.floor.engine.state.dump(), self.floor.policy) is not None
        assert self.floor.engine.check() == []


RoutingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRoutingMachine = RoutingMachine.TestCase
