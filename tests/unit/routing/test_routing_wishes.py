"""Wishes of people: presence and dispositions, granted or refused with a stable slug."""

from __future__ import annotations

from typing import Any

import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules
from tests.unit.routing.floor import AGENTS, Floor, center


def wish(floor: Floor, **fields: Any) -> i.Answer | i.Refuse:
    fields = {"request_id": "r1", **fields}
    outputs = floor.send(i.SetDisposition if "code" in fields else i.SetAgentPresence, **fields)
    (answer,) = [o for o in outputs if isinstance(o, i.Answer | i.Refuse)]
    assert answer.request_id == "r1"
    assert outputs.index(answer) >= sum(isinstance(o, i.Decide) for o in outputs)
    return answer


@pytest.mark.parametrize(
    ("fields", "slug", "status"),
    [
        ({"agent_id": "nobody", "presence": "available"}, "unknown-agent", 404),
        ({"extension": "9", "presence": "available"}, "unknown-agent", 404),
        ({"agent_id": "sara", "presence": "asleep"}, "unknown-presence", 422),
        ({"agent_id": "sara", "presence": "break", "reason": "moon"}, "unknown-reason", 422),
        ({"agent_id": "sara", "presence": "break", "reason": "no_answer"}, "unknown-reason", 422),
        ({"agent_id": "sara", "code": "1"}, "not-in-wrap-up", 409),
        ({"extension": "9", "code": "1"}, "unknown-agent", 404),
    ],
)
def test_wish_is_refused_with_a_slug(fields: dict[str, str], slug: str, status: int) -> None:
    floor = Floor()
    answer = wish(floor, **fields)
    assert isinstance(answer, i.Refuse)
    assert (answer.slug, answer.status) == (slug, status)
    assert floor.new_facts() == []


def test_presence_is_set_by_id_and_by_extension() -> None:
    floor = Floor()
    answer = wish(floor, extension="1001", presence="available", actor="agent")
    assert isinstance(answer, i.Answer)
    assert (answer.agent.agent_id, answer.agent.presence, answer.agent.activity) == (
        "sara",
        "available",
        "idle",
    )
    floor.pass_ms(3_000)
    wish(floor, agent_id="sara", presence="break", reason="lunch", actor="supervisor")
    changed = floor.facts(f.AgentPresenceChanged)[-1]
    assert changed == f.AgentPresenceChanged("sara", "break", "lunch", "supervisor", "available", 3_000)


@pytest.mark.parametrize(
    ("before", "after"), [("offline", "available"), ("available", "offline"), ("break", "offline")]
)
def test_toggle_logs_in_and_out(before: str, after: str) -> None:
    floor = Floor()
    wish(floor, agent_id="sara", presence=before)
    answer = wish(floor, extension="1001", presence="toggle")
    assert isinstance(answer, i.Answer)
    assert answer.agent.presence == after


def test_wish_for_what_is_already_so_is_answered_without_a_fact() -> None:
    floor = Floor()
    floor.available("sara")
    answer = wish(floor, agent_id="sara", presence="available")
    assert isinstance(answer, i.Answer)
    assert floor.new_facts() == []


def test_answer_shows_the_offer_that_the_login_led_to() -> None:
    floor = Floor()
    floor.waits("c1")
    answer = wish(floor, agent_id="omid", presence="available")
    assert isinstance(answer, i.Answer)
    assert (answer.agent.activity, answer.agent.contact_id) == ("offered", "c1")


def test_repeated_wish_is_answered_and_done_once() -> None:
    floor = Floor()
    wish(floor, extension="1001", presence="toggle", input_id="same")
    answer = wish(floor, extension="1001", presence="toggle", input_id="same")
    assert isinstance(answer, i.Answer)
    assert answer.agent.presence == "available"
    assert len(floor.facts(f.AgentPresenceChanged)) == 1


def test_disposition_ends_the_wrap_up_and_a_break_holds_afterwards() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.talks("c1")
    wish(floor, agent_id="omid", presence="break")
    floor.report(i.ConversationEnded, "c1", ended_by="caller")
    floor.pass_ms(2_000)
    refused = wish(floor, agent_id="omid", code="7")
    assert isinstance(refused, i.Refuse)
    assert refused.slug == "unknown-disposition"
    answer = wish(floor, extension="1002", code="2", by="code")
    assert isinstance(answer, i.Answer)
    assert (answer.agent.presence, answer.agent.activity) == ("break", "idle")
    assert floor.facts(f.WrapUpEnded) == [f.WrapUpEnded("omid", "c1", "2", "code", 2_000, "sales")]


def test_extension_that_moved_to_another_agent_follows_the_document() -> None:
    floor = Floor()
    agents = {
        "sara": AgentRules("1002", ("sales",), {}),
        "omid": AgentRules("1001", ("sales",), AGENTS["omid"].skills),
    }
    floor.send(i.CenterRevised, center=center(agents=agents, revision="r2"))
    answer = wish(floor, extension="1001", presence="available")
    assert isinstance(answer, i.Answer)
    assert answer.agent.agent_id == "omid"
