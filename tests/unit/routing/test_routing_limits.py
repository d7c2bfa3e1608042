"""What a queue's limits and a changed document do to who waits."""

from __future__ import annotations

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Overflow, QueueRules
from tests.unit.routing.floor import AGENTS, QUEUES, START_US, Floor, center


def test_wait_over_the_limit_moves_to_the_next_queue_with_the_original_time() -> None:
    floor = Floor()
    floor.waits("c1")
    floor.pass_ms(300_000)
    moved = floor.facts(f.ContactOverflowed)[0]
    assert (moved.queue, moved.reason, moved.action, moved.target, moved.wait_ms) == (
        "sales",
        "max_wait",
        "queue",
        "support",
        300_000,
    )
    queued = floor.facts(f.ContactQueued)[-1]
    assert (queued.queue, queued.requeued, queued.waiting_since_us) == ("support", True, START_US)
    floor.pass_ms(59_999)
    assert len(floor.facts(f.ContactOverflowed)) == 1
    floor.pass_ms(1)
    assert floor.facts(f.ContactOverflowed)[-1].action == "transfer"
    closed = floor.facts(f.ContactClosed)[0]
    assert (closed.outcome, closed.wait_ms, closed.queue) == ("overflowed", 360_000, "support")


def test_limit_that_passes_while_an_agent_rings_waits_for_the_answer() -> None:
    floor = Floor()
    floor.waits("c1", "support")
    floor.pass_ms(59_000)
    floor.available("mina")
    floor.pass_ms(5_000)
    assert floor.facts(f.ContactOverflowed) == []
    floor.report(i.OfferFailed, "c1", outcome="no_answer")
    floor.pass_ms(0)
    assert floor.facts(f.ContactOverflowed)[0].action == "transfer"


def test_full_queue_turns_a_new_contact_away_but_not_a_recovered_one() -> None:
    floor = Floor()
    floor.waits("c1", "billing")
    floor.waits("c2", "billing")
    assert floor.names() == ["ContactQueued", "ContactOverflowed", "ContactClosed"]
    assert floor.facts(f.ContactOverflowed)[0].reason == "max_length"
    floor.waits("c3", "billing", recovered=True)
    assert floor.names() == ["ContactQueued"]


def test_full_queues_that_point_at_each_other_keep_the_contact() -> None:
    queues = {
        "a": QueueRules(max_length=1, overflow=Overflow("queue", "b")),
        "b": QueueRules(max_length=1, overflow=Overflow("queue", "a")),
    }
    floor = Floor(center(queues, {}))
    floor.waits("c1", "a")
    floor.waits("c2", "b")
    floor.waits("c3", "a")
    assert floor.names() == ["ContactQueued", "ContactOverflowed", "ContactQueued"]
    assert floor.engine.state.contacts["c3"].queue == "b"


def test_unknown_queue_leads_to_the_fallback_of_the_entry_point() -> None:
    floor = Floor()
    floor.waits("c1", "gone", entry_point="2000")
    floor.waits("c2", "gone", entry_point="1")
    assert floor.engine.state.contacts["c1"].queue == "support"
    assert floor.engine.state.contacts["c2"].queue == "sales"


def test_queue_removed_from_the_document_moves_its_contacts_and_lets_ringing_ones_end() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.waits("c2")
    revised = center({"support": QUEUES["support"]}, AGENTS, "r2")
    floor.send(i.CenterRevised, center=msgspec.structs.replace(revised, default_fallback="support"))
    assert floor.engine.state.contacts["c2"].queue == "support"
    assert floor.engine.state.contacts["c1"].status == "offered"
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert floor.engine.state.contacts["c1"].queue == "support"


def test_agent_removed_from_the_document_finishes_the_talk_and_is_logged_out() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    floor.send(i.CenterRevised, center=center(agents={"sara": AGENTS["sara"]}, revision="r2"))
    changed = floor.facts(f.AgentPresenceChanged)[-1]
    assert (changed.agent_id, changed.presence, changed.reason) == ("omid", "offline", "removed")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.waits("c2")
    floor.pass_ms(60_000)
    assert len(floor.facts(f.OfferMade)) == 1


def test_new_skill_in_the_document_matches_who_waits_already() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1", skills=("fa:2",))
    assert floor.facts(f.OfferMade) == []
    agents = {**AGENTS, "omid": AgentRules("1002", ("sales",), {"sales": 1, "fa": 2})}
    floor.send(i.CenterRevised, center=center(agents=agents, revision="r2"))
    assert floor.offer("c1").agent_id == "omid"


def test_who_rests_after_an_offer_in_vain_hears_too_that_nobody_serves_the_queue_any_more() -> None:
    """Such a contact is in no order for a second, and its limit stood as if somebody still served."""
    queues = {"q": QueueRules(no_agent=Overflow("hangup", "sorry"))}
    floor = Floor(center(queues, {"ann": AgentRules("1", ("q",))}))
    floor.available("ann")
    floor.waits("c1", "q")
    floor.report(i.OfferFailed, "c1", outcome="withdrawn")
    assert floor.engine.state.contacts["c1"].hold_until_us > floor.now_us
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="offline")
    floor.pass_ms(0)
    assert floor.facts(f.ContactOverflowed)[-1].reason == "no_agent"
