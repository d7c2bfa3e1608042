"""What the system sees of an agent: activities, own calls, wrap-up in its modes, and what follows from missed offers."""

from __future__ import annotations

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, ChannelRules, Miss, Overflow, QueueRules
from tests.unit.routing.floor import Floor


def floor_of(misses: dict[str, Miss] | None = None, **rules: object) -> Floor:
    queue = QueueRules(**{"wrap_up_ms": 20_000, **rules})  # type: ignore[arg-type]
    return Floor(
        Center(
            "r1",
            {"q": queue, "other": QueueRules()},
            {"ann": AgentRules("1001", ("q",)), "bob": AgentRules("1002", ("other",))},
            frozenset("12"),
            frozenset({"lunch"}),
            {},
            "q",
            misses=misses or {},
        )
    )


def in_wrap_up(**rules: object) -> Floor:
    floor = floor_of(**rules)
    floor.available("ann")
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    return floor


def activity(floor: Floor, agent_id: str = "ann") -> str:
    return floor.engine.state.agent(agent_id).activity


def wish(floor: Floor, action: str) -> str:
    """What the wish for another wrap-up came to: a refusal's slug, or nothing."""
    floor.send(i.SetWrapUp, request_id="r", agent_id="ann", action=action)
    found = floor.outputs[-1]
    return found.slug if isinstance(found, i.Refuse) else ""


def test_activities_of_a_call_in_their_order() -> None:
    floor = floor_of()
    floor.available("ann")
    floor.waits("c1", "q")
    floor.report(i.OfferRinging, "c1")
    floor.talks("c1")
    floor.send(i.ContactHeld, agent_id="ann", contact_id="c1")
    floor.send(i.ContactResumed, agent_id="ann", contact_id="c1")
    floor.report(i.ConversationEnded, "c1", ended_by="agent")
    floor.pass_ms(20_000)
    seen = [a.activity for a in floor.facts(f.AgentActivityChanged)]
    assert seen == ["offered", "ringing", "talking", "held", "talking", "wrap_up", "idle"]


def test_held_contact_that_nobody_has_is_ignored() -> None:
    floor = floor_of()
    floor.send(i.ContactHeld, agent_id="ann", contact_id="c1")
    assert floor.ignored() == "no such conversation"


# -- own calls


def own_call(floor: Floor, leg: str, began: bool, extension: str = "1001") -> None:
    floor.send(i.OwnCallChanged, extension=extension, leg_id=leg, node="fs1", began=began)


def test_agent_on_an_own_call_is_offered_nothing_until_the_last_of_them_ends() -> None:
    floor = floor_of()
    floor.available("ann")
    own_call(floor, "l1", True)
    own_call(floor, "l2", True)
    assert activity(floor) == "own_call"
    floor.waits("c1", "q")
    own_call(floor, "l1", False)
    assert floor.facts(f.OfferMade) == []
    own_call(floor, "l2", False)
    assert floor.offer("c1").agent_id == "ann"


def test_own_call_during_a_talk_shows_after_it() -> None:
    floor = floor_of(wrap_up_ms=0)
    floor.available("ann")
    floor.waits("c1", "q")
    floor.talks("c1")
    own_call(floor, "l1", True)
    assert activity(floor) == "talking"
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    assert activity(floor) == "own_call"
    own_call(floor, "l1", True)
    assert floor.names() == []


def test_list_of_the_node_mends_own_calls_that_nobody_saw() -> None:
    floor = floor_of()
    floor.available("ann")
    own_call(floor, "l1", True)
    floor.send(i.OwnCallsListed, node="fs2", legs={})
    assert activity(floor) == "own_call"
    floor.send(i.OwnCallsListed, node="fs1", legs={"l7": "1002", "l8": "4711"})
    assert activity(floor) == "idle"
    assert activity(floor, "bob") == "own_call"


def test_lost_phone_outweighs_the_own_call() -> None:
    floor = floor_of()
    own_call(floor, "l1", True)
    floor.send(i.PhoneChanged, extension="1001", registered=False, node="fs1")
    assert activity(floor) == "unreachable"
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs1")
    assert activity(floor) == "own_call"


# -- wrap-up


def test_timed_wrap_up_ends_by_time_with_the_codes_of_the_system() -> None:
    floor = in_wrap_up()
    assert floor.facts(f.AgentActivityChanged)[-1].limit_ms == 20_000
    floor.pass_ms(20_000)
    assert floor.facts(f.WrapUpEnded)[-1] == f.WrapUpEnded("ann", "c1", "timeout", "timeout", 20_000, "q")


def test_timed_wrap_up_ends_sooner_without_a_result_where_none_is_required() -> None:
    floor = in_wrap_up()
    floor.pass_ms(3_000)
    assert wish(floor, "end") == ""
    assert floor.facts(f.WrapUpEnded)[-1] == f.WrapUpEnded("ann", "c1", "", "http", 3_000, "q")


def test_required_result_is_required() -> None:
    floor = in_wrap_up(disposition_required=True)
    assert wish(floor, "end") == "disposition-required"
    floor.send(i.SetDisposition, request_id="r", agent_id="ann", code="2")
    assert floor.facts(f.WrapUpEnded)[-1].disposition == "2"


def test_wrap_up_without_early_exit_keeps_the_result_and_lasts_its_time() -> None:
    floor = in_wrap_up(wrap_up_mode="timed_no_exit")
    floor.waits("c2", "q")
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id="ann", code="1")
    assert activity(floor) == "wrap_up"
    assert wish(floor, "end") == "wrap-up-timed"
    floor.take_over(via_snapshot=True)
    floor.pass_ms(20_000)
    ended = floor.facts(f.WrapUpEnded)[-1]
    assert (ended.disposition, ended.by, ended.wrap_up_ms) == ("1", "timeout", 20_000)
    assert floor.offer("c2").agent_id == "ann"


def test_mandatory_wrap_up_lasts_until_the_agent_ends_it_and_not_beyond_the_most() -> None:
    floor = in_wrap_up(wrap_up_mode="mandatory", wrap_up_max_ms=600_000)
    floor.pass_ms(599_000)
    assert activity(floor) == "wrap_up"
    floor.pass_ms(1_000)
    assert floor.facts(f.WrapUpEnded)[-1].disposition == "timeout"


def test_optional_wrap_up_is_only_for_who_asked() -> None:
    floor = in_wrap_up(wrap_up_mode="optional")
    assert activity(floor) == "idle"
    floor.waits("c2", "q")
    floor.talks("c2")
    assert wish(floor, "request") == ""
    floor.report(i.ConversationEnded, "c2", ended_by="caller")
    assert activity(floor) == "wrap_up"
    assert wish(floor, "end") == ""
    floor.waits("c3", "q")
    floor.talks("c3")
    floor.report(i.ConversationEnded, "c3", ended_by="caller")
    assert activity(floor) == "idle"  # the wish was for one


def test_wrap_up_is_extended_up_to_the_most() -> None:
    floor = in_wrap_up(wrap_up_max_ms=50_000)
    floor.pass_ms(15_000)
    assert wish(floor, "extend") == ""
    floor.pass_ms(24_999)
    assert activity(floor) == "wrap_up"
    assert wish(floor, "extend") == ""
    assert wish(floor, "extend") == "wrap-up-at-limit"
    floor.pass_ms(10_001)
    assert floor.facts(f.WrapUpEnded)[-1].wrap_up_ms == 50_000


@pytest.mark.parametrize(
    ("action", "slug"),
    [
        ("request", "not-talking"),
        ("extend", "not-in-wrap-up"),
        ("end", "not-in-wrap-up"),
        ("x", "unknown-action"),
    ],
)
def test_wish_for_a_wrap_up_is_refused_with_a_slug(action: str, slug: str) -> None:
    assert wish(floor_of(), action) == slug


def test_queue_has_results_of_its_own() -> None:
    floor = in_wrap_up(dispositions=frozenset("2"))
    floor.send(i.SetDisposition, request_id="r", agent_id="ann", code="1")
    assert isinstance(floor.outputs[-1], i.Refuse)
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id="ann", code="1")
    assert floor.ignored() == "unknown disposition"
    floor.send(i.SetDisposition, request_id="r", agent_id="ann", code="2")
    assert floor.facts(f.WrapUpEnded)[-1].disposition == "2"


# -- missed offers


@pytest.mark.parametrize("cause", ["no_answer", "declined", "busy", "unreachable"])
def test_delay_and_most_are_set_per_cause(cause: str) -> None:
    floor = floor_of({cause: Miss(30_000, 2)})
    floor.available("ann")
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome=cause)
    assert floor.facts(f.OfferEnded)[-1].delay_ms == 30_000
    floor.pass_ms(29_999)
    assert len(floor.facts(f.OfferMade)) == 1
    floor.pass_ms(1)
    assert len(floor.facts(f.OfferMade)) == 2
    assert floor.engine.state.agent("ann").presence == "available"
    floor.report(i.OfferFailed, "c1", outcome=cause)
    paused = floor.facts(f.AgentPresenceChanged)[-1]
    assert (paused.presence, paused.reason, paused.actor) == ("break", cause, "system")


def test_an_accepted_offer_ends_the_row() -> None:
    floor = floor_of({"busy": Miss(0, 2)}, wrap_up_ms=0)
    floor.available("ann")
    for n in range(4):
        floor.waits(f"c{n}", "q")
        floor.report(i.OfferFailed, f"c{n}", outcome="busy")
        assert floor.facts(f.OfferEnded)[-1].delay_ms == -1  # none: asked again at once
        floor.talks(f"c{n}")
        floor.report(i.ConversationEnded, f"c{n}", ended_by="caller")
    assert floor.engine.state.agent("ann").presence == "available"


# -- nobody there


def test_queue_that_nobody_serves_sends_callers_on_after_its_time() -> None:
    floor = floor_of(no_agent=Overflow("transfer", "+98211"), no_agent_after_ms=30_000)
    floor.available("ann")
    floor.waits("c1", "q")
    floor.talks("c1")
    floor.waits("c2", "q")
    floor.pass_ms(600_000)
    assert floor.facts(f.ContactOverflowed) == []  # somebody serves it: the caller waits
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="break")
    floor.pass_ms(29_999)
    assert floor.facts(f.ContactOverflowed) == []
    floor.pass_ms(1)
    left = floor.facts(f.ContactOverflowed)[-1]
    assert (left.reason, left.action, left.wait_ms) == ("no_agent", "transfer", 630_000)
    assert floor.facts(f.ContactClosed)[-1].result == "overflowed"


def test_a_logout_after_a_break_does_not_make_the_callers_wait_longer() -> None:
    floor = floor_of(no_agent=Overflow("hangup", "sorry"), no_agent_after_ms=30_000)
    floor.available("ann")
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="break")
    floor.waits("c1", "q")
    floor.pass_ms(20_000)
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="offline")
    floor.take_over()
    floor.pass_ms(10_000)
    assert floor.facts(f.ContactClosed)[-1].result == "no_agent"


def test_who_takes_no_calls_makes_no_caller_wait_longer() -> None:
    floor = Floor(
        Center(
            "r1",
            {"q": QueueRules(no_agent=Overflow("hangup", "sorry"), no_agent_after_ms=30_000)},
            {"bob": AgentRules("1002", ("q",), capacity={"call": 0})},
            default_fallback="q",
            channels={"chat": ChannelRules(2)},
        )
    )
    floor.available("bob")
    floor.waits("c1", "q")
    floor.pass_ms(20_000)
    floor.send(i.SetAgentPresence, request_id="r", agent_id="bob", presence="offline")
    floor.pass_ms(10_000)
    assert floor.facts(f.ContactClosed)[-1].result == "no_agent"


def test_an_agent_who_comes_in_time_keeps_the_callers() -> None:
    floor = floor_of(no_agent=Overflow("hangup", "sorry"), no_agent_after_ms=30_000)
    floor.waits("c1", "q")
    floor.pass_ms(20_000)
    floor.available("ann")
    assert floor.offer("c1").agent_id == "ann"
    floor.report(i.OfferFailed, "c1", outcome="declined")
    floor.pass_ms(30_000)
    assert floor.facts(f.ContactClosed) == []


def test_lost_phone_is_nobody() -> None:
    floor = floor_of(no_agent=Overflow("hangup", "sorry"))
    floor.available("ann")
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs1")
    floor.send(i.PhoneChanged, extension="1001", registered=False, node="fs1")
    floor.waits("c1", "q")
    floor.pass_ms(0)
    assert floor.facts(f.ContactClosed)[-1].result == "no_agent"


def test_two_queues_without_agents_do_not_play_ball_with_a_caller() -> None:
    floor = floor_of(no_agent=Overflow("queue", "other"))
    floor.waits("c1", "q")
    floor.pass_ms(60_000)
    assert floor.facts(f.ContactOverflowed) == []
    floor.available("bob")
    floor.pass_ms(0)
    assert floor.facts(f.ContactOverflowed)[-1].target == "other"
    assert (floor.offer("c1").agent_id, floor.offer("c1").waited_ms) == ("bob", 60_000)


def test_closing_time_sends_away_who_waits_and_who_comes_later_but_nobody_who_talks() -> None:
    floor = floor_of(closed=Overflow("hangup", "closed"))
    floor.available("ann")
    floor.waits("talks", "q")
    floor.talks("talks")
    floor.waits("waits", "q")
    floor.pass_ms(60_000)
    floor.send(i.HoursChanged, closed=frozenset("q"))
    floor.pass_ms(0)
    left = floor.facts(f.ContactOverflowed)[-1]
    assert (left.contact_id, left.reason, left.wait_ms) == ("waits", "closed", 60_000)
    floor.waits("late", "q")
    floor.pass_ms(0)
    assert [(c.contact_id, c.result) for c in floor.facts(f.ContactClosed)] == [
        ("waits", "closed"),
        ("late", "closed"),
    ]
    assert floor.engine.state.contacts["talks"].status == "talking"
    floor.send(i.HoursChanged, closed=frozenset())
    floor.waits("again", "q")
    floor.pass_ms(60_000)
    assert "again" in floor.engine.state.contacts


def test_closing_time_leads_to_no_queue_that_is_closed_too() -> None:
    floor = floor_of(closed=Overflow("queue", "other"))
    floor.send(i.HoursChanged, closed=frozenset({"q", "other"}))
    floor.waits("c1", "q")
    floor.pass_ms(1_000)
    assert floor.facts(f.ContactOverflowed) == []
    floor.send(i.HoursChanged, closed=frozenset("q"))
    floor.pass_ms(0)
    assert floor.facts(f.ContactOverflowed)[-1].target == "other"


@pytest.mark.parametrize(
    ("cause", "after_ms", "unseen", "result"),
    [
        ("ORIGINATOR_CANCEL", 4_999, False, "short_abandon"),
        ("ORIGINATOR_CANCEL", 5_000, False, "abandoned"),
        ("OUTAGE", 9_000, False, "failed"),
        ("UNSEEN", 9_000, True, "ended_unseen"),
    ],
)
def test_result_of_a_contact_that_nobody_answered(
    cause: str, after_ms: int, unseen: bool, result: str
) -> None:
    floor = floor_of()
    floor.waits("c1", "q")
    floor.pass_ms(after_ms)
    floor.send(i.ContactGone, contact_id="c1", cause=cause, unseen=unseen)
    assert floor.facts(f.ContactClosed)[-1].result == result


def test_results_of_limits() -> None:
    floor = floor_of(
        max_wait_ms=10_000, max_length=1, overflow=Overflow("hangup", "sorry"), full=Overflow("transfer", "1")
    )
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    floor.pass_ms(10_000)
    assert [(c.contact_id, c.result) for c in floor.facts(f.ContactClosed)] == [
        ("c2", "overflowed"),
        ("c1", "timed_out"),
    ]
