"""The same (``test_queue_engine``) with numbers outside: customers who are called back, calls that agents place, agents at a mobile, trunks
that are full or fail, and a node that is being emptied while all of this goes on."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from services.queue.core import facts, inputs, legs, plan
from services.queue.core import outbound_facts as of
from tests.property.test_queue_engine import AGENTS, CONTACTS, SELDOM, Calls
from tests.unit.queue.drain_rig import Node
from tests.unit.queue.rig import QUEUES
from tests.unit.queue.trunk_rig import Exchange

RING_MS = 25_000
MOBILE = "09121112233"
ANSWER_ENDS = ("NO_ANSWER", "USER_BUSY", "NORMAL_TEMPORARY_FAILURE", "GATEWAY_DOWN")
CALLBACK = plan.CallbackPlan(key="7", confirm=True)


class Outside(Node, Exchange):
    """A switch with carriers that may be emptied."""

    def __init__(self) -> None:
        sales = plan.QueuePlan(name="sales", wrap_up_ms=20_000, callback=CALLBACK)
        super().__init__(queues={**QUEUES, "sales": sales})

    def advance(self, ms: int) -> None:
        """Originates have their channels at once, and end by their own limit."""
        self._make_channels()
        super().advance(ms)
        if ms > RING_MS:
            for uuid in list(self.jobs):
                self.fail(uuid, "NO_ANSWER")

    def fire_next(self) -> str:
        self._make_channels()
        return super().fire_next()

    def take_over(self, open_contacts: tuple[legs.OpenContact, ...] = ()) -> None:
        self._make_channels()  # Nobody takes over as fast as FreeSWITCH makes a channel.
        super().take_over(open_contacts)

    def _make_channels(self) -> None:
        for uuid in list(self.jobs):
            self.create(uuid)

    def settle(self) -> None:
        for _ in range(4):
            for contact in [leg.vars["cc_out_of"] for leg in self.legs.values() if leg.mode == "dialling"]:
                if contact in self.legs and self.out(contact):
                    self.outside_fails("NO_ANSWER", contact)
            super().settle()


class OutsideCalls(Calls):
    """Whoever is called, and whoever calls, at numbers outside."""

    ENDS = (facts.ContactGone, facts.CallbackAttempted, of.OutboundFailed)
    rig: Outside

    def __init__(self) -> None:
        super().__init__()
        self.ordered: list[inputs.OfferMade] = []
        """Orders to call a number, whose contact is the leg to be."""
        self.arrivals = 0

    def new_rig(self) -> Outside:
        return Outside()

    def customers(self) -> list[str]:
        return sorted({o.contact_id for o in self.ordered} & self.rig.legs.keys())

    # --- numbers outside ---

    @precondition(lambda self: len(self.ordered) < 3)
    @rule(agent=st.sampled_from(AGENTS), first=st.sampled_from(("customer", "agent")), placed=st.booleans())
    def routing_has_a_number_called(self, agent: str, first: str, placed: bool) -> None:
        """A customer back, or whom an agent wants to talk to."""
        self.offers += 1
        n = len(self.ordered) + 1
        order = inputs.OfferMade(
            at_us=self.rig.now_us,
            tenant="demo",
            offer_id=f"o{self.offers}",
            contact_id=f"p{n}" if placed else f"b{n}-cb1",
            agent_id=agent,
            extension="1001",
            queue="sales",
            leg=f"leg-o{self.offers}",
            ring_ms=15_000,
            kind="outbound" if placed else "callback",
            callback_id="" if placed else f"b{n}",
            number=f"021{n}",
            first="agent" if placed else first,
            language="fa",
            entry_point="1000",
            waiting_since_us=self.rig.now_us - 300_000_000,
            dial_ms=60_000 if placed else 0,
        )
        self.ordered.append(order)
        self.rig.feed(order)

    @precondition(lambda self: self.ordered)
    @rule(data=st.data())
    def such_an_order_is_read_again(self, data: st.DataObject) -> None:
        self.rig.feed(data.draw(st.sampled_from(self.ordered)))

    @precondition(lambda self: self.ordered)
    @rule(data=st.data(), outcome=st.sampled_from(("withdrawn", "expired")), seldom=st.integers(0, 1))
    def routing_ends_it(self, data: st.DataObject, outcome: str, seldom: int) -> None:
        if seldom:
            return
        order = data.draw(st.sampled_from(self.ordered))
        self.ended_by_routing.add(order.offer_id)
        self.rig.feed(
            inputs.OfferEnded(
                at_us=self.rig.now_us,
                offer_id=order.offer_id,
                contact_id=order.contact_id,
                outcome=outcome,
            )
        )

    @precondition(lambda self: self.customers())
    @rule(data=st.data(), key=st.sampled_from("115"))
    def a_customer_presses_a_key(self, data: st.DataObject, key: str) -> None:
        leg = data.draw(st.sampled_from(self.customers()))
        self.rig.events.append(inputs.DigitPressed(at_us=self.rig.now_us, leg=leg, digit=key))

    @precondition(lambda self: self.customers())
    @rule(data=st.data(), seldom=st.integers(0, 1))
    def a_customer_hangs_up(self, data: st.DataObject, seldom: int) -> None:
        if not seldom:
            leg = data.draw(st.sampled_from(self.customers()))
            self.hung_up.add(leg)
            self.rig.hang_up(leg)

    @rule(data=st.data(), agent=st.sampled_from(AGENTS), confirm=st.booleans())
    def routing_offers_to_an_agent_outside(self, data: st.DataObject, agent: str, confirm: bool) -> None:
        if waiting := sorted(c.contact for c in self.rig.engine.calls() if c.state == "waiting"):
            self.offers += 1
            contact = data.draw(st.sampled_from(waiting))
            self.rig.offer(contact, f"o{self.offers}", agent, agent_number=MOBILE, confirm=confirm)

    @rule(data=st.data(), how=st.sampled_from(("answers", *ANSWER_ENDS)))
    def a_way_out_goes_on(self, data: st.DataObject, how: str) -> None:
        """A caller's way to a number outside: it is answered there, fails, or its trunk does."""
        out = sorted(c for c in self.rig.legs if self.rig.out(c) and self.rig.legs[c].mode == "out")
        if not out:
            return
        contact = data.draw(st.sampled_from(out))
        if how != "answers":
            self.rig.outside_fails(how, contact)
        elif not self.rig.legs[self.rig.out(contact)].answered:
            self.rig.outside_answers(contact)

    # --- a node that is being emptied ---

    @rule(draining=st.booleans())
    def the_node_is_emptied_or_back(self, draining: bool) -> None:
        self.rig.drain(draining=draining)

    @rule(contact=st.sampled_from(CONTACTS), seldom=SELDOM)
    def routing_has_the_contact_on_another_node(self, contact: str, seldom: int) -> None:
        if not seldom:
            self.rig.moved(contact)

    @precondition(lambda self: self.calls < 4)
    @rule(known=st.sampled_from(("at once", "elsewhere", "unknown", "never")))
    def a_caller_arrives_from_another_node(self, known: str) -> None:
        self.calls += 1
        contact = f"c{self.calls}"
        self.rig.arrives(contact)
        if known != "never":
            self.rig.is_known(contact, queue="" if known == "unknown" else "sales")

    @rule(up=st.booleans(), draining=st.booleans())
    def another_node_is_seen(self, up: bool, draining: bool) -> None:
        self.rig.feed(inputs.PeerSeen(at_us=self.rig.now_us, node="fs2", up=up, draining=draining))

    # --- what must hold ---

    @invariant()
    def no_trunk_has_more_calls_than_channels(self) -> None:
        assert self.rig.on("a") <= 1
        assert self.rig.on("b") <= 1

    def teardown(self) -> None:
        super().teardown()
        node = self.rig.engine._node
        assert not node.customers, "a customer is neither reached nor given up"
        assert not node.arrivals
        assert {line.trunk for line in node.lines.values()} == {t for t in "ab" if self.rig.on(t)}


OutsideCalls.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueueOutside = OutsideCalls.TestCase
