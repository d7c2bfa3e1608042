"""The story of a contact in sentences."""

from __future__ import annotations

import msgspec

from services.reporting.core import facts as f
from services.reporting.core.steps import steps, why_failed


def told(fact: object, service: str) -> dict[str, object]:
    name = type(fact).__name__
    return {
        "at": 1, "id": name, "type": f"peyvand.{service}.v1.{name}", "queue": "", "agent_id": getattr(fact, "agent_id", ""),
        "payload": msgspec.to_builtins(fact),
    }  # fmt: skip


def test_an_offer_that_failed_says_why_and_one_that_was_taken_is_told_by_what_follows() -> None:
    found = steps(
        [
            told(f.ContactStarted(ani="+98912", entry_point="1000"), "ivr"),
            told(f.OfferMade(agent_id="omid", attempt=1), "routing"),
            told(f.OfferEnded(agent_id="omid", outcome="declined"), "routing"),
            told(f.OfferEnded(agent_id="sara", outcome="accepted"), "routing"),
            told(f.ContactConnected(agent_id="sara"), "routing"),
            told(f.NodeChanged(), "routing"),
        ]
    )
    assert [(step["what"], step["text"]["en"]) for step in found] == [
        ("started", "+98912 called 1000"),
        ("offered", "Offered to omid, try 1"),
        ("offer_failed", "omid declined it"),
        ("connected", "Talks with sara"),
    ]
    assert found[2]["text"]["fa"] == "omid رد کرد"


def test_what_a_fact_does_not_say_is_a_dash_and_braces_are_just_text() -> None:
    found = steps([told(f.ContactStarted(ani="{0.__class__}", entry_point=""), "ivr")])
    assert found[0]["text"]["en"] == "{0.__class__} called –"


def test_every_end_of_an_offer_has_its_words() -> None:
    ends = ("no_answer", "busy", "declined", "unreachable", "withdrawn", "expired", "no_line", "failed")
    for end in ends:
        words = why_failed(end)
        assert words is not None
        assert words["en"] != end
    assert (why_failed("accepted"), why_failed("")) == (None, None)
