"""Calls out: full trunks divert, gateways that fail rest, nobody shares the last channel, and what a caller and an agent notice of it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.center.outside import Outside, Route, Trunk
from services.queue.adapters import switch
from services.queue.core import facts, inputs, outputs
from services.queue.core import trunk_facts as tf
from tests.unit.queue.trunk_rig import Exchange

NUMBER = "0211234567"


def full(rig: Exchange) -> list[tuple[str, str]]:
    """(trunk that was full, trunk taken instead)"""
    return [(f.trunk, f.diverted_to) for f in rig.facts(tf.TrunkFull) if isinstance(f, tf.TrunkFull)]


def refused(rig: Exchange) -> list[str]:
    return [f.reason for f in rig.facts(tf.DialRefused) if isinstance(f, tf.DialRefused)]


def overflow(rig: Exchange, contact: str) -> None:
    """A way out of the queue to a number."""
    rig.call(contact)
    rig.feed(inputs.ContactOverflowed(at_us=rig.now_us, contact_id=contact, action="transfer", target=NUMBER))
    rig.deliver()


def transfer(rig: Exchange, contact: str = "c1", offer: str = "o1") -> None:
    """An agent sends the caller to a number, and routing agrees."""
    rig.call(contact)
    rig.talk(contact, offer)
    rig.wish("transfer", contact, kind="number", target=NUMBER)
    granted(rig, contact, offer)


def granted(rig: Exchange, contact: str = "c1", offer: str = "o1") -> None:
    rig.feed(
        inputs.ContactTransferred(
            at_us=rig.now_us, contact_id=contact, offer_id=offer, target_kind="number", target=NUMBER
        )
    )
    rig.deliver()


def test_a_full_trunk_diverts_to_the_next() -> None:
    rig = Exchange()
    for contact in ("c1", "c2"):
        overflow(rig, contact)
        rig.outside_answers(contact)
    assert (rig.on("a"), rig.on("b")) == (1, 1)
    assert full(rig) == [("a", "b")]
    rig.hang_up(rig.out("c1"))
    rig.deliver()
    overflow(rig, "c3")
    assert rig.legs[rig.out("c3")].vars["cc_trunk"] == "a"


def test_without_a_line_the_caller_hears_music_until_there_is_one() -> None:
    rig = Exchange()
    for contact in ("c1", "c2"):
        overflow(rig, contact)
        rig.outside_answers(contact)
    overflow(rig, "c3")
    assert (rig.legs["c3"].mode, refused(rig), rig.out("c3")) == ("music", ["trunks-full"], "")
    rig.advance(6_000)
    assert refused(rig) == ["trunks-full"], "told once"
    rig.hang_up(rig.out("c2"))
    rig.deliver()
    rig.advance(2_500)
    assert rig.legs[rig.out("c3")].vars["cc_trunk"] == "b"


def test_a_way_out_that_stays_full_ends_with_an_apology() -> None:
    rig = Exchange()
    for contact in ("c1", "c2"):
        overflow(rig, contact)
        rig.outside_answers(contact)
    overflow(rig, "c3")
    rig.advance(33_000)
    assert rig.legs["c3"].mode == "farewell"
    farewell = rig.commands(outputs.Farewell)[-1]
    assert isinstance(farewell, outputs.Farewell)
    assert farewell.file.endswith("/sorry.wav")


def test_a_new_owner_goes_on_looking_for_a_line() -> None:
    rig = Exchange()
    for contact in ("c1", "c2"):
        overflow(rig, contact)
        rig.outside_answers(contact)
    overflow(rig, "c3")
    rig.take_over()
    rig.deliver()
    rig.advance(2_500)
    assert rig.out("c3") == "", "the lines in use were counted on the switch"
    rig.hang_up(rig.out("c1"))
    rig.deliver()
    rig.advance(2_500)
    assert rig.legs[rig.out("c3")].vars["cc_trunk"] == "a"


def test_an_agent_is_told_that_there_is_no_line_and_keeps_the_caller() -> None:
    rig = Exchange(outside=Outside(trunks=(Trunk(name="a", gateway="ga", channels=1),)))
    overflow(rig, "c1")
    rig.outside_answers("c1")
    rig.call("c2")
    rig.talk("c2")
    rig.wish("transfer", "c2", kind="number", target=NUMBER)
    assert rig.answered() == ["trunks-full"]
    assert (rig.state("c2"), rig.facts(facts.TransferRequested)) == ("talking", [])


def test_a_number_to_which_no_route_leads_is_refused_at_once() -> None:
    rig = Exchange()
    rig.call("c1")
    rig.talk()
    rig.wish("transfer", kind="number", target="911")
    assert rig.answered() == ["no-route"]


def test_an_agent_who_keys_hears_why_not_and_has_the_caller_again() -> None:
    rig = Exchange(outside=Outside(trunks=(Trunk(name="a", gateway="ga", channels=1),)))
    overflow(rig, "c1")
    rig.outside_answers("c1")
    rig.call("c2")
    leg = rig.talk("c2")
    rig.key(leg, "transfer")
    for key in NUMBER + "#":
        rig.press(leg, key)
    said = rig.commands(outputs.PlayTo)[-1]
    assert isinstance(said, outputs.PlayTo)
    assert (said.leg, said.file) == (leg, "/s/fa/lines-busy.wav")
    rig.advance(3_000)
    rig.bridge()
    assert rig.state("c2") == "talking"
    assert not rig.facts(facts.TransferRequested)


def test_keys_of_a_colleague_are_not_asked_for_a_line() -> None:
    rig = Exchange(outside=Outside(trunks=(Trunk(name="a", gateway="ga", channels=1),)))
    overflow(rig, "c1")
    rig.outside_answers("c1")
    rig.call("c2")
    leg = rig.talk("c2")
    rig.key(leg, "transfer")
    for key in "1002#":
        rig.press(leg, key)
    assert len(rig.facts(facts.TransferRequested)) == 1


def test_a_gateway_that_fails_rests_and_the_bridge_goes_on_by_itself() -> None:
    rig = Exchange()
    overflow(rig, "c1")
    rig.outside_fails("NORMAL_TEMPORARY_FAILURE")
    assert rig.legs[rig.out("c1")].vars["cc_trunk"] == "b"
    failures = [f for f in rig.facts(tf.TrunkFailed) if isinstance(f, tf.TrunkFailed)]
    assert [(f.trunk, f.cause, f.rest_ms) for f in failures] == [("a", "NORMAL_TEMPORARY_FAILURE", 30_000)]
    rig.outside_fails("USER_BUSY")
    overflow(rig, "c2")
    assert rig.legs[rig.out("c2")].vars["cc_trunk"] == "b", "a rests; a busy party is no failure of b"
    rig.hang_up(rig.out("c2"))
    rig.hang_up("c2")
    rig.advance(31_000)
    overflow(rig, "c3")
    assert rig.legs[rig.out("c3")].vars["cc_trunk"] == "a"


def test_freeswitch_says_that_a_gateway_is_down_and_up_again() -> None:
    rig = Exchange()
    rig.feed(inputs.GatewayChanged(at_us=rig.now_us, gateway="ga", up=False))
    overflow(rig, "c1")
    assert rig.legs[rig.out("c1")].vars["cc_trunk"] == "b"
    rig.outside_answers("c1")
    rig.feed(inputs.GatewayChanged(at_us=rig.now_us, gateway="ga", up=True))
    overflow(rig, "c2")
    assert rig.legs[rig.out("c2")].vars["cc_trunk"] == "a"


def test_the_line_behind_the_first_is_kept_until_the_first_is_answered() -> None:
    rig = Exchange()
    overflow(rig, "c1")
    overflow(rig, "c2")
    assert rig.out("c2") == "", "b is kept for c1, whose call by a may fail"
    rig.outside_answers("c1")
    rig.advance(2_500)
    assert rig.legs[rig.out("c2")].vars["cc_trunk"] == "b"


def test_a_kept_line_is_known_to_a_new_owner() -> None:
    rig = Exchange()
    overflow(rig, "c1")
    rig.take_over()
    rig.deliver()
    overflow(rig, "c2")
    assert rig.out("c2") == ""
    rig.outside_fails("NORMAL_TEMPORARY_FAILURE")
    rig.outside_answers("c1")
    assert (rig.on("a"), rig.on("b")) == (0, 1)


def test_a_caller_whom_an_agent_sent_out_in_vain_is_back_at_the_old_place() -> None:
    rig = Exchange()
    rig.call("c1")
    since_us = rig.facts(facts.ContactWaiting)[0].waiting_since_us  # type: ignore[attr-defined]
    rig.advance(20_000)
    rig.talk()
    rig.wish("transfer", kind="number", target=NUMBER)
    granted(rig)
    rig.outside_fails("NO_ANSWER")
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")
    again = rig.facts(facts.ContactWaiting)[-1]
    assert isinstance(again, facts.ContactWaiting)
    assert (again.recovered, again.waiting_since_us) == (True, since_us)


def test_a_callback_tries_the_next_trunk_and_costs_no_attempt_without_one() -> None:
    rig = Exchange()
    callback(rig)
    first = rig.commands(outputs.CallCustomer)[-1]
    assert isinstance(first, outputs.CallCustomer)
    assert first.way.trunk == "a"
    rig.create("c1-cb1")
    rig.fail("c1-cb1", "NORMAL_TEMPORARY_FAILURE")
    rig.deliver()
    assert not rig.facts(facts.CallbackAttempted)
    rig.advance(300)
    second = rig.commands(outputs.CallCustomer)[-1]
    assert isinstance(second, outputs.CallCustomer)
    assert (second.leg, second.way.trunk) == ("c1-cb1", "b")
    rig.fail("c1-cb1", "GATEWAY_DOWN")
    rig.deliver()
    rig.advance(300)
    assert [outcome(f) for f in rig.facts(facts.CallbackAttempted)] == ["unreachable"]
    rig.advance(31_000)
    for contact in ("c8", "c9"):
        overflow(rig, contact)
        rig.outside_answers(contact)
    callback(rig, "c2")
    assert [outcome(f) for f in rig.facts(facts.CallbackAttempted)][1:] == ["no_line"]
    assert not rig.engine._node.customers


def outcome(fact: object) -> str:
    assert isinstance(fact, facts.CallbackAttempted)
    return fact.outcome


def callback(rig: Exchange, caller: str = "c1") -> None:
    rig.feed(
        inputs.OfferMade(
            at_us=rig.now_us, tenant="demo", offer_id=f"o-{caller}", contact_id=f"{caller}-cb1", agent_id="sara",
            extension="1001", queue="sales", leg=f"leg-{caller}", ring_ms=15_000, callback_id=caller,
            number="0912123", first="customer", language="fa", entry_point="1000", waiting_since_us=rig.now_us,
        )
    )  # fmt: skip
    rig.deliver()


def test_ivr_is_told_the_lines_that_it_may_take() -> None:
    rig = Exchange()
    emitted = rig.feed(
        inputs.RouteWished(at_us=rig.now_us, request_id="r1", tenant="demo", contact="c7", number=NUMBER)
    )
    chosen = next(o for o in emitted if isinstance(o, outputs.RouteChosen))
    assert [way.trunk for way in chosen.ways] == ["a", "b"]
    again = rig.feed(
        inputs.RouteWished(at_us=rig.now_us, request_id="r2", tenant="demo", contact="c8", number=NUMBER)
    )
    assert [o.refusal for o in again if isinstance(o, outputs.RouteChosen)] == ["trunks-full"]
    rig.advance(11_000)  # ivr has died: no leg has come.
    later = rig.feed(
        inputs.RouteWished(at_us=rig.now_us, request_id="r3", tenant="demo", contact="c8", number=NUMBER)
    )
    assert [len(o.ways) for o in later if isinstance(o, outputs.RouteChosen)] == [2]


def test_the_plan_that_freeswitch_gets() -> None:
    rig = Exchange()
    transfer(rig)
    sent = rig.commands(outputs.TransferOut)[-1]
    assert isinstance(sent, outputs.TransferOut)
    dialing = switch.Dialing(agent_dial="", sip_domain="d", transfer_dial="x/{number}", recordings_dir="/r")
    line = switch.api_line(sent, dialing)
    steps = line.partition("m:^:")[2].split("^")
    assert steps[0] == "set:cc_state=transferred"
    assert steps[1].startswith("bridge:{fail_on_single_reject=!GATEWAY_DOWN")
    assert steps[2:4] == ["set:cc_state=waiting", "event:Event-Name=CUSTOM,Event-Subclass=peyvand::waiting"]
    assert steps[-1].startswith("park:")


class Lines(RuleBasedStateMachine):
    """Whatever happens, in whatever order, with owners dying: no trunk has more calls than channels, and in the end all is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Exchange(
            outside=Outside(
                trunks=(
                    Trunk(name="a", gateway="ga", channels=2),
                    Trunk(name="b", gateway="gb", channels=1),
                ),
                routes=(Route(prefix="0", trunks=("a", "b")),),
            )
        )
        self.n = 0

    def dialling(self) -> list[str]:
        return sorted(
            leg.vars["cc_out_of"]
            for leg in self.rig.legs.values()
            if "cc_out_of" in leg.vars and not leg.answered
        )

    @rule()
    def send(self) -> None:
        self.n += 1
        overflow(self.rig, f"c{self.n}")

    @rule()
    def transfer(self) -> None:
        self.n += 1
        contact = f"c{self.n}"
        self.rig.call(contact)
        self.rig.talk(contact, f"o{self.n}", agent=f"agent{self.n}")
        self.rig.wish("transfer", contact, agent=f"agent{self.n}", kind="number", target=NUMBER)
        if self.rig.facts(facts.TransferRequested) and self.rig.state(contact) == "talking":
            granted(self.rig, contact, f"o{self.n}")

    @precondition(lambda self: self.dialling())
    @rule(data=st.data())
    def answers(self, data: st.DataObject) -> None:
        self.rig.outside_answers(data.draw(st.sampled_from(self.dialling())))

    @precondition(lambda self: self.dialling())
    @rule(data=st.data(), cause=st.sampled_from(["NORMAL_TEMPORARY_FAILURE", "USER_BUSY", "GATEWAY_DOWN"]))
    def fails(self, data: st.DataObject, cause: str) -> None:
        self.rig.outside_fails(cause, data.draw(st.sampled_from(self.dialling())))

    @precondition(lambda self: self.rig.legs)
    @rule(data=st.data())
    def hangs_up(self, data: st.DataObject) -> None:
        uuid = data.draw(st.sampled_from(sorted(self.rig.legs)))
        leg = self.rig.legs[uuid]
        if "cc_out_of" in leg.vars and not leg.answered:
            return
        if uuid in self.rig.tries or self.rig.out(uuid):
            self.rig.hang_up(self.rig.out(uuid), "ORIGINATOR_CANCEL")
            self.rig.tries.pop(uuid, None)
        self.rig.hang_up(uuid)
        self.rig.deliver()

    @rule(ms=st.sampled_from([500, 3_000, 12_000, 40_000]))
    def passes(self, ms: int) -> None:
        self.rig.advance(ms)

    @rule()
    def owner_dies(self) -> None:
        self.rig.take_over()
        self.rig.deliver()

    @invariant()
    def never_more_than_channels(self) -> None:
        assert self.rig.on("a") <= 2
        assert self.rig.on("b") <= 1

    def teardown(self) -> None:
        for uuid in list(self.rig.legs):
            self.rig.hang_up(uuid)
        self.rig.deliver()
        self.rig.advance(60_000)
        assert not self.rig.engine._node.lines


Lines.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestLines = Lines.TestCase
