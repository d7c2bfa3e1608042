"""Whoever leaves at whatever moment of a hold, a transfer, a consultation or a conference, and a queue process that dies anywhere in it.

Nobody is lost: the caller talks with somebody, or waits in the queue, or was told good-bye; and no agent's leg is left by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.queue.core import facts, inputs, outputs
from tests.unit.queue.rig import Rig

Step = Callable[[Rig], None]


def talking(rig: Rig) -> None:
    rig.call()
    rig.talk()
    rig.advance(1_000)


def consult_order(rig: Rig) -> None:
    rig.wish("consult", kind="agent", target="reza")
    rig.offer(offer="o2", agent="reza", kind="consult")
    rig.deliver()


def rings(rig: Rig) -> None:
    rig.ring("leg-o2")
    rig.deliver()


def answers(rig: Rig) -> None:
    rig.answer("leg-o2")
    rig.deliver()


def bridges(rig: Rig) -> None:
    rig.bridge()


def transferred(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="reza")
    rig.feed(
        inputs.ContactTransferred(
            at_us=rig.now_us, contact_id="c1", offer_id="o1", target_kind="agent", target="reza"
        )
    )
    rig.deliver()


CONSULT: tuple[Step, ...] = (talking, consult_order, rings, answers, bridges)
SCRIPTS: dict[str, tuple[Step, ...]] = {
    "hold": (talking, lambda rig: rig.wish("hold"), lambda rig: rig.wish("resume"), bridges),
    "keys": (
        talking,
        lambda rig: rig.key("leg-o1", "consult"),
        lambda rig: rig.press("leg-o1", "1"),
        lambda rig: rig.press("leg-o1", "#"),
    ),
    "blind": (
        talking,
        transferred,
        lambda rig: rig.offer(offer="o2", agent="reza", kind="transfer") and None,  # type: ignore[func-returns-value]
        rings,
        answers,
        bridges,
    ),
    "attended": (*CONSULT, lambda rig: rig.wish("complete"), bridges),
    "cancelled": (*CONSULT, lambda rig: rig.wish("cancel"), bridges),
    "conference": (*CONSULT, lambda rig: rig.wish("conference")),
}
POINTS = [(name, n) for name, steps in SCRIPTS.items() for n in range(2, len(steps) + 1)]


def commands_of(name: str) -> int:
    rig = Rig()
    for step in SCRIPTS[name]:
        step(rig)
    return len(rig.sent)


def rest(rig: Rig) -> None:
    """Let everything happen that happens by itself within some seconds, phones ringing on."""
    for _ in range(8):
        rig.complete_bridges()
        rig.deliver()
        rig.advance(1_500)


def nobody_is_lost(rig: Rig) -> None:
    legs = rig.legs
    if (caller := legs.get("c1")) is not None:
        assert caller.mode != "stuck"
        state = rig.state()
        if state == "talking":
            assert caller.mode == "bridged", state
        elif state in ("waiting", "offered", "held", "dialling", "consulting"):
            assert caller.mode == "music", (state, caller)
        elif state == "conference":
            assert caller.mode == "room"
        else:
            assert caller.mode in ("farewell", "out"), (state, caller)
    for leg in rig.agent_legs():
        offer = leg.vars["cc_offer"]
        assert leg.mode != "stuck"
        assert rig.engine.knows(leg.uuid), f"nobody looks after {offer}, which is {leg.mode}"
        assert not (leg.mode == "room" and caller is None), f"{offer} is alone in a room"


def all_end(rig: Rig) -> None:
    if "c1" in rig.legs:
        rig.hang_up("c1")
    rig.settle()
    assert rig.legs == {}
    # What is told again has its old id, and the bus takes it once.
    told = {r.fact_id: r.fact for r in rig.reports}.values()
    ended = [f.offer_id for f in told if isinstance(f, facts.ConversationEnded)]
    assert len(ended) == len(set(ended))
    assert len([f for f in told if isinstance(f, facts.ContactGone)]) <= 1


@pytest.mark.parametrize(("name", "steps"), POINTS)
@pytest.mark.parametrize("who", ["c1", "leg-o1", "leg-o2", "both agents"])
@pytest.mark.parametrize("in_the_bridge", [False, True])
def test_whoever_leaves_after_whichever_step(name: str, steps: int, who: str, in_the_bridge: bool) -> None:
    rig = Rig()
    for step in SCRIPTS[name][:steps]:
        step(rig)
    if in_the_bridge:
        rig.complete_bridges()  # The event of it is on its way when somebody leaves.
    for leg in ("leg-o1", "leg-o2") if who == "both agents" else (who,):
        rig.hang_up(leg)
    rest(rig)
    nobody_is_lost(rig)
    all_end(rig)


@pytest.mark.parametrize(("name", "after"), [(name, n) for name in SCRIPTS for n in range(commands_of(name))])
@pytest.mark.parametrize("lost", ["", "c1", "leg-o1", "leg-o2"])
def test_killed_between_every_two_commands(name: str, after: int, lost: str) -> None:
    rig = Rig()
    rig.dies_after = after
    for step in SCRIPTS[name]:
        step(rig)
        if rig.dead:
            break
    rig.complete_bridges()
    if lost:
        rig.hang_up(lost)
    rig.take_over()
    rest(rig)
    nobody_is_lost(rig)
    if not lost:
        assert "c1" in rig.legs
        assert rig.state() != "leaving", "a caller whose call went on was sent away"
    all_end(rig)


@pytest.mark.parametrize("name", ["attended", "cancelled", "conference", "hold"])
def test_killed_after_the_last_step_it_is_as_it_was(name: str) -> None:
    rig = Rig()
    for step in SCRIPTS[name]:
        step(rig)
    rig.deliver()
    before = (rig.state(), {leg.uuid: (leg.mode, leg.partner) for leg in rig.legs.values()})
    wrapping_up = name == "attended"
    rig.take_over()
    rig.advance(3_000)
    after = (rig.state(), {leg.uuid: (leg.mode, leg.partner) for leg in rig.legs.values()})
    assert before[0] == after[0]
    assert before[1] == after[1] or wrapping_up
    assert after[1]["c1"] == before[1]["c1"]


def test_the_caller_leaves_the_consultation_and_both_agents_are_told() -> None:
    rig = Rig()
    for step in CONSULT:
        step(rig)
    rig.hang_up("c1")
    rig.deliver()
    told = [c for c in rig.commands(outputs.Farewell) if "caller-left" in c.file]  # type: ignore[attr-defined]
    assert [c.leg for c in told] == ["leg-o2"]
    assert rig.facts(facts.ConsultEnded)[0].outcome == "failed"  # type: ignore[attr-defined]
    assert rig.facts(facts.AgentReleased) == []
    rig.advance(500)
    assert [c.leg for c in rig.commands(outputs.PlayTo)] == ["leg-o1"], (
        "who had the contact is asked for a result"
    )
    rig.hang_up("leg-o2")
    rig.deliver()
    (released,) = rig.facts(facts.AgentReleased)
    assert (released.offer_id, released.contact_id) == ("o2", "c1")  # type: ignore[attr-defined]


@pytest.mark.parametrize("comes_about", [True, False])
def test_a_colleague_in_the_middle_of_a_bridge_is_told_when_it_is_over(comes_about: bool) -> None:
    """A transfer that meets a bridge on its way is lost, and the colleague sat in silence until the kill five seconds later."""
    rig = Rig()
    for step in CONSULT[:-1]:
        step(rig)
    rig.hang_up("c1")
    rig.deliver()
    assert rig.commands(outputs.Farewell) == []
    if comes_about:
        rig.bridge()
    else:
        rig.legs["leg-o2"].mode = "stuck"
        rig.bridges.clear()
        rig.advance(500)
    assert [c.leg for c in rig.commands(outputs.Farewell)] == ["leg-o2"]
    assert not [c for c in rig.commands(outputs.Kill) if c.leg == "leg-o2"]
    rig.settle()
    assert rig.legs == {}


def test_a_colleague_whose_originate_is_not_over_is_told_then() -> None:
    rig = Rig()
    talking(rig)
    consult_order(rig)
    rig.create("leg-o2")
    rig.answer("leg-o2")
    while rig.events:
        rig.feed_next(rig.events)
    rig.hang_up("c1")
    while rig.events:
        rig.feed_next(rig.events)
    assert rig.commands(outputs.Farewell) == []
    rig.deliver()
    assert [c.leg for c in rig.commands(outputs.Farewell)] == ["leg-o2"]
    rig.settle()
    assert rig.legs == {}


def test_who_asks_leaves_and_the_caller_goes_to_the_colleague() -> None:
    rig = Rig()
    for step in CONSULT:
        step(rig)
    rig.hang_up("leg-o1")
    rest(rig)
    assert (rig.state(), rig.legs["c1"].partner) == ("talking", "leg-o2")


@pytest.mark.parametrize("steps", [2, 3])
def test_who_asks_leaves_before_the_colleague_answers_and_the_caller_has_its_place_again(steps: int) -> None:
    rig = Rig()
    for step in CONSULT[:steps]:
        step(rig)
    since_us = rig.engine.calls()[0].waiting_since_us
    rig.hang_up("leg-o1")
    rest(rig)
    assert (rig.state(), rig.engine.calls()[0].waiting_since_us) == ("waiting", since_us)
    again = rig.facts(facts.ContactWaiting)[-1]
    assert again.recovered  # type: ignore[attr-defined]
    kinds = [type(f).__name__ for f in rig.facts()]
    assert kinds.index("ConversationEnded") > len(kinds) - 1 - kinds[::-1].index("ContactWaiting")
    assert "leg-o2" not in rig.legs


def test_an_originate_of_the_colleague_before_its_channel_exists_is_called_off() -> None:
    rig = Rig()
    talking(rig)
    consult_order(rig)  # originate sent, no channel yet
    rig.wish("cancel")
    rig.bridge()
    rig.create("leg-o2")
    rig.deliver()
    rig.settle()
    assert set(rig.legs) == {"c1", "leg-o1"}
