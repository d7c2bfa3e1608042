"""Choosing the agent: seven strategies, skills that relax, preferred agents, agents who come in later, phones that ring together."""

from __future__ import annotations

from collections import Counter

import pytest

from services.center.skills import parse
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, QueueOrder, QueueRules, Step
from tests.unit.routing.floor import Floor

AGENTS = ("ann", "bob", "cyd")


def one_queue(
    agents: dict[str, AgentRules] | None = None,
    *,
    strategy: str = "longest_idle",
    ring_at_once: int = 1,
    **rules: object,
) -> Floor:
    people = agents or {a: AgentRules(str(n), ("q",)) for n, a in enumerate(AGENTS)}
    queue = QueueRules(strategy=strategy, ring_at_once=ring_at_once, **rules)  # type: ignore[arg-type]
    return Floor(Center("r1", {"q": queue}, people, frozenset("12"), frozenset({"lunch"}), {}, "q"))


def serve(floor: Floor, contact_id: str, talk_ms: int = 1_000) -> str:
    """A whole call; returns who took it."""
    floor.waits(contact_id, "q")
    agent_id = floor.talks(contact_id)
    floor.pass_ms(talk_ms)
    floor.report(i.ConversationEnded, contact_id, ended_by="caller", talk_ms=talk_ms)
    floor.pass_ms(10)
    return agent_id


def test_linear_takes_the_first_of_the_document_who_is_free() -> None:
    floor = one_queue(strategy="linear")
    floor.available("cyd", "bob")
    assert [serve(floor, f"c{n}") for n in range(3)] == ["bob", "bob", "bob"]
    floor.available("ann")
    assert serve(floor, "c9") == "ann"
    assert floor.offer("c9").why.next_best == ("bob", "cyd")
    assert (floor.offer("c9").why.value, floor.offer("c9").why.next_values) == (0, (1, 2))


def test_round_robin_goes_on_after_the_last_agent_and_begins_again() -> None:
    floor = one_queue(strategy="round_robin")
    floor.available(*AGENTS)
    assert [serve(floor, f"c{n}") for n in range(4)] == ["ann", "bob", "cyd", "ann"]
    floor.send(i.SetAgentPresence, request_id="r", agent_id="bob", presence="break")
    assert serve(floor, "c5") == "cyd"
    floor.take_over(via_snapshot=True)  # the turn is part of the state
    assert serve(floor, "c6") == "ann"


def test_fewest_contacts_counts_this_shift_and_a_break_does_not_reset_it() -> None:
    floor = one_queue(strategy="fewest_contacts")
    floor.available("ann")
    assert [serve(floor, "c1"), serve(floor, "c2")] == ["ann", "ann"]
    floor.available("bob")
    assert [serve(floor, "c3"), serve(floor, "c4")] == ["bob", "bob"]
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="break")
    floor.available("ann")
    floor.available("cyd")
    assert serve(floor, "c5") == "cyd"
    assert floor.offer("c5").why.value == 0
    assert floor.offer("c5").why.next_values == (2, 2)


def test_least_occupied_goes_by_working_time_and_not_by_idle_time() -> None:
    floor = one_queue(strategy="least_occupied")
    floor.available("ann", "bob")
    assert serve(floor, "c1", 600_000) == "ann"
    assert serve(floor, "c2", 60_000) == "bob"
    # bob has just become free, ann has been idle for a minute; bob has worked less.
    assert serve(floor, "c3", 60_000) == "bob"
    assert floor.offer("c3").why.strategy == "least_occupied"


def test_least_occupied_does_not_flood_who_has_just_come_in() -> None:
    floor = one_queue(strategy="least_occupied")
    floor.available("ann")
    floor.pass_ms(3_600_000)
    floor.available("bob")  # ann was idle for an hour: far below the common rate, which bob is not
    assert serve(floor, "c1", 60_000) == "ann"


def test_a_shift_goes_on_after_a_short_logout_and_begins_anew_after_a_long_one() -> None:
    floor = one_queue(strategy="fewest_contacts")
    floor.available("ann")
    serve(floor, "c1")
    for away_ms, contacts in ((60_000, 1), (3_700_000, 0)):
        floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence="offline")
        floor.pass_ms(away_ms)
        floor.available("ann")
        assert floor.engine.state.agent("ann").contacts == contacts


def test_random_weighted_follows_the_weights_and_repeats_itself_in_a_replay() -> None:
    agents = {"ann": AgentRules("1", ("q",), weight=6), "bob": AgentRules("2", ("q",), weight=2)}

    def run() -> list[str]:
        floor = one_queue(agents, strategy="random_weighted")
        floor.checked = False
        floor.available("ann", "bob")
        return [serve(floor, f"call-{n}", 10) for n in range(600)]

    first = run()
    counts = Counter(first)
    assert 0.69 < counts["ann"] / 600 < 0.81  # 6 of 8, three standard deviations
    assert run() == first


def test_who_let_it_ring_is_not_drawn_again_while_another_is_free() -> None:
    for n in range(20):
        floor = one_queue(strategy="random_weighted")
        floor.available(*AGENTS)
        floor.waits(f"c{n}", "q")
        asked = []
        for _ in range(3):
            asked.append(floor.offer(f"c{n}").agent_id)
            floor.report(i.OfferFailed, f"c{n}", outcome="declined")
        assert sorted(asked) == list(AGENTS)


def test_ring_all_offers_to_several_and_the_first_to_answer_has_the_contact() -> None:
    floor = one_queue(strategy="ring_all", ring_at_once=2)
    floor.available(*AGENTS)
    floor.waits("c1", "q")
    offers = floor.facts(f.OfferMade)
    assert [(o.agent_id, o.at_once) for o in offers] == [("ann", 2), ("bob", 2)]
    about = {"offer_id": offers[0].offer_id, "contact_id": "c1", "agent_id": "ann"}
    floor.send(i.OfferAnswered, **about)
    assert [(o.agent_id, o.outcome, o.cause) for o in floor.facts(f.OfferEnded)] == [
        ("bob", "withdrawn", "answered_by_other")
    ]
    assert floor.engine.state.agent("bob").activity == "idle"
    floor.send(i.AgentBridged, **about)
    assert floor.facts(f.OfferEnded)[-1].outcome == "accepted"
    assert floor.engine.state.contacts["c1"].agent_id == "ann"
    assert floor.engine.state.contacts["c1"].rings == ()


def test_ring_all_waits_again_only_when_nobody_is_left_who_rings() -> None:
    floor = one_queue(strategy="ring_all", ring_at_once=3, ring_ms=10_000)
    floor.available("ann", "bob")
    floor.waits("c1", "q")
    first, second = floor.facts(f.OfferMade)
    floor.send(i.OfferFailed, offer_id=second.offer_id, contact_id="c1", agent_id="bob", outcome="declined")
    contact = floor.engine.state.contacts["c1"]
    assert (contact.status, contact.offer_id, contact.agent_id) == ("offered", first.offer_id, "ann")
    floor.pass_ms(16_000)  # nobody reports on ann's: it expires
    assert contact.tried[:2] == ("bob", "ann")


def test_ring_all_whose_winner_is_lost_in_the_bridge_asks_again() -> None:
    floor = one_queue(strategy="ring_all", ring_at_once=2)
    floor.available(*AGENTS)
    floor.waits("c1", "q")
    first = floor.facts(f.OfferMade)[0]
    about = {"offer_id": first.offer_id, "contact_id": "c1", "agent_id": "ann"}
    floor.send(i.OfferAnswered, **about)
    floor.send(i.OfferFailed, outcome="failed", **about)
    assert {o.agent_id for o in floor.facts(f.OfferMade)[2:]} == {"bob", "cyd"}


def test_bridge_with_one_withdraws_all_others_though_the_answer_was_not_reported() -> None:
    floor = one_queue(strategy="ring_all", ring_at_once=3)
    floor.available(*AGENTS)
    floor.waits("c1", "q")
    last = floor.facts(f.OfferMade)[2]
    floor.send(i.AgentBridged, offer_id=last.offer_id, contact_id="c1", agent_id="cyd")
    ends = {o.agent_id: o.outcome for o in floor.facts(f.OfferEnded)}
    assert ends == {"ann": "withdrawn", "bob": "withdrawn", "cyd": "accepted"}


# -- skills

SKILLED = {
    "ann": AgentRules("1", ("q",), {"billing": 5, "lang.fa": 2}),
    "bob": AgentRules("2", ("q",), {"billing": 2}),
    "cyd": AgentRules("3", ("q",)),
}


def test_steps_of_skills_relax_one_by_one_and_end_at_anybody() -> None:
    steps = (Step(parse("billing>=3 and lang.fa"), 20_000), Step(parse("billing"), 30_000))
    floor = one_queue(SKILLED, steps=steps)
    floor.available("bob", "cyd")
    floor.waits("c1", "q")
    floor.waits("c2", "q")
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(19_999)
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(1)
    assert floor.offer("c1").agent_id == "bob"
    assert floor.offer("c1").why.requirement == "billing"
    floor.pass_ms(30_000)
    assert floor.offer("c2").agent_id == "cyd"
    assert floor.offer("c2").why.requirement == ""
    assert floor.offer("c2").waited_ms == 50_000


def test_a_skilled_agent_who_comes_in_during_a_step_gets_the_contact_at_once() -> None:
    floor = one_queue(SKILLED, steps=(Step(parse("billing>=3"), 60_000),))
    floor.available("bob")
    floor.waits("c1", "q")
    floor.pass_ms(5_000)
    floor.available("ann")
    assert (floor.offer("c1").agent_id, floor.offer("c1").waited_ms) == ("ann", 5_000)


def test_skills_of_the_queue_never_relax() -> None:
    floor = one_queue(SKILLED, skills={"billing": 3}, steps=(Step(parse("lang.fa"), 1_000),))
    floor.available("bob", "cyd")
    floor.waits("c1", "q")
    floor.pass_ms(3_600_000)
    assert floor.facts(f.OfferMade) == []


def test_callers_own_skills_are_insisted_on_for_as_long_as_the_queue_says() -> None:
    floor = one_queue(SKILLED, skills_for_ms=30_000)
    floor.available("bob")
    floor.waits("c1", "q", skills=("lang.fa:2",))
    floor.pass_ms(29_999)
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(1)
    assert floor.offer("c1").agent_id == "bob"


def test_overflow_begins_the_steps_anew_and_keeps_the_place() -> None:
    steps = (Step(parse("billing"), 10_000),)
    people = {"cyd": AgentRules("3", ("q",)), "bob": AgentRules("2", ("late",))}
    queues = {"q": QueueRules(steps=steps), "late": QueueRules()}
    floor = Floor(Center("r1", queues, people, default_fallback="q"))
    floor.waits("c1", "gone")  # unknown: the fallback takes it
    floor.available("cyd")
    floor.pass_ms(9_999)
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(1)
    assert floor.offer("c1").agent_id == "cyd"


# -- preferred agent, agents who come in later


def test_preferred_agent_is_waited_for_and_then_anybody_is_asked() -> None:
    floor = one_queue(preferred_ms=15_000)
    floor.available(*AGENTS)
    floor.waits("c0", "q")
    assert floor.talks("c0") == "ann"
    floor.waits("c1", "q", preferred_agent="ann")
    floor.waits("c2", "q", preferred_agent="ann")
    assert [o.contact_id for o in floor.facts(f.OfferMade)] == ["c0"]
    floor.pass_ms(5_000)
    floor.report(i.ConversationEnded, "c0", ended_by="caller")
    assert (floor.offer("c1").agent_id, floor.offer("c1").why.rule) == ("ann", "preferred")
    floor.pass_ms(10_000)
    assert (floor.offer("c2").agent_id, floor.offer("c2").waited_ms) == ("bob", 15_000)


@pytest.mark.parametrize("queue_ms", [0, 60_000])
def test_a_caller_for_one_agent_waits_as_long_as_the_flow_says(queue_ms: int) -> None:
    floor = one_queue(preferred_ms=queue_ms)
    floor.available(*AGENTS)
    floor.waits("c0", "q")
    assert floor.talks("c0") == "ann"
    floor.waits("c1", "q", preferred_agent="ann", preferred_ms=20_000)
    floor.pass_ms(19_000)
    assert [o.contact_id for o in floor.facts(f.OfferMade)] == ["c0"]
    floor.pass_ms(1_000)
    assert (floor.offer("c1").agent_id, floor.offer("c1").waited_ms) == ("bob", 20_000)


@pytest.mark.parametrize("presence", ["break", "offline"])
def test_preferred_agent_who_leaves_is_waited_for_no_longer(presence: str) -> None:
    floor = one_queue(preferred_ms=60_000)
    floor.available("ann")
    floor.waits("c0", "q")
    floor.talks("c0")
    floor.available("bob")
    floor.waits("c1", "q", preferred_agent="ann")
    floor.pass_ms(1_000)
    floor.send(i.SetAgentPresence, request_id="r", agent_id="ann", presence=presence)
    assert floor.offer("c1").agent_id == "bob"


def test_preferred_agent_who_does_not_answer_is_waited_for_no_longer() -> None:
    floor = one_queue(preferred_ms=60_000)
    floor.available("ann", "bob")
    floor.waits("c1", "q", preferred_agent="bob")
    assert floor.offer("c1").agent_id == "bob"
    floor.report(i.OfferFailed, "c1", outcome="declined")
    assert floor.offer("c1").agent_id == "ann"


def test_agent_who_comes_in_later_gets_contacts_that_have_waited_so_long() -> None:
    people = {
        "ann": AgentRules("1", ("q",)),
        "bob": AgentRules("2", ("q",), orders={"q": QueueOrder(1, 20_000)}),
    }
    floor = one_queue(people)
    floor.available("bob")
    floor.pass_ms(60_000)
    floor.waits("c1", "q")
    floor.pass_ms(19_999)
    assert floor.facts(f.OfferMade) == []
    floor.pass_ms(1)
    assert floor.offer("c1").agent_id == "bob"
    floor.available("ann")
    floor.waits("c2", "q")
    assert floor.offer("c2").agent_id == "ann"


def test_excluded_are_counted_by_reason() -> None:
    people = {
        "ann": AgentRules("1", ("q",), {"x": 2}),
        "bob": AgentRules("2", ("q",), {"x": 2}, orders={"q": QueueOrder(1, 20_000)}),
        "cyd": AgentRules("3", ("q",)),
        "dee": AgentRules("4", ("q",), {"x": 2}),
        "eve": AgentRules("5", ("q",), {"x": 2}),
    }
    floor = one_queue(people)
    floor.available("ann", "bob", "cyd", "dee")
    floor.send(i.SetAgentPresence, request_id="r", agent_id="dee", presence="break")
    floor.waits("c1", "q", skills=("x:1",))
    why = floor.offer("c1").why
    assert {e.reason: e.count for e in why.excluded} == {
        "break": 1,
        "comes_in_later": 1,
        "offline": 1,
        "skills": 1,
    }
    assert why.candidates == 1


def test_explanation_names_five_others_at_most() -> None:
    people = {f"a{n}": AgentRules(str(n), ("q",)) for n in range(9)}
    floor = one_queue(people)
    for agent_id in people:
        floor.available(agent_id)
        floor.pass_ms(1_000)
    floor.waits("c1", "q")
    why = floor.offer("c1").why
    assert (why.candidates, why.next_best) == (9, ("a1", "a2", "a3", "a4", "a5"))
    assert why.next_values == (8_000, 7_000, 6_000, 5_000, 4_000)
