"""Supervisors listen, whisper and barge in: who hears whom, who may, what is told, and a new owner at every step."""

from __future__ import annotations

import msgspec
import pytest

from services.queue.core import inputs, plan
from services.queue.core import supervision_facts as sf
from services.queue.core import supervision_messages as sm
from tests.unit.queue.listening_rig import Rig
from tests.unit.queue.rig import CENTER

TEAMS = plan.Plans(
    centers=(
        msgspec.structs.replace(
            CENTER,
            watch=plan.Watch(
                agents={"sara": frozenset({"mina"}), "omid": frozenset({"omar"})},
                queues={"sales": frozenset({"mina"})},
            ),
        ),
    )
)


@pytest.fixture
def rig() -> Rig:
    return Rig(TEAMS)


def listens(rig: Rig, mode: str = "listen") -> tuple[str, str]:
    """Sara talks with c1 and mina hears it; the agent's and the supervisor's leg."""
    rig.call()
    agent = rig.talk()
    ear = rig.supervise(mode)
    rig.pick_up(ear)
    return agent, ear


def told(rig: Rig) -> list[tuple[str, ...]]:
    """What was reported, once each however often it was repeated."""
    seen: dict[str, tuple[str, ...]] = {}
    for report in rig.reports:
        match report.fact:
            case sf.SupervisionStarted() as f:
                seen[report.fact_id] = ("started", f.supervisor, f.agent_id, f.mode)
            case sf.SupervisionChanged() as f:
                seen[report.fact_id] = ("changed", f.former_mode, f.mode, f.by)
            case sf.SupervisionEnded() as f:
                seen[report.fact_id] = ("ended", f.reason)
    return list(seen.values())


def last(rig: Rig) -> tuple[str, str]:
    answer = rig.answers[-1]
    return (answer.slug, "") if answer.slug else (answer.state, answer.mode)


def test_a_supervisor_is_rung_and_hears_the_agents_leg(rig: Rig) -> None:
    rig.call()
    agent = rig.talk()
    ear = rig.supervise()
    assert rig.answers == []
    rig.ring(ear)
    rig.deliver()
    assert last(rig) == ("ringing", "listen")
    rig.answer(ear)
    rig.deliver()
    assert rig.hears == {ear: agent}
    assert rig.heard_by(ear) == set()
    assert told(rig) == [("started", "mina", "sara", "listen")]
    assert rig.state() == "talking"


@pytest.mark.parametrize(
    ("mode", "who"), [("listen", set()), ("whisper", {"agent"}), ("barge", {"agent", "caller"})]
)
def test_who_hears_the_supervisor(rig: Rig, mode: str, who: set[str]) -> None:
    agent, ear = listens(rig)
    rig.supervise(mode)
    assert last(rig) == ("listening", mode)
    names = {agent: "agent", "c1": "caller"}
    assert {names[leg] for leg in rig.heard_by(ear)} == who
    assert rig.legs[ear].vars["eavesdrop_enable_dtmf"] == "false", (
        "FreeSWITCH's own keys would mean something else"
    )


def test_modes_by_key(rig: Rig) -> None:
    _, ear = listens(rig)
    for mode in ("whisper", "barge", "listen", "listen"):
        rig.key(ear, mode)
    assert told(rig)[1:] == [
        ("changed", "listen", "whisper", "key"),
        ("changed", "whisper", "barge", "key"),
        ("changed", "barge", "listen", "key"),
    ]
    assert rig.heard_by(ear) == set()
    rig.key(ear, "everything")
    assert len(told(rig)) == 4


def test_the_agent_leaves_and_a_whisper_is_never_heard_by_the_caller(rig: Rig) -> None:
    agent, ear = listens(rig, "whisper")
    assert rig.heard_by(ear) == {agent}
    rig.hang_up(agent)
    assert rig.heard_by(ear) == set()
    assert rig.hears == {ear: "c1"}
    rig.deliver()
    assert told(rig)[-1] == ("changed", "whisper", "listen", "system")
    rig.settle()
    assert rig.legs == {}
    assert told(rig)[-1] == ("ended", "contact")


def test_the_next_agent_of_the_contact_is_heard(rig: Rig) -> None:
    rig.call()
    ear = rig.supervise()  # While the caller waits.
    rig.pick_up(ear)
    assert rig.hears == {ear: "c1"}
    agent = rig.talk()
    assert rig.hears == {ear: agent}
    rig.supervise("whisper")
    assert rig.heard_by(ear) == {agent}
    assert told(rig)[0] == ("started", "mina", "", "listen")


def test_a_supervision_ends_with_the_call(rig: Rig) -> None:
    _, ear = listens(rig)
    rig.advance(61_000)
    rig.hang_up("c1")
    rig.settle()
    assert ear not in rig.legs
    assert told(rig)[-1] == ("ended", "contact")
    (ended,) = [r.fact for r in rig.reports if isinstance(r.fact, sf.SupervisionEnded)]
    assert ended.listened_ms == 61_000


@pytest.mark.parametrize("how", ["hangs up", "off"])
def test_the_supervisor_leaves_and_the_call_goes_on(rig: Rig, how: str) -> None:
    _, ear = listens(rig, "barge")
    if how == "off":
        rig.supervise("off")
        assert last(rig) == ("ended", "barge")
    else:
        rig.hang_up(ear)
        rig.deliver()
    rig.settle()
    assert rig.state() == "talking"
    assert ear not in rig.legs
    assert told(rig)[-1] == ("ended", "wish" if how == "off" else "supervisor")
    assert rig.legs["c1"].vars["cc_supervisions"] == "-"


def test_a_dialled_leg_is_sent_to_the_call(rig: Rig) -> None:
    rig.call()
    agent = rig.talk()
    rig.supervise(dialled="phone-1")
    assert rig.hears == {"phone-1": agent}
    assert last(rig) == ("listening", "listen")
    assert rig.dialled[-1].offer == "o1", "nobody was rung"


@pytest.mark.parametrize(
    ("does", "slug"),
    [
        ({"who": "omar"}, "unknown-contact"),
        ({"contact": "c9"}, "unknown-contact"),
        ({"mode": "shout"}, "unknown-mode"),
        ({"mode": "off"}, "not-supervising"),
        ({"who": "sara", "everybody": True}, "own-conversation"),
    ],
)
def test_refusals(rig: Rig, does: dict[str, str], slug: str) -> None:
    rig.call()
    rig.talk()
    before = len(rig.sent)
    rig.supervise(**does)  # type: ignore[arg-type]
    assert last(rig)[0] == slug
    assert len(rig.sent) == before
    assert not rig.engine.may_see("c1", "omar", everybody=False)


def test_only_listening_before_an_agent_talks(rig: Rig) -> None:
    rig.call()
    rig.supervise("whisper")
    assert last(rig)[0] == "no-conversation"


def test_the_admin_is_of_every_team_and_five_are_enough(rig: Rig) -> None:
    rig.call()
    rig.talk()
    for n in range(5):
        rig.pick_up(rig.supervise(who=f"boss-{n}", everybody=True))
    rig.supervise(who="boss-5", everybody=True)
    assert last(rig)[0] == "too-many-supervisors"
    assert len(rig.hears) == 5


def test_without_teams_every_supervisor_may() -> None:
    rig = Rig()
    rig.call()
    rig.talk()
    rig.pick_up(rig.supervise(who="anybody"))
    assert rig.hears


@pytest.mark.parametrize("cause", ["NO_ANSWER", "USER_BUSY"])
def test_a_phone_that_does_not_answer_is_told(rig: Rig, cause: str) -> None:
    rig.call()
    rig.talk()
    ear = rig.supervise()
    rig.fail(ear, cause)
    rig.deliver()
    assert last(rig)[0] == "phone-not-reached"
    assert cause in rig.answers[-1].reason
    assert told(rig) == []
    assert rig.state() == "talking"


def test_the_caller_leaves_while_the_supervisor_is_rung(rig: Rig) -> None:
    rig.call()
    rig.talk()
    ear = rig.supervise()  # The channel is not there yet: the kill misses.
    rig.hang_up("c1")
    rig.deliver()
    rig.pick_up(ear)
    rig.settle()
    assert ear not in rig.legs
    assert rig.hears == {}


def test_a_leg_that_hears_nothing_is_ended(rig: Rig) -> None:
    rig.call()
    rig.talk()
    ear = rig.supervise()
    rig.ring(ear)
    rig.answer(ear)
    while rig.events or rig.replies:
        rig.feed_next(rig.events if rig.events else rig.replies)
        rig.events = type(rig.events)(e for e in rig.events if not isinstance(e, sm.LegOverheard))
    rig.advance(10_000)
    assert ear not in rig.legs
    assert rig.state() == "talking"


STEPS = ("wished", "ringing", "answered", "sent", "listening", "mode wished", "mode sent", "agent gone")


@pytest.mark.parametrize("step", STEPS)
def test_a_new_owner_at_every_step(step: str) -> None:
    """Killed between any two steps: the supervisor hears the call in the wished mode in the end, or is let go, and is told of."""
    rig = Rig(TEAMS)
    rig.call()
    agent = rig.talk()
    ear = rig.supervise()
    at = STEPS.index(step)
    if at >= 1:
        rig.ring(ear)
        rig.deliver()
    if at >= 2:
        rig.answer(ear)  # Nobody has heard of it.
    if at == 3:
        rig.feed(
            inputs.JobEnded(at_us=rig.now_us, offer=ear, ok=True, text="+OK")
        )  # Sent, nothing came back.
    if at >= 4:
        rig.deliver()
    if at in (5, 6):
        rig.legs[ear].vars |= {"cc_mode": "whisper", "cc_seq": "2"}  # The intent is written, nothing is sent.
    if at == 6:
        rig.legs[ear].vars |= {"eavesdrop_whisper_bleg": "true"}
    if at == 7:
        rig.supervise("whisper")
        rig.hang_up(agent)
    rig.take_over()
    if at < 2:
        rig.pick_up(ear)
    rig.advance(35_000 if at == 0 else 6_000)  # A leg that was made unseen is found by the next listing.
    if step == "agent gone":
        assert rig.legs == {} or rig.heard_by(ear) == set()
        rig.settle()
        assert [t[0] for t in told(rig)].count("started") == 1
        assert told(rig)[-1][0] == "ended"
        return
    assert rig.hears == {ear: agent}
    assert rig.heard_by(ear) == ({agent} if at in (5, 6) else set())
    assert [t[0] for t in told(rig)].count("started") == 1
    assert rig.state() == "talking"
    rig.hang_up("c1")
    rig.settle()
    assert ear not in rig.legs
    assert told(rig)[-1] == ("ended", "contact")


def test_a_supervision_that_ended_unseen_is_told_of(rig: Rig) -> None:
    _, ear = listens(rig)
    del rig.legs[ear]
    rig.hears.clear()
    rig.take_over()
    rig.advance(2_000)
    assert told(rig)[-1] == ("ended", "unseen")
    assert rig.state() == "talking"


def test_a_caller_who_ended_unseen_takes_the_supervisor_along(rig: Rig) -> None:
    _, ear = listens(rig)
    del rig.legs["c1"]
    rig.take_over()
    rig.settle()
    assert ear not in rig.legs
    assert told(rig)[-1] == ("ended", "contact")


def test_another_switch_has_none_of_them(rig: Rig) -> None:
    _, ear = listens(rig)
    rig.feed(inputs.LinkUp(at_us=rig.now_us, core_uuid="one"))
    rig.deliver()
    rig.legs.clear()
    rig.hears.clear()
    rig.feed(inputs.LinkUp(at_us=rig.now_us, core_uuid="two"))
    rig.deliver()
    assert told(rig)[-1] == ("ended", "contact")
    assert not rig.engine.knows(ear)
