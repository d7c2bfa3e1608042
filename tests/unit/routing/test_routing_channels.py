"""Capacity by channel: calls fill an agent, chats and e-mails take shares, and what may come in between."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from services.routing.core.capacity import WHOLE, load
from services.routing.core.center import AgentRules, Center, ChannelRules, Overflow, QueueRules
from services.routing.core.records import Agent
from tests.unit.routing.floor import Floor

CHANNELS = {
    "chat": ChannelRules(3),
    "email": ChannelRules(5, frozenset({"call", "chat"})),
}


def house(agents: int = 1, capacity: dict[str, int] | None = None, **queue: Any) -> Floor:
    people = {f"a{n}": AgentRules(f"10{n:02}", ("q", "r"), capacity=capacity or {}) for n in range(agents)}
    rules = QueueRules(**queue)
    floor = Floor(
        Center(
            "r1",
            {"q": rules, "r": QueueRules()},
            people,
            frozenset("12"),
            default_fallback="q",
            channels=CHANNELS,
        )
    )
    floor.available(*people)
    return floor


def comes(floor: Floor, contact_id: str, channel: str = "chat", queue: str = "q", **fields: Any) -> Any:
    floor.send(
        i.EnqueueContact,
        request_id="r",
        contact_id=contact_id,
        channel=channel,
        queue=queue,
        reporter="desk",
        **fields,
    )
    return floor.outputs[-1]


def handles(floor: Floor, action: str, contact_id: str, agent_id: str = "a0", **fields: Any) -> Any:
    floor.send(
        i.HandleContact, request_id="r", agent_id=agent_id, contact_id=contact_id, action=action, **fields
    )
    return next(o for o in reversed(floor.outputs) if isinstance(o, (i.Answer, i.Refuse)))


def takes(floor: Floor, *contact_ids: str) -> None:
    for contact_id in contact_ids:
        agent_id = floor.engine.state.contacts[contact_id].agent_id
        assert isinstance(handles(floor, "accept", contact_id, agent_id), i.Answer)


def agent(floor: Floor, agent_id: str = "a0") -> Agent:
    return floor.engine.state.agent(agent_id)


def statuses(floor: Floor) -> dict[str, str]:
    return {c.contact_id: c.status for c in floor.engine.state.contacts.values()}


def test_three_chats_fill_an_agent_and_the_fourth_waits() -> None:
    floor = house()
    for n in range(4):
        comes(floor, f"c{n}")
    assert statuses(floor) == {"c0": "offered", "c1": "offered", "c2": "offered", "c3": "waiting"}
    takes(floor, "c0", "c1", "c2")
    assert (load(agent(floor)), agent(floor).activity) == (WHOLE, "handling")
    floor.pass_ms(60_000)
    handles(floor, "complete", "c1")
    assert floor.offer("c3").agent_id == "a0"
    assert floor.offer("c3").share_of == 3


def test_a_call_fills_an_agent_and_nothing_interrupts_it() -> None:
    floor = house()
    floor.waits("call", "q")
    for channel in ("chat", "email"):
        comes(floor, channel, channel)
    assert statuses(floor) == {"call": "offered", "chat": "waiting", "email": "waiting"}
    floor.talks("call")
    floor.pass_ms(100_000)
    assert statuses(floor) == {"call": "talking", "chat": "waiting", "email": "waiting"}
    floor.report(i.ConversationEnded, "call", ended_by="caller")
    assert statuses(floor) == {"chat": "offered", "email": "offered"}


def test_no_call_comes_to_somebody_who_chats() -> None:
    floor = house()
    comes(floor, "chat")
    takes(floor, "chat")
    floor.waits("call", "q")
    assert statuses(floor)["call"] == "waiting"
    handles(floor, "complete", "chat")
    assert statuses(floor) == {"call": "offered"}


def test_a_call_comes_to_somebody_who_writes_emails_and_back_after_it() -> None:
    floor = house(wrap_up_ms=5_000)
    for n in range(5):
        comes(floor, f"e{n}", "email")
    takes(floor, *(f"e{n}" for n in range(4)))
    floor.waits("call", "q")
    ended = [o for o in floor.new_facts() if isinstance(o, f.OfferEnded)]
    assert [(o.contact_id, o.outcome, o.cause) for o in ended] == [("e4", "withdrawn", "offered")]
    floor.talks("call")
    assert agent(floor).activity == "talking"
    handles(floor, "complete", "e0")  # What is at hand may be finished, but nothing comes.
    floor.pass_ms(10_000)
    assert statuses(floor)["e4"] == "waiting"
    floor.report(i.ConversationEnded, "call", ended_by="caller")
    assert (agent(floor).activity, statuses(floor)["e4"]) == ("wrap_up", "waiting")
    floor.pass_ms(5_000)
    assert (agent(floor).activity, statuses(floor)["e4"]) == ("handling", "offered")


def test_chats_come_beside_emails_up_to_their_own_capacity() -> None:
    floor = house()
    for n in range(6):
        comes(floor, f"e{n}", "email")
    takes(floor, *(f"e{n}" for n in range(5)))
    for n in range(4):
        comes(floor, f"c{n}")
    found = statuses(floor)
    assert [found[f"c{n}"] for n in range(4)] == ["offered"] * 3 + ["waiting"]
    assert found["e5"] == "waiting"


def test_shares_of_channels_that_interrupt_nothing_add_up() -> None:
    floor = house(capacity={"email": 2})
    comes(floor, "c0")
    comes(floor, "c1")
    takes(floor, "c0", "c1")
    comes(floor, "e0", "email")
    assert statuses(floor)["e0"] == "waiting"  # Two thirds and a half are more than one.
    handles(floor, "complete", "c0")
    assert statuses(floor)["e0"] == "offered"


@pytest.mark.parametrize(("capacity", "channel"), [({"chat": 0}, "chat"), ({"call": 0}, "call")])
def test_an_agent_without_capacity_is_offered_none(capacity: dict[str, int], channel: str) -> None:
    floor = house(capacity=capacity)
    floor.waits("call", "q")
    comes(floor, "chat")
    assert statuses(floor)[channel] == "waiting"
    other = {"call": "chat", "chat": "call"}[channel]
    assert statuses(floor)[other] == "offered"
    assert views.position(floor.engine.state, floor.engine.index, channel).agents_serving == 0


def test_calls_come_first_then_the_channels_in_their_order() -> None:
    floor = house()
    floor.waits("busy", "q")
    floor.talks("busy")
    comes(floor, "email", "email", waiting_since_us=floor.now_us - 9_000_000_000)
    comes(floor, "chat", waiting_since_us=floor.now_us - 5_000_000)
    floor.waits("call", "q")
    floor.report(i.ConversationEnded, "busy", ended_by="caller")
    assert statuses(floor) == {"email": "waiting", "chat": "waiting", "call": "offered"}
    assert floor.offer("call").why.contact_rule == "channel"
    floor.talks("call")
    floor.report(i.ConversationEnded, "call", ended_by="caller")
    made = [o for o in floor.new_facts() if isinstance(o, f.OfferMade)]
    assert [o.contact_id for o in made] == ["chat", "email"]


def test_what_nobody_takes_up_goes_to_the_next_agent() -> None:
    floor = house(2, ring_ms=20_000)
    comes(floor, "c0")
    first = floor.offer("c0").agent_id
    floor.pass_ms(20_000)
    assert [o.outcome for o in floor.facts(f.OfferEnded)] == ["no_answer"]
    assert agent(floor, first).presence == "break"
    assert floor.offer("c0").agent_id != first


def test_a_declined_contact_keeps_its_place() -> None:
    floor = house(2)
    comes(floor, "c0", waiting_since_us=floor.now_us - 7_000_000)
    first = floor.offer("c0").agent_id
    handles(floor, "decline", "c0", first)
    assert [(o.agent_id, o.outcome) for o in floor.facts(f.OfferEnded)] == [(first, "declined")]
    assert (floor.offer("c0").agent_id != first, floor.offer("c0").waited_ms) == (True, 7_000)


def test_who_declines_while_handling_is_offered_the_next_after_the_delay() -> None:
    floor = house()
    for n in range(3):
        comes(floor, f"c{n}")
    takes(floor, "c0")
    handles(floor, "decline", "c1")
    handles(floor, "decline", "c2")
    assert (agent(floor).activity, statuses(floor)["c1"]) == ("handling", "waiting")
    floor.pass_ms(5_000)
    assert statuses(floor) == {"c0": "talking", "c1": "offered", "c2": "offered"}


def test_a_released_contact_waits_at_its_old_place_for_somebody_else() -> None:
    floor = house(2)
    comes(floor, "c0")
    takes(floor, "c0")
    first = floor.engine.state.contacts["c0"].agent_id
    floor.pass_ms(30_000)
    handles(floor, "release", "c0", first)
    assert (floor.offer("c0").agent_id != first, floor.offer("c0").waited_ms) == (True, 30_000)
    assert (agent(floor, first).activity, agent(floor, first).at_hand) == ("idle", {})


def test_a_contact_can_be_released_again_and_again_by_the_same_agent() -> None:
    """Chance by weight takes out who has had it, once."""
    floor = house(2, strategy="random_weighted")
    comes(floor, "c0")
    for _ in range(6):
        takes(floor, "c0")
        handles(floor, "release", "c0", floor.engine.state.contacts["c0"].agent_id)
    assert sorted(floor.engine.state.contacts["c0"].tried) == ["a0", "a1"]
    assert statuses(floor) == {"c0": "offered"}


def test_least_occupied_counts_shares() -> None:
    """The same half hour: one agent had a chat (a third), the other a call (all of it)."""
    floor = house(2, strategy="least_occupied")
    comes(floor, "chat")
    takes(floor, "chat")
    chatter = floor.engine.state.contacts["chat"].agent_id
    floor.waits("call", "q")
    talker = floor.talks("call")
    assert talker != chatter
    floor.pass_ms(1_800_000)
    handles(floor, "complete", "chat", chatter)
    floor.report(i.ConversationEnded, "call", ended_by="caller")
    assert [agent(floor, a).work_us // 1_000_000 for a in (chatter, talker)] == [600, 1_800]
    floor.waits("next", "q")
    assert floor.offer("next").agent_id == chatter
    assert floor.offer("next").why.value > 0


def test_work_before_and_after_another_share_is_counted_once() -> None:
    floor = house()
    comes(floor, "c0")
    takes(floor, "c0")
    floor.pass_ms(30_000)
    comes(floor, "c1")
    takes(floor, "c1")
    floor.pass_ms(30_000)
    handles(floor, "complete", "c0")
    handles(floor, "complete", "c1")
    assert agent(floor).work_us == 30_000_000  # 30 s of a third, 30 s of two thirds.


@pytest.mark.parametrize("strategy", ["longest_idle", "ring_all", "least_occupied"])
def test_chats_are_spread_before_they_pile_up(strategy: str) -> None:
    floor = house(3, strategy=strategy)
    for n in range(6):
        comes(floor, f"c{n}")
        takes(floor, f"c{n}")
        floor.pass_ms(1_000)
    assert [len(agent(floor, f"a{n}").at_hand) for n in range(3)] == [2, 2, 2]


def test_several_agents_are_offered_a_chat_and_the_first_has_it() -> None:
    floor = house(3, strategy="ring_all", ring_at_once=3)
    comes(floor, "c0")
    offered = [o.agent_id for o in floor.facts(f.OfferMade)]
    assert sorted(offered) == ["a0", "a1", "a2"]
    handles(floor, "accept", "c0", offered[1])
    assert sorted((o.agent_id, o.outcome) for o in floor.facts(f.OfferEnded)) == sorted(
        (a, "accepted" if a == offered[1] else "withdrawn") for a in offered
    )
    assert isinstance(handles(floor, "accept", "c0", offered[0]), i.Refuse)


def test_who_loses_the_phone_or_dials_is_offered_nothing() -> None:
    floor = house(capacity={"chat": 2})
    comes(floor, "c0")
    floor.send(i.OwnCallChanged, extension="1000", leg_id="l", node="fs1", began=True)
    assert [(o.outcome, o.cause) for o in floor.facts(f.OfferEnded)] == [("withdrawn", "own_call")]
    floor.pass_ms(5_000)
    assert statuses(floor) == {"c0": "waiting"}
    floor.send(i.OwnCallChanged, extension="1000", leg_id="l", node="fs1", began=False)
    assert statuses(floor) == {"c0": "offered"}


def test_a_customer_who_leaves_ends_the_contact() -> None:
    floor = house()
    comes(floor, "c0")
    comes(floor, "c1")
    takes(floor, "c1")
    floor.pass_ms(8_000)
    floor.send(i.LeaveContact, request_id="r", contact_id="c0")
    floor.send(i.LeaveContact, request_id="r", contact_id="c1")
    closed = {c.contact_id: c for c in floor.facts(f.ContactClosed)}
    assert (closed["c0"].result, closed["c0"].wait_ms, closed["c0"].channel) == ("abandoned", 8_000, "chat")
    assert (closed["c1"].result, closed["c1"].talk_ms) == ("answered", 8_000)
    assert (agent(floor).activity, agent(floor).at_hand) == ("idle", {})


def test_the_result_is_asked_for_where_the_queue_wants_one() -> None:
    floor = house(disposition_required=True)
    comes(floor, "c0")
    takes(floor, "c0")
    assert handles(floor, "complete", "c0").slug == "disposition-required"
    assert handles(floor, "complete", "c0", code="9").slug == "unknown-disposition"
    assert handles(floor, "complete", "c0", code="2").contact.state == "closed"
    (wrapped,) = floor.facts(f.WrapUpEnded)
    assert (wrapped.disposition, wrapped.by) == ("2", "completed")


def test_a_wish_said_again_changes_nothing() -> None:
    floor = house()
    comes(floor, "c0")
    entries = len(floor.log)
    assert comes(floor, "c0").contact.state == "offered"
    takes(floor, "c0")
    assert handles(floor, "accept", "c0").contact.state == "talking"
    assert len(floor.log) == entries + 1
    floor.send(
        i.HandleContact, request_id="r", agent_id="a0", contact_id="c0", action="complete", input_id="x"
    )
    floor.send(
        i.HandleContact, request_id="r", agent_id="a0", contact_id="c0", action="complete", input_id="x"
    )
    assert floor.outputs[-1].contact.state == "closed"  # type: ignore[union-attr]
    assert len(floor.facts(f.ContactClosed)) == 1


@pytest.mark.parametrize(
    ("wish", "slug"),
    [
        ({"channel": "fax"}, "unknown-channel"),
        ({"channel": "call"}, "unknown-channel"),
        ({"queue": "nobody"}, "unknown-queue"),
        ({"contact_id": "two words"}, "bad-contact-id"),
        ({"reporter": "Not A Token"}, "bad-reporter"),
        ({"contact_id": "known", "channel": "email"}, "contact-exists"),
        ({"contact_id": "gone"}, "contact-closed"),
    ],
)
def test_a_wish_that_cannot_be_names_what_is_wrong(wish: dict[str, str], slug: str) -> None:
    floor = house()
    comes(floor, "known")
    comes(floor, "gone")
    floor.send(i.LeaveContact, request_id="r", contact_id="gone")
    fields = {"contact_id": "new", "channel": "chat", "queue": "q", "reporter": "desk"} | wish
    floor.send(i.EnqueueContact, request_id="r", **fields)
    assert floor.outputs[-1].slug == slug  # type: ignore[union-attr]
    assert floor.new_facts() == []


@pytest.mark.parametrize(
    ("action", "contact_id", "agent_id", "slug"),
    [
        ("accept", "waits", "a0", "not-offered"),
        ("decline", "mine", "a0", "not-offered"),
        ("complete", "mine", "a1", "not-your-contact"),
        ("release", "waits", "a0", "not-your-contact"),
        ("hug", "mine", "a0", "unknown-action"),
        ("accept", "nothing", "a0", "unknown-contact"),
        ("complete", "call", "a0", "not-for-calls"),
    ],
)
def test_an_agent_cannot_do_what_is_not_there(action: str, contact_id: str, agent_id: str, slug: str) -> None:
    floor = house(2, capacity={"chat": 1})
    floor.waits("call", "q")
    floor.talks("call")
    comes(floor, "mine")
    has = floor.engine.state.contacts["mine"].agent_id
    takes(floor, "mine")
    comes(floor, "waits")
    others = {"a0": has, "a1": next(a for a in ("a0", "a1") if a != has)}
    assert handles(floor, action, contact_id, others[agent_id]).slug == slug


def test_only_ways_to_other_queues_are_for_them() -> None:
    floor = house(0, max_wait_ms=10_000, overflow=Overflow("hangup", "sorry"), max_length=1)
    for n in range(3):
        comes(floor, f"c{n}")
    floor.waits("call", "q")
    floor.pass_ms(20_000)
    assert sorted(statuses(floor)) == ["c0", "c1", "c2"]
    assert [c.contact_id for c in floor.facts(f.ContactClosed)] == ["call"]
    moving = house(0, max_wait_ms=10_000, overflow=Overflow("queue", "r"))
    comes(moving, "c0")
    moving.pass_ms(10_000)
    assert moving.engine.state.contacts["c0"].queue == "r"


def test_a_channel_that_goes_closes_what_waits_and_lets_agents_finish() -> None:
    floor = house(capacity={"chat": 1})
    comes(floor, "has")
    takes(floor, "has")
    comes(floor, "waits")
    floor.send(i.CenterRevised, center=msgspec.structs.replace(floor.engine.center, channels={}))
    assert [(c.contact_id, c.result) for c in floor.facts(f.ContactClosed)] == [("waits", "closed")]
    assert handles(floor, "complete", "has").contact.state == "closed"
    assert agent(floor).activity == "idle"


def test_a_new_owner_has_the_same_floor() -> None:
    floor = house(2)
    for n in range(4):
        comes(floor, f"c{n}")
    takes(floor, "c0", "c1")
    for via_snapshot in (False, True):
        floor.take_over(via_snapshot=via_snapshot)
        assert statuses(floor) == {"c0": "talking", "c1": "talking", "c2": "offered", "c3": "offered"}
    floor.pass_ms(20_000)
    assert {o.outcome for o in floor.facts(f.OfferEnded) if o.contact_id in ("c2", "c3")} == {"no_answer"}


def test_what_is_at_hand_is_shown() -> None:
    floor = house()
    comes(floor, "c0")
    comes(floor, "e0", "email")
    takes(floor, "c0")
    engine = floor.engine
    shown = views.agent_state(engine.state, engine.center, "a0", floor.now_us)
    assert [(one.contact_id, one.channel, one.state) for one in shown.at_hand] == [
        ("c0", "chat", "handled"),
        ("e0", "email", "offered"),
    ]
    queue = views.queues(engine.state, engine.center, engine.index, floor.now_us)[0]
    assert (queue.waiting, queue.talking) == (0, 0)
    assert queue.others == (views.ChannelCount("chat", 0, 1), views.ChannelCount("email", 1, 0))


def test_callers_are_not_behind_emails_in_line() -> None:
    floor = house(0, max_length=1)
    comes(floor, "e0", "email", waiting_since_us=floor.now_us - 3_600_000_000)
    floor.waits("call", "q")
    place = views.position(floor.engine.state, floor.engine.index, "call")
    assert (place.position, place.waiting) == (1, 1)


def test_queue_does_not_look_for_them_on_the_switch() -> None:
    """Also when their service has the name of a node."""
    floor = house(0)
    floor.send(i.EnqueueContact, request_id="r", contact_id="c0", channel="chat", queue="q", reporter="fs1")
    floor.waits("call", "q")
    assert [c.contact_id for c in views.open_contacts(floor.engine.state, "fs1", "").contacts] == ["call"]


def test_the_explanation_counts_who_had_no_room() -> None:
    floor = house(3, capacity={"chat": 1})
    comes(floor, "c0")
    takes(floor, "c0")
    comes(floor, "c1")
    assert [(x.reason, x.count) for x in floor.offer("c1").why.excluded] == [("capacity", 1)]
