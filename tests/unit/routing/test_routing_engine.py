"""What routing decides, case by case."""

from __future__ import annotations

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.facts import Excluded
from tests.unit.routing.floor import START_US, Floor


def test_first_entry_of_an_owner_names_it() -> None:
    floor = Floor()
    assert floor.log[0].facts == (f.OwnerChanged("one", 1),)


def test_waiting_contact_is_offered_to_the_free_agent_with_an_explanation() -> None:
    floor = Floor()
    floor.available("sara")
    floor.pass_ms(7_000)
    floor.waits("c1")
    assert floor.names() == ["ContactQueued", "OfferMade", "AgentActivityChanged"]
    offer = floor.offer("c1")
    assert (offer.agent_id, offer.extension, offer.ring_ms, offer.attempt, offer.node) == (
        "sara",
        "1001",
        15_000,
        1,
        "fs1",
    )
    assert offer.why == f.Explanation(
        "longest_idle",
        7_000,
        1,
        (),
        (Excluded("offline", 1),),
        0,
        strategy="longest_idle",
        value=7_000,
        score_ms=0,
        score=(f.Term("age", 0),),
        contact_rule="arrived",
        requirement="sales",
    )


def test_agent_who_becomes_free_gets_the_contact_that_waits_longest_over_all_queues() -> None:
    floor = Floor()
    floor.waits("c1", "support")
    floor.pass_ms(1_000)
    floor.waits("c2", "sales")
    floor.available("sara")
    assert floor.offer("c1").agent_id == "sara"
    assert floor.offer("c1").waited_ms == 1_000


def test_priority_comes_before_waiting_time() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.pass_ms(1_000)
    floor.waits("c2", priority=5)
    floor.available("omid")
    assert floor.offer("c2").agent_id == "omid"
    assert floor.offer("c2").why.waiting_ahead == 0


def test_longest_idle_agent_is_chosen_and_the_next_best_are_named() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1")
    offer = floor.offer("c1")
    assert offer.agent_id == "omid"
    assert (offer.why.candidates, offer.why.next_best) == (2, ("sara",))


def test_agent_without_the_skill_or_with_a_lower_level_is_not_chosen() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(1_000)
    floor.available("sara")
    floor.waits("c1", skills=("sales:2", "fa"))
    offer = floor.offer("c1")
    assert offer.agent_id == "sara"
    assert offer.why.excluded == (Excluded("skills", 1),)


def test_agent_takes_a_later_contact_when_the_first_needs_another_skill() -> None:
    floor = Floor()
    floor.waits("c1", skills=("sales:3",))
    floor.waits("c2")
    floor.available("omid")
    offer = floor.offer("c2")
    assert (offer.agent_id, offer.why.waiting_ahead) == ("omid", 1)


def test_call_from_offer_to_the_end_of_wrap_up() -> None:
    floor = Floor()
    floor.available("omid")
    floor.pass_ms(500)
    floor.waits("c1", ani="0912", entry_point="1000")
    floor.pass_ms(4_000)
    floor.report(i.OfferAnswered, "c1", ring_ms=3_900)
    assert floor.outputs == []
    floor.report(i.AgentBridged, "c1", wait_ms=4_000, recording_path="a.wav")
    assert floor.names() == ["OfferEnded", "ContactConnected", "AgentActivityChanged"]
    assert floor.facts(f.ContactConnected)[0].recording_path == "a.wav"
    floor.pass_ms(60_000)
    floor.report(
        i.ConversationEnded, "c1", ended_by="caller", talk_ms=60_000, hold_ms=10, cause="NORMAL_CLEARING"
    )
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.wait_ms, closed.talk_ms, closed.hold_ms) == (
        "completed",
        4_000,
        60_000,
        10,
    )
    assert (closed.agent_id, closed.ended_by, closed.ani, closed.entry_point) == (
        "omid",
        "caller",
        "0912",
        "1000",
    )
    assert (closed.offers, closed.offer_id) == (1, floor.offer("c1").offer_id)
    assert floor.engine.state.agent("omid").activity == "wrap_up"
    floor.pass_ms(20_000)
    wrapped = floor.facts(f.WrapUpEnded)[0]
    assert (wrapped.disposition, wrapped.by, wrapped.wrap_up_ms) == ("timeout", "timeout", 20_000)
    assert floor.engine.state.agent("omid").activity == "idle"
    assert floor.timers == {}


def test_wrap_up_ends_with_a_key_and_the_next_contact_follows_at_once() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.waits("c2")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id="omid", code="1")
    assert floor.names() == ["WrapUpEnded", "AgentActivityChanged", "OfferMade", "AgentActivityChanged"]
    assert floor.offer("c2").agent_id == "omid"


@pytest.mark.parametrize(("code", "agent"), [("9", "omid"), ("1", "sara")])
def test_keyed_disposition_that_fits_nothing_is_ignored(code: str, agent: str) -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.send(i.DispositionKeyed, contact_id="c1", agent_id=agent, code=code)
    assert floor.ignored() in ("unknown disposition", "wrap-up is over")
    assert floor.facts(f.WrapUpEnded) == []


def test_queue_without_wrap_up_frees_the_agent_at_the_end() -> None:
    floor = Floor()
    floor.available("mina")
    floor.waits("c1", "billing")
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="agent")
    assert floor.engine.state.agent("mina").activity == "idle"


def test_contact_reported_twice_waits_once() -> None:
    floor = Floor()
    floor.waits("c1", input_id="same")
    floor.waits("c1", input_id="same")
    assert floor.ignored() == "input was decided on before"
    floor.waits("c1", recovered=True)
    assert floor.ignored() == "contact waits already"
    assert len(floor.facts(f.ContactQueued)) == 1


def test_closed_contact_is_opened_again_only_when_freeswitch_has_it() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1", unseen=True)
    floor.waits("c1")
    assert floor.ignored() == "contact is closed"
    floor.pass_ms(8_000)
    floor.waits("c1", waiting_since_us=START_US, recovered=True)
    assert floor.names() == ["ContactQueued"]
    floor.available("omid")
    assert floor.offer("c1").waited_ms == 8_000


def test_offer_ids_never_repeat_for_a_contact_that_was_opened_again() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.ContactGone, contact_id="c1", unseen=True)
    floor.waits("c1", recovered=True)
    ids = [o.offer_id for o in floor.facts(f.OfferMade)]
    assert len(ids) == len(set(ids)) == 2


def test_caller_found_parked_after_a_talk_waits_again_in_the_former_place() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.pass_ms(5_000)
    floor.waits("c1", recovered=True, waiting_since_us=START_US)
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.requeued, queued.waiting_since_us) == (True, START_US)
    assert floor.engine.state.agent("omid").activity == "wrap_up"


def test_reports_about_nothing_known_are_ignored() -> None:
    floor = Floor()
    floor.send(i.ContactGone, contact_id="c9")
    assert floor.ignored() == "contact is closed"
    floor.send(i.ConversationEnded, offer_id="o", contact_id="c9", agent_id="omid", ended_by="caller")
    assert floor.ignored() == "no such conversation"
    floor.send(i.OfferFailed, offer_id="o", contact_id="c9", agent_id="omid", outcome="busy")
    assert floor.ignored() == "offer is over"


def test_clock_that_goes_back_makes_no_negative_times() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.now_us -= 60_000_000
    floor.talks("c1")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.now_us += 120_000_000
    assert all(entry.at_us >= START_US for entry in floor.log)
    assert floor.facts(f.ContactConnected)[0].connected_at_us == START_US
    assert all(fact.previous_ms >= 0 for fact in floor.facts(f.AgentActivityChanged))


def test_new_owner_arrives_at_the_same_state_and_timers() -> None:
    floor = Floor()
    floor.available("omid", "sara")
    floor.waits("c1")
    floor.waits("c2")
    floor.talks("c2")
    floor.waits("c3")
    before, timers = floor.engine.state.dump(), dict(floor.timers)
    assert floor.replayed().dump() == before
    floor.take_over(via_snapshot=True)
    assert floor.timers == timers
    assert floor.log[-1].facts == (f.OwnerChanged("one", 2),)


def test_timer_that_is_not_wanted_any_more_does_nothing() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    offer = floor.offer("c1")
    floor.send(i.ContactGone, contact_id="c1")
    for timer in (
        ("offer", offer.offer_id),
        ("limit", "c1"),
        ("hold", "c1"),
        ("wrap_up", "omid"),
        ("delay", "omid"),
    ):
        assert floor.send(i.TimerFired, timer=timer) == []


def test_timer_that_fires_early_is_armed_again() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    timer = ("offer", floor.offer("c1").offer_id)
    due = floor.timers.pop(timer)
    assert floor.send(i.TimerFired, timer=timer) == [i.ArmTimer(timer, due)]
