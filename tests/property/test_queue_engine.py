"""Whatever happens in whatever order: no caller is lost, no agent's leg is left over, no offer is reported twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.queue.core import facts, inputs, outputs
from services.queue.core.wishes import KEYS, VERBS
from tests.unit.queue.rig import Rig

CONTACTS = ("c1", "c2", "c3", "c4")
MODES = {
    "waiting": "music",
    "talking": "bridged",
    "held": "music",
    "consulting": "music",
    "conference": "room",
    "leaving": "out",
}
SELDOM = st.integers(0, 5)  # What would otherwise leave nothing to look at happens when this is 0.
AGENTS = ("sara", "reza")


class Calls(RuleBasedStateMachine):
    """Callers, agents, routing, FreeSWITCH and crashes, each doing what it likes."""

    ENDS: tuple[type[object], ...] = (facts.ContactGone,)
    """What ends a contact, and its offers with it."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = self.new_rig()
        self.offers = 0
        self.calls = 0
        self.hung_up: set[str] = set()
        self.ended_by_routing: set[str] = set()
        self.moved: set[str] = set()  # Overflowed or closed by routing, which ends their offers with them.
        self.connections_lost = 0
        self.together: set[str] = (
            set()
        )  # Offers of ring_all: routing withdraws the rest when one is answered.

    def new_rig(self) -> Rig:
        return Rig()

    # --- people ---

    @initialize()
    def two_call(self) -> None:
        self.a_call_is_parked()
        self.a_call_is_parked()

    @rule()
    @precondition(lambda self: self.calls < 4)
    def a_call_is_parked(self) -> None:
        self.calls += 1
        self.rig.call(f"c{self.calls}", cc_queue="told" if self.calls % 2 else "sales")

    @rule()
    @precondition(lambda self: self.calls < 4)
    def a_call_is_let_go_by_ivr(self) -> None:
        self.calls += 1
        self.rig.hand_over(f"c{self.calls}")

    @rule(contact=st.sampled_from(CONTACTS))
    def the_dialplan_goes_on(self, contact: str) -> None:
        self.rig.go_on(contact)

    @rule(contact=st.sampled_from(CONTACTS), seldom=st.integers(0, 1))
    def a_caller_hangs_up(self, contact: str, seldom: int) -> None:
        if contact in self.rig.legs and not seldom:
            self.hung_up.add(contact)
            self.rig.hang_up(contact)

    @rule(
        data=st.data(),
        cause=st.sampled_from(["USER_BUSY", "CALL_REJECTED", "NO_ANSWER", "SUBSCRIBER_ABSENT"]),
    )
    def an_originate_fails(self, data: st.DataObject, cause: str) -> None:
        if self.rig.jobs:
            self.rig.fail(data.draw(st.sampled_from(sorted(self.rig.jobs))), cause)

    @rule(data=st.data(), how=st.sampled_from(["create", "ring", "answer", "answer", "answer"]))
    def an_originate_goes_on(self, data: st.DataObject, how: str) -> None:
        if self.rig.jobs:
            getattr(self.rig, how)(data.draw(st.sampled_from(sorted(self.rig.jobs))))

    @rule(data=st.data())
    def an_agent_hangs_up(self, data: st.DataObject) -> None:
        if legs := self.rig.agent_legs():
            self.rig.hang_up(data.draw(st.sampled_from(sorted(leg.uuid for leg in legs))))

    @rule(data=st.data(), heard=st.booleans())
    def something_has_been_said(self, data: st.DataObject, heard: bool) -> None:
        """An announcement or a whisper ends."""
        if heard_by := sorted(x.uuid for x in self.rig.legs.values() if x.playing or x.mode == "whispering"):
            self.rig.said(data.draw(st.sampled_from(heard_by)), heard=heard)

    @rule(data=st.data(), digit=st.sampled_from("123"))
    def an_agent_presses_a_key(self, data: st.DataObject, digit: str) -> None:
        if legs := self.rig.agent_legs():
            leg = data.draw(st.sampled_from(sorted(leg.uuid for leg in legs)))
            self.rig.events.append(inputs.DigitPressed(at_us=self.rig.now_us, leg=leg, digit=digit))

    @rule(contact=st.sampled_from(CONTACTS), verb=st.sampled_from(VERBS))
    def somebody_wishes(self, contact: str, verb: str) -> None:
        self.rig.wish(verb, contact, agent="", kind="agent", target="reza")

    @rule(data=st.data(), what=st.sampled_from(sorted(KEYS.values())))
    def an_agent_keys_a_feature(self, data: st.DataObject, what: str) -> None:
        if legs := self.rig.agent_legs():
            leg = data.draw(st.sampled_from(sorted(leg.uuid for leg in legs)))
            self.rig.events.append(inputs.FeaturePressed(at_us=self.rig.now_us, leg=leg, what=what))

    @rule(data=st.data(), held=st.booleans())
    def a_phone_holds(self, data: st.DataObject, held: bool) -> None:
        if legs := self.rig.agent_legs():
            leg = data.draw(st.sampled_from(sorted(leg.uuid for leg in legs)))
            self.rig.events.append(inputs.LegHeld(at_us=self.rig.now_us, leg=leg, held=held))

    @rule(contact=st.sampled_from(CONTACTS), digit=st.sampled_from("19"))
    def a_caller_presses_a_key(self, contact: str, digit: str) -> None:
        if contact in self.rig.legs:
            self.rig.events.append(inputs.DigitPressed(at_us=self.rig.now_us, leg=contact, digit=digit))

    @rule(ms=st.sampled_from((2_000, 31_000)))
    def time_passes(self, ms: int) -> None:
        self.rig.advance(ms)

    # --- routing ---

    @rule(data=st.data(), agent=st.sampled_from(AGENTS), answers=st.booleans())
    def routing_has_a_colleague_asked(self, data: st.DataObject, agent: str, answers: bool) -> None:
        talking = [c.contact for c in self.rig.engine.calls() if c.state in ("talking", "held", "dialling")]
        if talking:
            self.offers += 1
            contact = data.draw(st.sampled_from(sorted(talking)))
            leg = self.rig.offer(contact, f"o{self.offers}", agent, kind="consult")
            if answers:
                self.rig.answer(leg)
                self.rig.bridge()

    @rule(data=st.data(), to=st.sampled_from([("agent", "reza"), ("queue", "support"), ("number", "+98")]))
    def routing_gives_a_contact_away(self, data: st.DataObject, to: tuple[str, str]) -> None:
        if talking := sorted(c.contact for c in self.rig.engine.calls() if c.state in ("talking", "held")):
            contact = data.draw(st.sampled_from(talking))
            offer = self.rig.legs[contact].vars.get("cc_offer", "") if contact in self.rig.legs else ""
            self.rig.feed(
                inputs.ContactTransferred(
                    at_us=self.rig.now_us, contact_id=contact, offer_id=offer, target_kind=to[0],
                    target=to[1],
                )
            )  # fmt: skip

    @rule(contact=st.sampled_from(CONTACTS), agent=st.sampled_from(AGENTS))
    def routing_offers_anything(self, contact: str, agent: str) -> None:
        if int(contact[1:]) <= self.calls:  # Routing only knows of contacts that there are, or were.
            self.offers += 1
            self.rig.offer(contact, f"o{self.offers}", agent)

    @rule(data=st.data(), agent=st.sampled_from(AGENTS))
    def routing_offers(self, data: st.DataObject, agent: str) -> None:
        if waiting := sorted(c.contact for c in self.rig.engine.calls() if c.state == "waiting"):
            self.routing_offers_anything(data.draw(st.sampled_from(waiting)), agent)

    @rule(data=st.data(), agents=st.lists(st.sampled_from(AGENTS), min_size=2, max_size=3, unique=True))
    def routing_offers_to_several(self, data: st.DataObject, agents: list[str]) -> None:
        if waiting := sorted(c.contact for c in self.rig.engine.calls() if c.state == "waiting"):
            contact = data.draw(st.sampled_from(waiting))
            for agent in agents:
                self.offers += 1
                self.together.add(f"o{self.offers}")
                self.rig.offer(contact, f"o{self.offers}", agent, at_once=len(agents))

    @rule(agent=st.sampled_from(AGENTS))
    def a_conversation_begins(self, agent: str) -> None:
        if waiting := sorted(c.contact for c in self.rig.engine.calls() if c.state == "waiting"):
            self.offers += 1
            self.rig.talk(waiting[0], f"o{self.offers}", agent)

    @rule(data=st.data())
    def an_order_is_redelivered(self, data: st.DataObject) -> None:
        if self.rig.dialled:
            order = data.draw(st.sampled_from(self.rig.dialled))
            self.rig.offer(order.contact, order.offer, order.agent)

    @rule(data=st.data(), outcome=st.sampled_from(["withdrawn", "expired", "accepted"]))
    def routing_ends_an_offer(self, data: st.DataObject, outcome: str) -> None:
        if self.rig.dialled:
            order = data.draw(st.sampled_from(self.rig.dialled))
            if outcome != "accepted":
                self.ended_by_routing.add(order.offer)
            self.rig.feed(
                inputs.OfferEnded(
                    at_us=self.rig.now_us, offer_id=order.offer, contact_id=order.contact, outcome=outcome
                )
            )

    @rule(
        seldom=SELDOM,
        contact=st.sampled_from(CONTACTS),
        way=st.sampled_from(
            [("queue", "support"), ("transfer", "+982112345678"), ("hangup", "sorry"), ("voicemail", "sorry")]
        ),
    )
    def a_contact_overflows(self, seldom: int, contact: str, way: tuple[str, str]) -> None:
        if seldom:
            return
        self.moved.add(contact)
        self.rig.feed(
            inputs.ContactOverflowed(at_us=self.rig.now_us, contact_id=contact, action=way[0], target=way[1])
        )

    @rule(contact=st.sampled_from(CONTACTS), seldom=SELDOM)
    def routing_closes_a_contact(self, contact: str, seldom: int) -> None:
        if not seldom:
            self.moved.add(contact)
            self.rig.feed(
                inputs.ContactClosed(at_us=self.rig.now_us, contact_id=contact, outcome="ended_unseen")
            )

    # --- the wires ---

    @rule()
    def an_event_arrives(self) -> None:
        if self.rig.events:
            self.rig.feed_next(self.rig.events)

    @rule()
    def everything_arrives(self) -> None:
        self.rig.deliver()

    @rule()
    def a_reply_arrives(self) -> None:
        if self.rig.replies:
            self.rig.feed_next(self.rig.replies)

    @rule()
    def bridges_are_made(self) -> None:
        self.rig.complete_bridges()

    @rule()
    def a_timer_fires(self) -> None:
        if self.rig.timers:
            self.rig.fire_next()

    @rule(seldom=SELDOM)
    def the_connection_breaks_and_comes_back(self, seldom: int) -> None:
        """Events under way are lost, jobs without a result become unknown."""
        rig = self.rig
        if seldom:
            return
        self.connections_lost += 1
        rig.feed(inputs.LinkDown(at_us=rig.now_us))
        rig.events.clear()
        rig.replies.clear()
        for job in rig.jobs.values():
            if job.offer:
                rig.replies.append(
                    inputs.JobEnded(at_us=rig.now_us, offer=job.offer, ok=False, text="", known=False)
                )
                job.offer = ""
        rig.feed(inputs.LinkUp(at_us=rig.now_us))

    @rule(seldom=SELDOM)
    def the_owner_dies(self, seldom: int) -> None:
        if seldom:
            return
        self.connections_lost += 1
        self.rig.take_over()

    @rule(up=st.booleans())
    def the_bus_changes(self, up: bool) -> None:
        self.rig.bus_up = up
        self.rig.feed(inputs.BusUp(at_us=self.rig.now_us) if up else inputs.BusDown(at_us=self.rig.now_us))

    # --- what must hold ---

    @invariant()
    def nobody_is_dropped(self) -> None:
        """A caller's leg only ends by the caller, or by a farewell or transfer that was decided."""
        for contact in (f"c{n + 1}" for n in range(self.calls)):
            if contact not in self.rig.legs:
                assert contact in self.hung_up | self.rig.left_by_engine, f"{contact} was dropped"

    @invariant()
    def no_offer_ends_twice(self) -> None:
        failed = Counter(f.offer_id for f in self.rig.facts(facts.OfferFailed))
        assert all(n == 1 for n in failed.values()) or self.connections_lost, failed

    @invariant()
    def the_agent_is_named_first(self) -> None:
        for command in self.rig.commands(outputs.Bridge):
            assert command.leg.startswith("leg-")

    def teardown(self) -> None:
        rig = self.rig
        rig.bus_up = True
        rig.feed(inputs.BusUp(at_us=rig.now_us))
        rig.settle()
        # What the audit finds is mended as well; two rounds, for what the first one had to wait for.
        for _ in range(2):
            rig.feed(inputs.TimerFired(at_us=rig.now_us, key="audit"))
            rig.settle()
        calls = {call.contact: call for call in rig.engine.calls()}
        for leg in rig.legs.values():
            if leg.caller:
                call = calls[leg.uuid]
                wanted = MODES[call.state]
                assert leg.mode == wanted, f"{leg.uuid} is {leg.mode} while {call.state}"
                assert leg.mode != "bridged" or leg.partner in rig.legs
            elif leg in rig.agent_legs():
                holds = calls[leg.vars["cc_contact"]].state == "held" and leg.mode == "parked"
                assert leg.mode in ("bridged", "room") or holds, f"{leg.uuid} is left over: {leg.mode}"
                assert leg.partner in rig.legs or leg.mode != "bridged"
        assert set(calls) == {leg.uuid for leg in rig.legs.values() if leg.caller}
        assert rig.engine.open_agent_legs() == len(rig.agent_legs())
        assert not rig.jobs
        self._every_offer_has_an_end()

    def _every_offer_has_an_end(self) -> None:
        """Routing hears how each offer ended, unless it has ended it itself or the contact is gone; else it would wait in vain."""
        if self.connections_lost:
            return  # A new owner does not know of offers that are over; routing's own expiry ends them.
        known = {
            getattr(f, "offer_id", "")
            for kind in (facts.OfferFailed, facts.AgentBridged, facts.ConsultStarted)
            for f in self.rig.facts(kind)
        }
        gone = {f.contact_id for kind in self.ENDS for f in self.rig.facts(kind)}
        answered = {f.contact_id for f in self.rig.facts(facts.OfferAnswered)}
        lost = {o.offer for o in self.rig.dialled if o.offer in self.together and o.contact in answered}
        for order in self.rig.dialled:
            ended = (
                order.offer in lost
                or order.offer in known | self.ended_by_routing
                or order.contact in gone | self.moved
            )
            assert ended, f"nobody knows how {order.offer} ended"
        kept = {getattr(f, "kept_offer_id", "") for kind in self.ENDS for f in self.rig.facts(kind)} - {""}
        free = {getattr(f, "offer_id", "") for f in self.rig.facts(facts.AgentReleased)}
        assert kept <= free, f"routing waits for the agents of {kept - free}"


Calls.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueueCalls = Calls.TestCase
