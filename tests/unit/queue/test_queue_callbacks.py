"""Asking to be called back, and calling: what the caller, the customer, the agent and routing learn, with a kill between any two steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.queue.core import facts, inputs, outputs, plan
from tests.unit.queue.rig import CENTER, Rig

CALLBACK = plan.CallbackPlan(
    key="7", after_ms=60_000, every_ms=120_000, prefixes=("09", "+98"), dial_ms=25_000
)
NAMES = ("offer", "number", "confirm", "enter", "refused", "taken", "customer", "agent", "missed")


def plans(**changes: object) -> plan.Plans:
    """The rig's center; its sales queue calls back."""
    fields = {name: getattr(CALLBACK, name) for name in CALLBACK.__struct_fields__} | changes
    sales = plan.QueuePlan(name="sales", wrap_up_ms=0, callback=plan.CallbackPlan(**fields))  # type: ignore[arg-type]
    spoken = [f"callback-{name}" for name in NAMES] + [f"digits/{d}" for d in range(10)]
    center = {name: getattr(CENTER, name) for name in CENTER.__struct_fields__}
    center |= {
        "queues": {**CENTER.queues, "sales": sales},
        "prompts": {**CENTER.prompts} | {(name, "fa"): f"/s/fa/{name}.wav" for name in spoken},
        "do_not_call": frozenset({"0911"}),
    }
    return plan.Plans(centers=(plan.CenterPlan(**center),))


class Floor(Rig):
    """The rig with customers: legs whose ids are contacts, and their numbers."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.plans = plans(**changes)
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.plans))

    def calls_in(self, number: str = "09121234567") -> str:
        """A caller waits in sales."""
        self.call("c1", cc_language="fa", ani=number)
        return "c1"

    def orders(self, first: str = "customer", *, offer: str = "o1", age_ms: int = 0) -> None:
        """Routing reserves sara for the callback of c1 and tells the switch to call."""
        self.feed(
            inputs.OfferMade(
                at_us=self.now_us, tenant="demo", offer_id=offer, contact_id="c1-cb1", agent_id="sara", extension="1001",
                queue="sales", leg=f"leg-{offer}", ring_ms=15_000, age_ms=age_ms, callback_id="c1", number="09121234567",
                first=first, language="fa", entry_point="1000", waiting_since_us=self.now_us - 300_000_000,
            )
        )  # fmt: skip
        self.deliver()

    def picks_up(self, leg: str) -> None:
        self.ring(leg)
        self.answer(leg)
        self.deliver()

    def takes_over(self) -> None:
        """A new owner, with the same documents."""
        self.documents = self.plans
        self.take_over()
        self.deliver()

    def attempts(self) -> list[tuple[str, str]]:
        found = [f for f in self.facts(facts.CallbackAttempted) if isinstance(f, facts.CallbackAttempted)]
        return [(f.contact_id, f.outcome) for f in found]

    def failures(self) -> list[tuple[str, str]]:
        found = [f for f in self.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]
        return [(f.outcome, f.cause) for f in found]

    def bridged(self) -> list[str]:
        found = [f for f in self.facts(facts.AgentBridged) if isinstance(f, facts.AgentBridged)]
        return [f.contact_id for f in found]

    def accepted(self) -> list[facts.CallbackAccepted]:
        return [f for f in self.facts(facts.CallbackAccepted) if isinstance(f, facts.CallbackAccepted)]

    def offers_told(self) -> int:
        played = [f for f in self.facts(facts.TreatmentPlayed) if isinstance(f, facts.TreatmentPlayed)]
        return sum(f.what == "callback_offer" for f in played)

    def at_rest(self) -> bool:
        """Nothing of a callback is remembered."""
        node = self.engine._node
        return not node.customers and not node.offers

    def hears(self, leg: str) -> str:
        return self.legs[leg].playing.replace("/s/fa/", "").replace(".wav", "")

    def presses(self, keys: str, leg: str = "c1") -> None:
        for key in keys:
            self.press(leg, key)


@pytest.fixture
def floor() -> Floor:
    return Floor()


# --- asking ---


def test_the_callers_own_number_is_read_back_and_confirmed(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("7")
    digits = "!".join(f"digits/{d}" for d in "09121234567")
    assert floor.hears("c1") == f"file_string://callback-number!{digits}!callback-confirm"
    floor.presses("1")
    assert [(f.contact_id, f.number, f.own_number) for f in floor.accepted()] == [("c1", "09121234567", True)]
    assert floor.state() == "waiting", "the place is not given up before routing keeps it"
    assert floor.legs["c1"].mode == "music"
    floor.feed(inputs.ContactClosed(at_us=floor.now_us, contact_id="c1", outcome="callback"))
    assert floor.legs["c1"].mode == "farewell"
    farewell = floor.commands(outputs.Farewell)[-1]
    assert isinstance(farewell, outputs.Farewell)
    assert farewell.file == "/s/fa/callback-taken.wav"


def test_who_comes_in_with_the_wish_is_asked_at_once_and_waits_on_when_it_is_taken_back(floor: Floor) -> None:
    floor.call("c1", cc_language="fa", ani="09121234567", cc_wish="callback")
    assert floor.hears("c1").endswith("!callback-confirm")
    floor.presses("*")
    assert floor.state() == "waiting"
    assert floor.legs["c1"].mode == "music"
    floor.call("c2", cc_language="fa", ani="09121234567", cc_wish="callback")
    floor.presses("1", "c2")
    assert [f.contact_id for f in floor.accepted()] == ["c2"]


def test_a_wish_where_nobody_is_called_back_is_no_more_than_waiting() -> None:
    rig = Rig()
    rig.call("c1", cc_wish="callback")
    assert rig.state() == "waiting"


def test_another_number_is_keyed_and_read_back(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("72")
    assert floor.hears("c1") == "callback-enter"
    floor.presses("09351112233#")
    assert "digits/3!digits/5" in floor.hears("c1")
    floor.presses("1")
    assert [(f.number, f.own_number) for f in floor.accepted()] == [("09351112233", False)]


@pytest.mark.parametrize("number", ["0044123456", "0911", "12"])
def test_a_number_that_may_not_be_called_is_refused_and_asked_for_again(floor: Floor, number: str) -> None:
    floor.calls_in()
    floor.presses(f"72{number}#")
    assert floor.hears("c1") == "file_string://callback-refused!callback-enter"
    floor.presses(f"{number}#{number}#")
    assert floor.hears("c1") == "callback-refused"
    floor.presses("1")
    assert floor.accepted() == []
    assert floor.state() == "waiting"


def test_a_caller_without_a_number_is_asked_for_one() -> None:
    floor = Floor()
    floor.calls_in("anonymous")
    floor.presses("7")
    assert floor.hears("c1") == "callback-enter"
    alone = Floor(another_number=False)
    alone.calls_in("anonymous")
    alone.presses("7")
    assert alone.hears("c1") == "callback-refused"


def test_star_and_silence_lead_back_to_the_wait(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("7*1")
    assert floor.accepted() == []
    floor.presses("7")
    floor.advance(21_000)
    floor.presses("1")
    assert floor.accepted() == []
    assert floor.state() == "waiting"


def test_an_agent_who_becomes_free_wins_over_the_menu(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("7")
    floor.talk("c1", "o1")
    floor.presses("1")
    assert floor.state() == "talking"
    assert floor.accepted() == []


def test_the_offer_is_told_after_the_wait_and_again(floor: Floor) -> None:
    floor.calls_in()
    floor.advance(59_000)
    assert not floor.offers_told()
    floor.advance(1_500)
    assert floor.offers_told() == 1
    floor.events.append(
        inputs.AnnouncementEnded(at_us=floor.now_us, leg="c1", file="/s/fa/callback-offer.wav")
    )
    floor.advance(120_000)
    assert floor.offers_told() == 2


def test_the_offer_is_told_when_the_wait_will_be_long() -> None:
    floor = Floor(after_ms=0, expected_ms=180_000)
    floor.calls_in()
    floor.advance(6_000)
    assert [question.what for question in floor.asked] == ["callback"]
    for wait_ms, told in ((0, 0), (179_999, 0), (180_000, 1), (400_000, 1)):
        floor.feed(
            inputs.PositionKnown(
                at_us=floor.now_us, contact="c1", position=9, file="", what="callback", wait_ms=wait_ms
            )
        )
        assert floor.offers_told() == told, f"at {wait_ms} ms"
    asked = len(floor.asked)
    floor.advance(31_000)
    assert len(floor.asked) == asked, "who was told is not looked after any more"


def test_nothing_is_said_into_the_menu(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("72")
    floor.events.append(
        inputs.AnnouncementEnded(at_us=floor.now_us, leg="c1", file="/s/fa/callback-enter.wav")
    )
    floor.deliver()
    for _ in range(5):
        floor.advance(15_000)
        floor.presses("0")
    assert floor.offers_told() == 0


def test_a_limit_asks_and_who_does_not_want_it_hears_sorry(floor: Floor) -> None:
    floor.calls_in()
    floor.feed(inputs.ContactOverflowed(at_us=floor.now_us, contact_id="c1", action="callback", target=""))
    assert "callback-number" in floor.hears("c1")
    floor.advance(21_000)
    farewell = floor.commands(outputs.Farewell)[-1]
    assert isinstance(farewell, outputs.Farewell)
    assert farewell.file == "/s/fa/sorry.wav"


def test_killed_in_the_menu_the_caller_waits_on(floor: Floor) -> None:
    floor.calls_in()
    floor.presses("7")
    floor.takes_over()
    assert floor.state() == "waiting"
    floor.presses("71")
    assert len(floor.accepted()) == 1


# --- calling: the customer first ---


def test_customer_first(floor: Floor) -> None:
    floor.orders()
    call = floor.commands(outputs.CallCustomer)[0]
    assert isinstance(call, outputs.CallCustomer)
    assert (call.leg, call.way.number, call.way.caller_id, call.ring_ms) == (
        "c1-cb1",
        "09121234567",
        "1000",
        25_000,
    )
    assert not floor.commands(outputs.Originate)
    floor.picks_up("c1-cb1")
    assert floor.hears("c1-cb1") == "callback-customer"
    assert not floor.dialled, "a machine would have an agent by now"
    floor.presses("1", "c1-cb1")
    waiting = floor.facts(facts.ContactWaiting)[0]
    assert isinstance(waiting, facts.ContactWaiting)
    assert (waiting.contact_id, waiting.callback_id) == ("c1-cb1", "c1")
    assert waiting.waiting_since_us == floor.now_us - 300_000_000, "the place"
    assert floor.legs["c1-cb1"].vars["cc_state"] == "waiting"
    floor.picks_up("leg-o1")
    floor.advance(100)
    assert floor.bridged() == ["c1-cb1"]
    assert floor.attempts() == []


@pytest.mark.parametrize(
    ("cause", "outcome"), [("NO_ANSWER", "no_answer"), ("USER_BUSY", "busy"), ("GATEWAY_DOWN", "unreachable")]
)
def test_a_customer_who_is_not_reached(floor: Floor, cause: str, outcome: str) -> None:
    floor.orders()
    floor.fail("c1-cb1", cause)
    floor.deliver()
    assert floor.attempts() == [("c1-cb1", outcome)]
    assert floor.at_rest()
    assert not floor.dialled


def test_a_machine_presses_nothing(floor: Floor) -> None:
    floor.orders()
    floor.picks_up("c1-cb1")
    floor.presses("5", "c1-cb1")
    floor.advance(16_000)
    assert floor.attempts() == [("c1-cb1", "machine")]
    assert "c1-cb1" not in floor.legs
    assert floor.at_rest()


def test_a_customer_who_hangs_up_instead_of_confirming(floor: Floor) -> None:
    floor.orders()
    floor.picks_up("c1-cb1")
    floor.hang_up("c1-cb1")
    floor.advance(100)
    assert floor.attempts() == [("c1-cb1", "declined")]
    assert floor.at_rest()


def test_without_confirmation_the_agent_is_rung_at_once() -> None:
    floor = Floor(confirm=False)
    floor.orders()
    floor.picks_up("c1-cb1")
    assert [o.leg for o in floor.dialled] == ["leg-o1"]


def test_the_agent_declines_and_the_customer_waits_for_the_next(floor: Floor) -> None:
    floor.orders()
    floor.picks_up("c1-cb1")
    floor.presses("1", "c1-cb1")
    floor.fail("leg-o1", "CALL_REJECTED")
    floor.advance(100)
    assert floor.failures() == [("declined", "CALL_REJECTED")]
    assert (floor.state("c1-cb1"), floor.legs["c1-cb1"].mode) == ("waiting", "music")
    floor.talk("c1-cb1", "o2", "reza")
    assert floor.bridged() == ["c1-cb1"]


def test_routing_ends_the_offer_while_the_customer_is_called(floor: Floor) -> None:
    floor.orders()
    floor.ring("c1-cb1")
    floor.deliver()
    floor.feed(inputs.OfferEnded(at_us=floor.now_us, offer_id="o1", contact_id="c1-cb1", outcome="expired"))
    floor.advance(1_000)
    assert floor.attempts() == [("c1-cb1", "agent_left")]
    assert "c1-cb1" not in floor.legs
    assert floor.at_rest()


def test_a_kill_before_the_channel_is_repeated(floor: Floor) -> None:
    floor.orders()
    floor.feed(inputs.OfferEnded(at_us=floor.now_us, offer_id="o1", contact_id="c1-cb1", outcome="withdrawn"))
    floor.deliver()
    assert not floor.at_rest(), "the job has not come"
    floor.create("c1-cb1")
    floor.deliver()
    assert "c1-cb1" not in floor.legs
    assert floor.at_rest()


def test_the_same_order_twice_calls_once(floor: Floor) -> None:
    floor.orders()
    floor.orders()
    assert len(floor.commands(outputs.CallCustomer)) == 1
    assert floor.failures() == []


# --- calling: the agent first ---


def test_agent_first(floor: Floor) -> None:
    floor.orders("agent")
    assert not floor.commands(outputs.CallCustomer)
    floor.picks_up("leg-o1")
    assert floor.hears("leg-o1") == "callback-agent"
    assert len(floor.facts(facts.OfferAnswered)) == 1
    floor.picks_up("c1-cb1")
    floor.presses("1", "c1-cb1")
    floor.advance(100)
    assert floor.bridged() == ["c1-cb1"]
    assert floor.legs["leg-o1"].partner == "c1-cb1"
    assert not floor.legs["leg-o1"].playing, "a displacement survives a bridge"
    assert len(floor.dialled) == 1


def test_the_agent_is_told_when_nobody_answers(floor: Floor) -> None:
    floor.orders("agent")
    floor.picks_up("leg-o1")
    floor.fail("c1-cb1", "NO_ANSWER")
    floor.deliver()
    assert floor.attempts() == [("c1-cb1", "no_answer")]
    farewell = floor.commands(outputs.Farewell)[-1]
    assert isinstance(farewell, outputs.Farewell)
    assert (farewell.leg, farewell.file) == ("leg-o1", "/s/fa/callback-missed.wav")
    assert floor.failures() == [], "it was not the agent's doing"
    floor.settle()
    assert floor.at_rest()


def test_the_agent_puts_down_while_the_customer_is_called(floor: Floor) -> None:
    floor.orders("agent")
    floor.picks_up("leg-o1")
    floor.ring("c1-cb1")
    floor.deliver()
    floor.hang_up("leg-o1")
    floor.advance(1_000)
    assert floor.attempts() == [("c1-cb1", "agent_left")]
    assert floor.failures() == [], "one report: the next attempt is another contact"
    assert not floor.legs
    assert floor.at_rest()


def test_the_agent_does_not_answer_and_nobody_else_is_called(floor: Floor) -> None:
    floor.orders("agent")
    floor.ring("leg-o1")
    floor.fail("leg-o1", "NO_ANSWER")
    floor.advance(100)
    assert floor.failures() == [("no_answer", "NO_ANSWER")]
    assert floor.attempts() == []
    assert not floor.commands(outputs.CallCustomer)
    assert floor.at_rest()


# --- killed between any two steps ---

Step = Callable[[Floor], None]
CUSTOMER_FIRST: tuple[Step, ...] = (
    lambda f: f.ring("c1-cb1"),
    lambda f: f.answer("c1-cb1"),
    lambda f: f.deliver(),
    lambda f: f.advance(600),
    lambda f: f.presses("1", "c1-cb1") if "c1-cb1" in f.legs else None,
    lambda f: f.ring("leg-o1"),
    lambda f: f.answer("leg-o1"),
    lambda f: f.advance(2_000),
)
AGENT_FIRST: tuple[Step, ...] = (
    lambda f: f.ring("leg-o1"),
    lambda f: f.answer("leg-o1"),
    lambda f: f.advance(600),
    lambda f: f.ring("c1-cb1"),
    lambda f: f.answer("c1-cb1"),
    lambda f: f.advance(600),
    lambda f: f.presses("1", "c1-cb1") if "c1-cb1" in f.legs else None,
    lambda f: f.advance(2_000),
)


@pytest.mark.parametrize(("first", "steps"), [("customer", CUSTOMER_FIRST), ("agent", AGENT_FIRST)])
@pytest.mark.parametrize("killed_before", range(8))
def test_killed_at_any_step_nobody_is_left_alone(
    first: str, steps: tuple[Step, ...], killed_before: int
) -> None:
    """Whatever the new owner finds: the two talk, or routing has heard how to go on; no leg is left without anybody."""
    floor = Floor()
    floor.orders(first)
    for n, step in enumerate(steps):
        if n == killed_before:
            floor.takes_over()
            floor.advance(2_000)
        step(floor)
        floor.deliver()
    floor.advance(45_000)  # The audit finds an agent's leg that came into being between two owners.
    talks = "c1-cb1" in floor.bridged()
    waits = floor.state("c1-cb1") == "waiting"
    told = bool(floor.attempts() or floor.failures())
    assert talks or told, f"routing was told nothing: {[type(f).__name__ for f in floor.facts()]}"
    if waits:
        assert floor.legs["c1-cb1"].mode == "music"
        assert told, "its offer is over, else nobody comes"
    if not talks:
        assert floor.agent_legs() == []
    for leg in floor.legs.values():
        assert talks or waits, f"{leg.uuid} is left in {leg.mode}"


def test_a_restarted_switch_ends_every_attempt(floor: Floor) -> None:
    floor.feed(inputs.LinkUp(at_us=floor.now_us, core_uuid="one"))
    floor.orders()
    floor.ring("c1-cb1")
    floor.deliver()
    floor.legs.clear()
    floor.jobs.clear()
    floor.feed(inputs.LinkUp(at_us=floor.now_us, core_uuid="two"))
    floor.advance(100)
    assert [outcome for _, outcome in floor.attempts()] == ["failed"]
    assert floor.at_rest()


def test_a_recovered_call_that_was_let_go_is_no_caller(floor: Floor) -> None:
    """A leg under its farewell has cc_state leaving."""
    floor.calls_in()
    floor.presses("71")
    floor.feed(inputs.ContactClosed(at_us=floor.now_us, contact_id="c1", outcome="callback"))
    floor.takes_over()
    assert floor.state() == "leaving"


def test_a_customer_whom_no_listing_had_yet_is_asked_at_once(floor: Floor) -> None:
    """Dialled by an owner who died before the channel was there: the answer itself tells, not the audit half a minute later."""
    floor.orders()
    floor.takes_over()
    floor.picks_up("c1-cb1")
    floor.advance(1_000)
    assert floor.hears("c1-cb1") == "callback-customer"
