"""Where counts come from, and by which dimensions their rows can be told apart.

A dimension that a source's rows do not have themselves is looked up in the row's contact, so that "service level by entry point" can be asked.
What a source can do neither way is refused, with both names.
"""

from __future__ import annotations

from typing import Final

from services.reporting.core.kpi.model import Dimension, Source, SourceId, State

_INCOMING: Final = "counted AND NOT startsWith(entry_point, '*')"

_SKILL_NAMES: Final = "arrayMap(s -> splitByChar(':', s)[1], skills)"

SKILLS: Final = f"if(empty(skills), [''], {_SKILL_NAMES})"
"""Names of the skills that a contact was queued with; the dimension ``skill`` counts it under each of them."""

CONTACT_DIMENSIONS: Final[dict[str, str]] = {
    "entry_point": "entry_point",
    "number": "ani",
    "customer": "customer",
    "language": "language",
    "flow": "flow",
    "service_class": "service_class",
    "skill": SKILLS,
    "start": "start",
    "outcome": "outcome",
    "result": "result",
    "ended_by": "ended_by",
    "disposition": "disposition",
    "node": "node",
}
"""What a row has through its contact."""

CLOCK: Final = ("hour", "weekday")
"""Dimensions that every row has by its time."""

SOURCES: Final[dict[SourceId, Source]] = {
    source.id: source
    for source in (
        Source(
            id="contacts",
            words="A row a contact, of every channel; feature codes are left out. It counts when it began.",
            view="v_contacts",
            at="started_at",
            where=_INCOMING,
            dimensions=CONTACT_DIMENSIONS
            | {
                "queue": "queue",
                "first_queue": "first_queue",
                "agent": "agent_id",
                "team": "team",
                "channel": "channel",
            },
        ),
        Source(
            id="first_contacts",
            words=(
                "A row a contact with which a person (the customer's reference, else the calling number) begins: nobody of the same name or"
                " number came in the window before, and the window after it is over. It counts when it began."
            ),
            view="v_contacts",
            at="started_at",
            where=f"{_INCOMING} AND start NOT IN ('callback', 'outbound')",
            dimensions=CONTACT_DIMENSIONS
            | {
                "queue": "queue",
                "first_queue": "first_queue",
                "agent": "agent_id",
                "team": "team",
                "channel": "channel",
            },
        ),
        Source(
            id="queue_segments",
            words=(
                "A row a stay of a contact in a queue. Calls back to customers, calls that agents place and waiting for one certain agent are none."
                " It counts when it began."
            ),
            view="v_segments",
            at="started_at",
            where="kind = 'queue'",
            dimensions={
                "queue": "queue",
                "channel": "channel",
                "reason": "reason",
                "segment_outcome": "outcome",
            },
            contact="contact_id",
            states=(
                State(
                    view="v_queue_15m",
                    dimensions={"queue": "queue", "channel": "channel"},
                    columns={
                        name: name
                        for name in (
                            "offered",
                            "answered",
                            "answered_within",
                            "abandoned",
                            "abandoned_within",
                            "abandoned_short",
                            "overflowed",
                            "transferred_out",
                            "other_ended",
                            "still_open",
                            "wait_answered_ms",
                            "wait_abandoned_ms",
                            "wait_max_ms",
                        )
                    },
                ),
            ),
        ),
        Source(
            id="agent_segments",
            words="A row a conversation of an agent with a contact, calls back and calls that agents placed included. It counts when it began.",
            view="v_segments",
            at="started_at",
            where="kind = 'agent'",
            dimensions={
                "queue": "queue",
                "agent": "agent_id",
                "team": "team",
                "channel": "channel",
                "reason": "reason",
                "segment_outcome": "outcome",
            },
            contact="contact_id",
            states=(
                State(
                    view="v_queue_15m",
                    dimensions={"queue": "queue", "channel": "channel"},
                    columns={
                        "handled": "handled",
                        "talk_ms": "talk_ms",
                        "hold_ms": "hold_ms",
                        "acw_ms": "wrap_up_ms",
                    },
                ),
                State(
                    view="v_agent_15m",
                    dimensions={"agent": "agent_id"},
                    columns={
                        "handled": "handled",
                        "talk_ms": "talk_ms",
                        "hold_ms": "hold_ms",
                        "acw_ms": "acw_ms",
                        "transferred": "transfers",
                    },
                ),
            ),
        ),
        Source(
            id="agent_states",
            words="Time of agents in states, cut at every quarter of an hour: each piece counts where it lies.",
            view="v_agent_15m",
            at="",
            where="",
            dimensions={},
            states=(
                State(
                    view="v_agent_15m",
                    dimensions={"agent": "agent_id", "team": "team"},
                    columns={
                        "logged_in_ms": "logged_in_ms",
                        "available_ms": "available_ms",
                        "break_ms": "break_ms",
                        "idle_ms": "idle_ms",
                        "offered_ms": "offered_ms",
                        "talking_ms": "talking_ms",
                        "held_ms": "held_ms",
                        "after_ms": "wrap_up_ms",
                        "handling_ms": "handling_ms",
                        "closing_ms": "closing_ms",
                        "own_call_ms": "own_call_ms",
                        "unreachable_ms": "unreachable_ms",
                    },
                ),
            ),
        ),
        Source(
            id="agent_spells",
            words=(
                "Time of agents on hand: a presence (available, break) or an activity that keeps them busy, by its value and reason, cut at every"
                " quarter of an hour: each piece counts where it lies."
            ),
            view="v_agent_intervals",
            at="at",
            where="value NOT IN ('offline', 'idle', 'unreachable')",
            dimensions={
                "agent": "agent_id",
                "team": "team",
                "queue": "queue",
                "state": "value",
                "state_reason": "reason",
            },
        ),
        Source(
            id="offers",
            words="A row an offer to an agent. It counts when it was made.",
            view="v_offers_between(from_day = {card_from:Date}, to_day = {card_to:Date})",
            at="made_at",
            where="made_at IS NOT NULL",
            dimensions={"queue": "queue", "agent": "agent_id"},
            contact="contact_id",
            states=(
                State(
                    view="v_agent_15m",
                    dimensions={"agent": "agent_id"},
                    columns={
                        "offers": "offers",
                        "offers_accepted": "offers_accepted",
                        "offers_missed": "offers_missed",
                    },
                ),
            ),
        ),
        Source(
            id="answers",
            words="A row an answer to a survey's question with a score. It counts when it was given.",
            view="v_survey_answers",
            at="at",
            where="kind = 'score'",
            dimensions={"queue": "queue", "agent": "agent_id", "survey": "survey", "question": "question"},
            contact="contact_id",
        ),
        Source(
            id="evaluations",
            words="A row a question of a supervisor's evaluation. It counts when it was given.",
            view="v_evaluations",
            at="at",
            where="",
            dimensions={"agent": "agent_id", "form": "form", "question": "question"},
            contact="contact_id",
        ),
        Source(
            id="months",
            words="Months of the reports' calendar, and who was logged in during them; an interval has its share of each.",
            view="v_agent_15m",
            at="",
            where="",
            dimensions={},
        ),
    )
}

DIMENSIONS: Final[dict[str, Dimension]] = {
    dimension.id: dimension
    for dimension in (
        Dimension("queue", {"en": "Queue", "fa": "صف"}, "Queue of the stay, conversation or offer; of a contact the last one"),
        Dimension("first_queue", {"en": "First queue", "fa": "صف نخست"}, "Queue that the contact entered first"),
        Dimension("agent", {"en": "Agent", "fa": "کارشناس"}, "Agent of the conversation or offer; of a contact the last one"),
        Dimension("team", {"en": "Team", "fa": "گروه"}, "Team of the agent at that time"),
        Dimension("channel", {"en": "Channel", "fa": "کانال"}, "voice, chat, email or what the center document names"),
        Dimension("skill", {"en": "Skill", "fa": "مهارت"}, "Skills asked for; a contact counts under each, in totals once"),
        Dimension("entry_point", {"en": "Entry point", "fa": "شماره‌ی ورودی"}, "Called number"),
        Dimension("number", {"en": "Number", "fa": "شماره‌ی تماس‌گیرنده"}, "Calling number"),
        Dimension("customer", {"en": "Customer", "fa": "مشتری"}, "Customer's reference, as the flow knows it"),
        Dimension("language", {"en": "Language", "fa": "زبان"}, "Language of the contact"),
        Dimension("flow", {"en": "Flow", "fa": "سناریو"}, "Flow of the entry point"),
        Dimension("service_class", {"en": "Class", "fa": "رده‌ی مشتری"}, "Class of the customer"),
        Dimension("start", {"en": "Start", "fa": "آغاز"}, "ivr, queue, callback, outbound or the channel"),
        Dimension("outcome", {"en": "Outcome", "fa": "سرانجام"}, "How the contact ended"),
        Dimension("result", {"en": "Result", "fa": "نتیجه"}, "How the contact ended, in finer words"),
        Dimension("ended_by", {"en": "Ended by", "fa": "پایان‌دهنده"}, "caller, agent, system"),
        Dimension("disposition", {"en": "Disposition", "fa": "نتیجه‌ی گفتگو"}, "Code that the agent gave"),
        Dimension("node", {"en": "Node", "fa": "سرور"}, "FreeSWITCH node of the first leg"),
        Dimension("reason", {"en": "Reason", "fa": "علت"}, "Why the stay or conversation began: arrived, overflow, transfer …"),
        Dimension("segment_outcome", {"en": "Segment's outcome", "fa": "سرانجام بخش"}, "How the stay or conversation ended"),
        Dimension("state", {"en": "State", "fa": "وضعیت"}, "Presence or activity of the agent"),
        Dimension("state_reason", {"en": "State's reason", "fa": "علت وضعیت"}, "Why: of a break its reason"),
        Dimension("survey", {"en": "Survey", "fa": "نظرسنجی"}, "Survey"),
        Dimension("question", {"en": "Question", "fa": "پرسش"}, "Question of a survey or evaluation"),
        Dimension("form", {"en": "Form", "fa": "فرم"}, "Form of the evaluation"),
        Dimension("hour", {"en": "Hour", "fa": "ساعت"}, "Hour of the wall clock, 0 to 23", "hour"),
        Dimension("weekday", {"en": "Weekday", "fa": "روز هفته"}, "mon to sun", "weekday"),
    )
}  # fmt: skip


def reads(source: Source, dimension: str) -> bool:
    """Whether rows of the source have the dimension, by themselves or their contact."""
    return (
        (dimension in CLOCK and source.id != "months")
        or dimension in source.dimensions
        or (bool(source.contact) and dimension in CONTACT_DIMENSIONS)
    )


def allows(source: Source, dimension: str) -> bool:
    """Whether figures of the source can be told apart by the dimension: its rows have it, or its 15-minute states."""
    return reads(source, dimension) or any(dimension in state.dimensions for state in source.states)
