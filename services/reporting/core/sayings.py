"""Which fact says what about which column, as data: the one source of the rows of a fact (``rows``) and of a batch (``cards``).

A *saying* names a cell of a card, the value, and how strong the witness is (``tables`` explains cells, ranks and how answers are
joined). What is empty or zero is not said: it must not hide another witness's answer. Where a fact has several sayings about one
cell, the first that applies speaks.

Witnesses, from strong to weak: who did it, before who was told. ivr knows how a contact started and went through the menu; routing
decides queues, offers, connections and closings; queue saw when things happened on the switch.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from services.reporting.core import facts as f
from services.reporting.core.tables import (
    AGENT_CHANGES,
    CENTER_REVISIONS,
    CONTACTS,
    IVR_STEPS,
    OFFERS,
    RECORDINGS,
    SURVEY_ANSWERS,
    SURVEYS,
    Card,
    Entries,
)

How = Literal["last", "first", "earliest", "latest"]
Origin = Literal["field", "text", "place", "or_place", "entered"]


class Value(msgspec.Struct, frozen=True):
    """Where a value comes from.

    ``field``: a field of the fact (with a point: of the message in it). ``text``: ``name`` itself. ``place``: an attribute of ``Placed``.
    ``or_place``: a field, and where it is empty the fact's time. ``entered``: a field, and where it is empty the time at which what took
    ``spent_ms`` began.
    """

    origin: Origin
    name: str


class When(msgspec.Struct, frozen=True):
    """Said only if this field is equal to ``equals``; with ``equals`` None, only if it is neither empty nor zero."""

    field: str
    equals: str | bool | None = None


class Saying(msgspec.Struct, frozen=True):
    """One cell. ``last`` and ``first``: the latest or earliest fact of the rank wins; ``latest`` and ``earliest``: the greatest or
    smallest number wins, whoever says it. With ``always`` a zero is said, too."""

    cell: str
    value: Value
    rank: int
    how: How
    always: bool = False
    when: When | None = None


class Speech(msgspec.Struct, frozen=True):
    """What a kind of fact says about a card: the field with the card's key, and its sayings."""

    card: Card
    key: str
    sayings: tuple[Saying, ...]


def field(name: str) -> Value:
    return Value("field", name)


def text(said: str) -> Value:
    return Value("text", said)


def place(name: str) -> Value:
    return Value("place", name)


def _values(names: tuple[str, ...], renamed: dict[str, str | Value]) -> dict[str, Value]:
    given = {cell: field(value) if isinstance(value, str) else value for cell, value in renamed.items()}
    return {name: field(name) for name in names} | given


def last(rank: int, *names: str, when: When | None = None, **renamed: str | Value) -> tuple[Saying, ...]:
    """Cells named as the fact's fields, and ``cell=field`` for those that are not."""
    return tuple(
        Saying(cell, value, rank, "last", when=when) for cell, value in _values(names, renamed).items()
    )


def first(
    rank: int, *names: str, when: When | None = None, always: bool = False, **renamed: str | Value
) -> tuple[Saying, ...]:
    """As ``last``."""
    return tuple(
        Saying(cell, value, rank, "first", always, when) for cell, value in _values(names, renamed).items()
    )


def earliest(cell: str, value: Value, *, when: When | None = None) -> tuple[Saying, ...]:
    return (Saying(cell, value, 1, "earliest", True, when),)


def latest(cell: str, name: str, rank: int = 1) -> tuple[Saying, ...]:
    return (Saying(cell, field(name), rank, "latest", True),)


_AT: Final = place("at_us")
_FIELD_OR_AT: Final = Value("or_place", "at_us")
_SEEN: Final = earliest("first_seen_us", _AT)


def _contact(*sayings: tuple[Saying, ...]) -> Speech:
    return Speech(CONTACTS, "contact_id", tuple(s for group in (*sayings, _SEEN) for s in group))


def _offer(*sayings: tuple[Saying, ...]) -> Speech:
    return Speech(OFFERS, "offer_id", tuple(s for group in sayings for s in group))


def _recording(*sayings: tuple[Saying, ...]) -> Speech:
    return Speech(RECORDINGS, "recording_id", tuple(s for group in sayings for s in group))


# What queue and routing know of a contact whose ivr may have been dead.
_ADOPTED: Final = (
    first(3, start=text("outbound"), when=When("kind", "outbound")),
    first(3, start=text("callback"), when=When("callback_id")),
    first(3, start=text("queue")),
    first(3, "node", "entry_point", "ani", "caller_name"),
    first(1, "language", "customer"),
    first(3, "started_at_us"),
    first(2, started_at_us="waiting_since_us"),
    earliest("waiting_since_us", field("waiting_since_us")),
)
_PARTIES: Final = first(1, "contact_id", "agent_id")
_TALK: Final = ("talk_ms", "hold_ms", "ended_by")

SPEECHES: Final[dict[type, tuple[Speech, ...]]] = {
    f.ContactStarted: (
        _contact(
            first(4, "started_at_us", "node", "entry_point", start=text("ivr")),
            first(4, "ani", "caller_name", "flow", "revision"),
            first(2, "language"),
        ),
    ),
    f.IvrStepTaken: (_contact(latest("steps", "step_no")),),
    f.ContactHandedOver: (
        _contact(
            last(2, "customer", handed_over_at_us="at_us"),
            first(3, first_queue="queue"),
            last(3, "language"),
            last(1, "queue", "priority"),
        ),
    ),
    f.IvrEnded: (
        _contact(
            last(2, ivr_outcome="outcome", ivr_node="flow_node", ivr_ms="duration_ms"),
            last(3, "cause", ended_at_us="at_us"),
        ),
    ),
    f.ContactWaiting: (
        _contact(*_ADOPTED, first(2, "revision", first_queue="queue"), last(2, "queue", "priority")),
    ),
    f.ContactQueued: (
        _contact(
            first(3, start="channel"),
            *_ADOPTED,
            first(4, first_queue="queue", when=When("requeued", False)),
            last(5, "queue", "priority", routing_state=text("waiting")),
        ),
    ),
    f.ContactConnected: (
        _contact(
            first(5, "recording_path", connected_at_us=Value("or_place", "connected_at_us")),
            # Whoever talked last is named: after a transfer that is who finished the contact.
            last(5, "agent_id", "offer_id"),
            # Of the first connection, even when it came without any wait.
            first(5, answer_wait_ms="wait_ms", always=True),
            last(5, "queue", routing_state=text("talking")),
        ),
    ),
    f.ContactOverflowed: (
        _contact(
            last(5, overflow_reason="reason", overflow_action="action", overflow_target="target"),
            last(4, closed_wait_ms="wait_ms"),
        ),
    ),
    f.ContactClosed: (
        _contact(
            last(5, "queue", "result", "transfers", routing_state="outcome"),
            last(5, "talk_ms", "hold_ms", "offers", closed_wait_ms="wait_ms"),
            last(1, "agent_id", "offer_id"),
            first(1, "entry_point", "ani", first_queue="queue"),
            last(5, "ended_by"),
            last(2, "cause", ended_at_us=_AT),
            earliest("waiting_since_us", field("waiting_since_us"), when=When("waiting_since_us")),
            first(1, started_at_us="waiting_since_us"),
        ),
    ),
    f.ContactGone: (
        # The leg's own end: nobody knows better when the contact was over.
        _contact(last(4, "cause", ended_at_us="at_us"), last(2, closed_wait_ms="wait_ms")),
    ),
    f.OfferMade: (
        _offer(
            first(5, "contact_id", "agent_id", "queue", "node", "extension", "attempt", "waited_ms"),
            first(5, ring_limit_ms="ring_ms", made_at_us=_AT),
            first(5, rule="why.rule", candidates="why.candidates", idle_ms="why.idle_ms"),
        ),
        _contact(latest("offers", "attempt", rank=3)),
    ),
    f.OfferRinging: (
        _offer(_PARTIES, first(3, "agent_leg_id", rang_at_us=_FIELD_OR_AT)),
    ),
    f.OfferFailed: (
        _offer(
            _PARTIES, first(3, "cause", "ring_ms", observed_outcome="outcome", ended_at_us=_FIELD_OR_AT)
        ),
    ),
    f.OfferAnswered: (_offer(_PARTIES, first(3, "ring_ms", answered_at_us=_FIELD_OR_AT)),),
    f.OfferEnded: (
        _offer(_PARTIES, first(5, "outcome"), first(2, "cause", "ring_ms", ended_at_us=_AT)),
    ),
    f.AgentBridged: (
        _offer(
            _PARTIES,
            first(3, "agent_leg_id", bridged_at_us="at_us", observed_outcome=text("accepted")),
            first(3, "answer_latency_ms"),
            first(1, "queue", "node"),
        ),
        _contact(first(2, "recording_path")),
    ),
    f.ConversationEnded: (
        _offer(_PARTIES, last(3, *_TALK)),
        _contact(last(2, *_TALK), last(1, "cause", ended_at_us="at_us")),
    ),
    f.DispositionKeyed: (
        _offer(last(3, disposition="code")),
        _contact(last(2, disposition="code", disposition_by=text("key"))),
    ),
    f.WrapUpEnded: (
        _contact(
            last(5, "wrap_up_ms"),
            # A time-out says that nobody gave a code; it must not hide one.
            last(1, "disposition", disposition_by="by", when=When("by", "timeout")),
            last(5, "disposition", disposition_by="by"),
        ),
    ),
    f.RecordingStarted: (
        _recording(
            first(2, "contact_id", "node", "path", started_at_us=_FIELD_OR_AT),
            first(1, status=text("started")),
        ),
    ),
    f.RecordingStored: (
        _recording(
            last(3, "contact_id", "node", "path", status=text("stored")),
            last(3, "started_at_us", stored_at_us=_FIELD_OR_AT),
            last(3, "bytes", "duration_ms", "repaired", "channels", "sample_rate", "sha256", "rms"),
            last(3, "agent_id", "queue"),
        ),
    ),
    f.RecordingFailed: (
        _recording(
            first(1, "contact_id", "path"), last(2, status=text("failed"), failure="reason")
        ),
    ),
}  # fmt: skip
"""Which cards a kind of fact speaks about, and what it says."""


class Entry(msgspec.Struct, frozen=True):
    """The row that a kind of fact makes in a table with a row a fact: each column's value."""

    table: Entries
    columns: dict[str, Value]


_PLACES: Final = {
    "tenant": place("tenant"),
    "id": place("id"),
    "at": _AT,
    "seq": place("seq"),
    "idx": place("idx"),
}
_OF_CONTACT: Final = {**_PLACES, "contact_id": place("contact_id")}


def _entry(table: Entries, known: dict[str, Value], **other: Value) -> Entry:
    """Columns are what is known of every fact, what is given, and the fact's fields of the same name."""
    return Entry(table, {c: other.get(c) or known.get(c) or field(c) for c in table.columns})


ENTRY_OF: Final[dict[type, Entry]] = {
    # Facts of before it was told have only how long the step took.
    f.IvrStepTaken: _entry(IVR_STEPS, _OF_CONTACT, entered_at=Value("entered", "entered_at_us")),
    f.SurveyAnswered: _entry(SURVEY_ANSWERS, _OF_CONTACT),
    f.SurveyEnded: _entry(SURVEYS, _OF_CONTACT),
    f.CenterRevised: _entry(CENTER_REVISIONS, _PLACES),
    f.AgentPresenceChanged: _entry(
        AGENT_CHANGES,
        _PLACES,
        kind=text("presence"),
        value=field("presence"),
        contact_id=text(""),
        queue=text(""),
    ),
    f.AgentActivityChanged: _entry(
        AGENT_CHANGES,
        _PLACES,
        kind=text("activity"),
        value=field("activity"),
        reason=text(""),
        actor=text(""),
    ),
}
"""Which kinds of facts have a row in a table of their own beside the one in ``facts``."""


def read(value: Value, fact: Any, placed: f.Placed) -> Any:
    """The value of one fact; of a message inside that is not there, None."""
    if value.origin == "text":
        return value.name
    if value.origin == "place":
        return getattr(placed, value.name)
    found = fact
    for part in value.name.split("."):
        found = getattr(found, part, None)
    if value.origin == "or_place":
        return found or placed.at_us
    if value.origin == "entered":
        return found or max(0, placed.at_us - fact.spent_ms * 1000)
    return found


def applies(when: When | None, fact: Any) -> bool:
    """Whether a saying's condition holds."""
    if when is None:
        return True
    value = getattr(fact, when.field)
    return bool(value) if when.equals is None else bool(value == when.equals)
