"""Agents at a number outside: by which trunk they are called, the key that makes an answer one, and a kill after every command."""

from __future__ import annotations

import pytest

from services.queue.adapters import switch
from services.queue.core import facts, inputs, legs, outputs
from services.queue.core import trunk_facts as tf
from tests.unit.queue.trunk_rig import Exchange

MOBILE = "09121112233"


def rung(rig: Exchange, contact: str = "c1", offer: str = "o1", *, confirm: bool = True, **call: str) -> str:
    """A caller waits and the agent's number outside rings; returns the agent's leg."""
    if contact not in rig.legs:
        rig.call(contact, **call)
    leg = rig.offer(contact, offer, agent_number=MOBILE, confirm=confirm)
    rig.ring(leg)
    rig.deliver()
    return leg


def picked_up(rig: Exchange, **call: str) -> str:
    leg = rung(rig, **call)
    rig.answer(leg)
    rig.deliver()
    return leg


def ends(rig: Exchange) -> list[tuple[str, str]]:
    """Outcome and cause of the offers that failed."""
    return [(f.outcome, f.cause) for f in rig.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]


def asked(rig: Exchange) -> list[tuple[str, ...]]:
    return [c.files for c in rig.sent if isinstance(c, outputs.Whisper)]


def test_the_key_makes_the_answer_and_the_bridge() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    (order,) = rig.dialled
    assert order.way is not None
    assert (order.way.trunk, order.way.number, order.way.caller_id) == ("a", MOBILE, "1000")
    assert asked(rig) == [("/s/fa/agent-confirm.wav",)]
    assert (rig.facts(facts.OfferAnswered), rig.commands(outputs.Bridge)) == ([], []), "an answer is none yet"
    assert rig.legs["c1"].mode == "music"
    rig.advance(3_000)
    rig.press(leg, "5")
    assert rig.commands(outputs.Bridge) == [], "another key takes nothing"
    rig.press(leg, "1")
    assert rig.legs[leg].vars["cc_confirmed"] == "1"
    assert len(rig.facts(facts.OfferAnswered)) == 1
    rig.bridge()
    assert (rig.state(), rig.legs[leg].mode) == ("talking", "bridged")
    assert (rig.on("a"), ends(rig)) == (1, [])
    rig.press(leg, "1")
    assert len(rig.facts(facts.OfferAnswered)) == 1, "later keys are none of ours"


def test_the_confirmation_is_written_before_what_follows_from_it() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.sent.clear()
    rig.press(leg, "1")
    kinds = [(type(c).__name__, c.leg) for c in rig.sent]
    assert kinds[0] == ("SetVars", leg)
    assert kinds[-1] == ("Bridge", leg)


def test_the_prompt_waits_for_originate_to_let_go_and_comes_again() -> None:
    rig = Exchange()
    leg = rung(rig)
    rig.answer(leg)
    while rig.events:
        rig.feed_next(rig.events)
    assert asked(rig) == [], "originate's last act would end the prompt"
    rig.deliver()
    rig.said(leg)
    assert len(asked(rig)) == 1
    rig.advance(2_000)
    assert len(asked(rig)) == 2
    rig.said(leg, heard=False)
    rig.advance(6_000)
    assert len(asked(rig)) == 2, "a prompt that is not there is not tried for ever"


def test_the_agent_is_told_which_queue_it_is_and_then_hears_the_whisper() -> None:
    rig = Exchange()
    leg = picked_up(rig, cc_queue="told")
    assert asked(rig) == [("/s/fa/name-told.wav", "/s/fa/agent-confirm.wav")]
    rig.press(leg, "1")
    assert asked(rig)[1] == ("/s/fa/name-told.wav",)
    rig.said(leg)
    rig.said("c1")
    rig.bridge()
    assert rig.state() == "talking"


@pytest.mark.parametrize("does", ["nothing", "hangs up"])
def test_a_voicemail_is_no_answer(does: str) -> None:
    rig = Exchange()
    leg = picked_up(rig)
    if does == "nothing":
        rig.advance(15_100)
    else:
        rig.hang_up(leg)
        rig.deliver()
    assert ends(rig) == [("no_answer", "NOT_CONFIRMED")]
    assert leg not in rig.legs
    assert (rig.state(), rig.legs["c1"].mode, rig.on("a")) == ("waiting", "music", 0)
    rig.press(leg, "1")
    assert rig.facts(facts.OfferAnswered) == []


def test_the_caller_leaves_before_the_key() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.hang_up("c1")
    rig.deliver()
    assert leg not in rig.legs
    assert (ends(rig), rig.facts(facts.OfferAnswered)) == ([], []), "the end is routing's: withdrawn"
    (gone,) = rig.facts(facts.ContactGone)
    assert isinstance(gone, facts.ContactGone)
    assert gone.state == "offered"
    rig.settle()
    assert rig.engine.open_agent_legs() == 0


def test_routing_withdraws_before_the_key() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="expired"))
    rig.deliver()
    assert leg not in rig.legs
    assert rig.state() == "waiting"
    assert ends(rig) == []


def test_without_confirm_the_answer_is_the_answer() -> None:
    rig = Exchange()
    leg = rung(rig, confirm=False)
    rig.answer(leg)
    rig.bridge()
    assert (rig.state(), asked(rig)) == ("talking", [])


def test_a_way_that_fails_leads_to_the_next_trunk_and_no_further() -> None:
    rig = Exchange()
    leg = rung(rig)
    rig.fail(leg, "NORMAL_TEMPORARY_FAILURE")
    rig.deliver()
    assert (ends(rig), rig.on("a"), rig.state()) == ([], 0, "offered")
    rig.advance(300)
    assert [o.way.trunk for o in rig.dialled if o.way] == ["a", "b"]
    assert rig.dialled[1].leg == leg
    rig.fail(leg, "GATEWAY_DOWN")  # Without any channel.
    rig.deliver()
    assert ends(rig) == [("failed", "GATEWAY_DOWN")], "no fault of the agent's"
    failed = [f.trunk for f in rig.facts(tf.TrunkFailed) if isinstance(f, tf.TrunkFailed)]
    assert failed == ["a", "b"]
    assert rig.state() == "waiting"
    assert rig.engine.open_agent_legs() == 0


def test_the_late_news_of_a_failed_leg_does_not_end_the_next_try() -> None:
    rig = Exchange()
    leg = rung(rig)
    rig.legs.pop(leg)
    rig._job(leg, "-ERR NORMAL_TEMPORARY_FAILURE")
    rig.deliver()
    rig.events.append(inputs.LegHungUp(at_us=rig.now_us, leg=leg, cause="NORMAL_TEMPORARY_FAILURE"))
    rig.events.append(inputs.LegProbed(at_us=rig.now_us, leg=leg, alive=False))
    rig.deliver()
    assert ends(rig) == []
    rig.advance(300)
    rig.answer(leg)
    rig.deliver()
    rig.press(leg, "1")
    rig.bridge()
    assert rig.state() == "talking"


def test_a_busy_agent_is_not_called_by_another_carrier() -> None:
    rig = Exchange()
    leg = rung(rig)
    rig.fail(leg, "USER_BUSY")
    rig.deliver()
    rig.advance(1_000)
    assert ends(rig) == [("busy", "USER_BUSY")]
    assert len(rig.dialled) == 1


def test_without_a_line_nobody_is_dialled() -> None:
    rig = Exchange()
    for n in (1, 2):
        rung(rig, f"c{n}", f"o{n}")
        rig.answer(f"leg-o{n}")
        rig.deliver()
    rig.call("c3")
    rig.offer("c3", "o3", "reza", agent_number=MOBILE)
    assert ends(rig) == [("no_line", "trunks-full")]
    assert len(rig.dialled) == 2
    assert rig.state("c3") == "waiting"
    (no,) = rig.facts(tf.DialRefused)
    assert isinstance(no, tf.DialRefused)
    assert (no.purpose, no.agent_id, no.reason) == ("agent", "reza", "trunks-full")


def test_the_connection_broke_and_a_key_may_have_been_missed() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.deliver()
    rig.advance(1_000)
    assert len(asked(rig)) == 2
    rig.press(leg, "1")
    rig.bridge()
    assert rig.state() == "talking"


def story(rig: Exchange, dies_after: int | None) -> None:
    """Offered, answered, confirmed, bridged; the process dies after so many commands and another one goes on."""
    rig.dies_after = dies_after
    leg = rung(rig)
    rig.answer(leg)
    rig.deliver()
    rig.press(leg, "1")
    rig.bridge()


@pytest.mark.parametrize("queue", ["sales", "told"])
def test_a_kill_after_every_command_loses_nobody(queue: str) -> None:
    whole = Exchange()
    whole.call("c1", cc_queue=queue)
    first = len(whole.sent)
    story(whole, None)
    assert len(whole.sent) - first > 3
    for dies_after in range(first, len(whole.sent) + 1):
        rig = Exchange()
        rig.call("c1", cc_queue=queue)
        story(rig, dies_after)
        before = rig.legs.get("leg-o1")
        confirmed = before is not None and before.vars.get("cc_confirmed") == "1"
        rig.take_over()
        rig.deliver()
        rig.advance(3_000)
        at = f"died after {dies_after - first} commands"
        agent = rig.legs.get("leg-o1")
        if agent is None:
            rig.offer("c1", "o1", agent_number=MOBILE)  # The order is read again.
            rig.answer("leg-o1")
            rig.deliver()
            rig.advance(1_000)
            agent = rig.legs["leg-o1"]
        if not confirmed:
            assert rig.facts(facts.OfferAnswered) == [], at
            assert rig.legs["c1"].mode == "music", at
            rig.press("leg-o1", "1")
        rig.bridge()
        rig.advance(12_000)
        rig.bridge()
        assert rig.state() == "talking", at
        assert (agent.mode, rig.on("a") + rig.on("b")) == ("bridged", 1), at
        assert ends(rig) == [], at


def test_a_new_owner_asks_again_and_gives_up_like_the_first() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.take_over()
    rig.deliver()
    rig.advance(1_000)
    assert len(asked(rig)) == 2
    assert rig.on("a") == 1
    rig.advance(15_000)
    assert ends(rig) == [("no_answer", "NOT_CONFIRMED")]
    assert leg not in rig.legs


def test_a_colleague_outside_is_asked_for_the_key_before_the_consultation() -> None:
    rig = Exchange()
    rig.call("c1")
    first = rig.talk("c1")
    leg = rig.offer("c1", "o2", "reza", kind="consult", agent_number=MOBILE)
    rig.ring(leg)
    rig.answer(leg)
    rig.deliver()
    assert len(rig.commands(outputs.Bridge)) == 1, "the conversation's"
    rig.press(leg, "1")
    rig.bridge()
    assert (rig.legs[leg].partner, rig.state()) == (first, "consulting")


def test_the_originate_says_whose_trunk_it_is_and_not_who_calls() -> None:
    rig = Exchange()
    rung(rig, ani="09350000000")
    dialing = switch.Dialing(
        agent_dial="user/{extension}@{domain}",
        sip_domain="pbx",
        transfer_dial="sofia/gateway/trunk/{number}",
        recordings_dir="/r",
    )
    line = switch.originate_line(rig.dialled[0], "fs1", dialing)
    assert line.endswith(f"sofia/gateway/ga/{MOBILE} &park()")
    for said in ("cc_trunk=a", "cc_confirm=1", "cc_role=agent", "origination_caller_id_number=1000"):
        assert said in line, said
    assert "09350000000" not in line


def test_an_agent_outside_who_clicks_is_called_and_confirms_before_the_number_is_dialled() -> None:
    rig = Exchange()
    rig.feed(
        inputs.OfferMade(
            at_us=rig.now_us, tenant="demo", offer_id="o1", contact_id="c9", agent_id="sara", extension="1001",
            queue="sales", leg="leg-o1", ring_ms=15_000, kind=legs.OUTBOUND, number="0215550000", first="agent",
            agent_number=MOBILE, confirm=True,
        )
    )  # fmt: skip
    rig.answer("leg-o1")
    rig.deliver()
    assert rig.commands(outputs.CallCustomer) == [], "nobody is called for a voicemail"
    rig.press("leg-o1", "1")
    assert len(rig.commands(outputs.CallCustomer)) == 1


def test_a_caller_is_never_joined_with_a_colleague_outside_who_has_not_confirmed() -> None:
    """The agent who asks is gone when a new owner looks: the colleague's answer alone is nobody."""
    rig = Exchange()
    rig.call("c1")
    first = rig.talk("c1")
    leg = rig.offer("c1", "o2", "reza", kind="consult", agent_number=MOBILE)
    rig.ring(leg)
    rig.answer(leg)
    rig.deliver()
    bridges = len(rig.commands(outputs.Bridge))
    rig.legs.pop(first)
    rig.take_over()
    rig.deliver()
    rig.advance(3_000)
    assert len(rig.commands(outputs.Bridge)) == bridges
    assert (rig.state(), rig.legs["c1"].mode) == ("waiting", "music")


def test_an_order_that_is_read_before_the_switch_finds_the_leg_that_is_asked() -> None:
    rig = Exchange()
    leg = picked_up(rig)
    rig.take_over()
    told = len(rig.facts(facts.ContactWaiting))
    rig.offer("c1", "o1", agent_number=MOBILE)
    rig.deliver()
    rig.advance(4_000)
    assert len(rig.facts(facts.ContactWaiting)) == told + 1, "routing hears that the caller is still there"
    assert len(rig.dialled) == 1
    rig.press(leg, "1")
    rig.bridge()
    assert rig.state() == "talking"


def test_an_order_that_is_read_again_books_the_trunk_that_its_leg_is_on() -> None:
    """The owner before went by the second trunk; the new one reads the order before it has seen the switch."""
    rig = Exchange()
    leg = rung(rig)
    rig.fail(leg, "NORMAL_TEMPORARY_FAILURE")
    rig.deliver()
    rig.advance(300)
    rig.ring(leg)
    rig.deliver()
    assert (rig.on("a"), rig.on("b")) == (0, 1)
    rig.take_over()
    rig.offer("c1", "o1", agent_number=MOBILE)
    rig.deliver()
    rig.advance(4_000)
    assert rig.engine._node.lines[leg].trunk == "b"
    rig.call("c2")
    rig.offer("c2", "o2", "reza", agent_number=MOBILE)
    rig.ring("leg-o2")
    rig.deliver()
    assert (rig.on("a"), rig.on("b")) == (1, 1), "the last line is given to nobody twice"
    rig.answer(leg)
    rig.deliver()
    rig.press(leg, "1")
    rig.advance(600)  # Whose originate it was is not known: it gets the time to let go.
    rig.bridge()
    assert rig.state("c1") == "talking"
