"""The survey after a conversation: who is asked, the agent's wrap-up meanwhile, and a process that dies between any two steps."""

from __future__ import annotations

import pytest

from services.queue.core import facts, outputs
from tests.unit.queue.rig import Rig


def over(rig: Rig, talk_ms: int = 60_000, *, ends: str = "agent") -> None:
    """Talk so long; then somebody hangs up."""
    leg = rig.talk()
    rig.advance(talk_ms)
    rig.hang_up(leg if ends == "agent" else "c1")
    rig.deliver()
    rig.advance(1_000)


def asked(rig: Rig) -> str:
    """The flow that asks the caller; empty: a farewell was heard instead."""
    if not rig.commands(outputs.RunSurvey):
        assert rig.commands(outputs.Farewell)
        return ""
    assert not rig.commands(outputs.Farewell)
    assert rig.legs["c1"].vars["cc_state"] == "survey"
    return rig.legs["c1"].vars["cc_survey"]


@pytest.mark.parametrize(
    ("queue", "said", "talk_ms", "flow"),
    [
        ("asked", "", 60_000, "after-call"),
        ("asked", "", 4_000, ""),
        ("asked", "-", 60_000, ""),
        ("asked", "other", 60_000, "other"),
        ("support", "other", 1_000, "other"),
        ("support", "gone", 60_000, ""),
        ("support", "", 60_000, ""),
    ],
    ids=[
        "the queue's",
        "too short",
        "not wanted",
        "the flow's first",
        "said in the menu",
        "a flow that is gone",
        "none",
    ],
)
def test_who_is_asked(queue: str, said: str, talk_ms: int, flow: str) -> None:
    rig = Rig()
    rig.call("c1", cc_queue=queue, cc_survey=said)
    over(rig, talk_ms)
    assert asked(rig) == flow


def test_so_many_of_a_hundred_and_always_the_same() -> None:
    def chosen(contact: str) -> bool:
        rig = Rig()
        rig.call(contact, cc_queue="seldom")
        leg = rig.talk(contact)
        rig.advance(60_000)
        rig.hang_up(leg)
        rig.deliver()
        rig.advance(1_000)
        return bool(rig.commands(outputs.RunSurvey))

    found = [chosen(f"contact-{n}") for n in range(400)]
    assert found[:50] == [chosen(f"contact-{n}") for n in range(50)]
    # 80 are expected; 4 standard deviations of the binomial are 32.
    assert abs(sum(found) - 80) < 32


def test_the_agent_writes_up_at_once_and_the_recording_ends_before_the_survey() -> None:
    rig = Rig()
    rig.call("c1", cc_queue="asked")
    over(rig)
    (ended,) = rig.facts(facts.ConversationEnded)
    assert isinstance(ended, facts.ConversationEnded)
    assert (ended.ended_by, ended.talk_ms) == ("agent", 60_000)
    assert not rig.facts(facts.ContactGone), "the caller is being asked"
    kinds = [type(c) for c in rig.sent]
    assert kinds.index(outputs.StopRecording) < kinds.index(outputs.RunSurvey)
    rig.hang_up("c1")
    rig.deliver()
    (gone,) = rig.facts(facts.ContactGone)
    assert isinstance(gone, facts.ContactGone)
    assert gone.state == "after"


def test_whoever_hangs_up_first_is_not_asked() -> None:
    rig = Rig()
    rig.call("c1", cc_queue="asked")
    over(rig, ends="caller")
    assert not rig.commands(outputs.RunSurvey)


def test_a_survey_without_end_ends() -> None:
    rig = Rig()
    rig.call("c1", cc_queue="asked")
    over(rig)
    rig.advance(299_000)
    assert "c1" in rig.legs
    rig.advance(40_000)
    assert "c1" not in rig.legs


def test_a_process_that_dies_between_any_two_steps_leaves_nobody_in_silence() -> None:
    whole = Rig()
    whole.call("c1", cc_queue="asked")
    leg = whole.talk()
    whole.advance(60_000)
    before = len(whole.sent)
    whole.hang_up(leg)
    whole.deliver()
    whole.advance(1_000)
    steps = len(whole.sent) - before
    assert steps >= 3
    for dies_after in range(steps + 1):
        rig = Rig()
        rig.call("c1", cc_queue="asked")
        leg = rig.talk()
        rig.advance(60_000)
        rig.dies_after = len(rig.sent) + dies_after
        rig.hang_up(leg)
        rig.deliver()
        rig.advance(1_000)
        rig.take_over()
        rig.deliver()
        rig.advance(3_000)
        assert rig.legs["c1"].mode == "survey", dies_after
        assert rig.legs["c1"].vars["cc_survey"] == "after-call"
        ended = rig.facts(facts.ConversationEnded)
        assert {r.offer_id for r in ended if isinstance(r, facts.ConversationEnded)} == {"o1"}
        rig.advance(360_000)
        assert "c1" not in rig.legs, "the new owner bounds it too"
