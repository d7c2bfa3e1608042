"""The tables and their columns, as data: what ``rows`` fills, the writer inserts and the migrations create.

Theory of operation
-------------------
Facts about one contact come on two streams, in any order between them, more than once, and partly long after the rest.
Two kinds of tables make that harmless:

* *Entries* (facts, ivr_steps, agent_changes, survey_answers, surveys, center_revisions): one row a fact under the fact's id. A repetition is the same row again;
  ReplacingMergeTree keeps one.
* *Cards* (contacts, offers, legs, recordings): one row a key that is filled in piece by piece. Each column is a *cell*, a
  pair (version, value), and merging rows takes the greatest pair of each column. The greatest of a set depends neither on
  order nor on repetition nor on how rows were grouped into batches, so no insert ever has to read what is there, and the
  merge may happen at insert, in the background or when reading: AggregatingMergeTree with
  ``SimpleAggregateFunction(max, Tuple(UInt64, T))`` does exactly this.

A version is made by ``version``: first the source's rank (the better witness of this column wins), then the place in its
stream. Version 0 means that nobody has said anything.

Keys of cards begin with (tenant, day): the day (UTC) on which the fact happened. It is there for reading a span of time
without the rest of the table; rows of a contact that lived past midnight are joined when reading, by its id alone.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final, Literal

import msgspec

Kind = Literal["text", "int", "list"]

EMPTY: Final[dict[Kind, tuple[int, Any]]] = {"text": (0, ""), "int": (0, 0), "list": (0, [])}
"""A cell about which nothing is known, by kind."""

_ORDER_BITS: Final = 56
_ORDER_MAX: Final = (1 << _ORDER_BITS) - 1
_INDEX_BITS: Final = 12
_INDEX_MAX: Final = (1 << _INDEX_BITS) - 1
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = 65_535  # of ClickHouse's Date
DAY_US: Final = 86_400_000_000


class Row(msgspec.Struct, frozen=True):
    """One row on its way to a table, with the table's columns in order."""

    table: str
    values: tuple[Any, ...]


class Card(msgspec.Struct, frozen=True):
    """A table of cells: its name, the column of its id, and its cells by name."""

    name: str
    id_column: str
    cells: dict[str, Kind]

    @property
    def columns(self) -> tuple[str, ...]:
        return ("tenant", "day", self.id_column, *self.cells)


class Entries(msgspec.Struct, frozen=True):
    """A table with a row a fact."""

    name: str
    columns: tuple[str, ...]


def order(seq: int, idx: int = 0) -> int:
    """The place in a stream as one number: later is greater."""
    place = (seq << _INDEX_BITS) + (idx if idx < _INDEX_MAX else _INDEX_MAX)
    return place if place < _ORDER_MAX else _ORDER_MAX


def version(rank: int, place: int = 0, *, first: bool = False) -> int:
    """The version of a cell: ``rank`` from 1 (weak witness) to 255; with ``first`` the earliest place wins, not the last."""
    return (rank << _ORDER_BITS) + ((_ORDER_MAX - place) if first else place)


def day_of(at_us: int) -> date:
    """The UTC day of a time; times outside of ClickHouse's range go to its ends."""
    return date.fromordinal(_EPOCH_DAY + min(max(at_us // DAY_US, 0), _LAST_DAY))


def card_row(card: Card, tenant: str, at_us: int, key: str, cells: dict[str, tuple[int, Any]]) -> Row:
    """A row that says something about some of a card's cells. Raises KeyError for a cell that the card has not."""
    for name in cells:
        if name not in card.cells:
            raise KeyError(f"{card.name} has no cell {name}")
    values = [cells.get(name, EMPTY[kind]) for name, kind in card.cells.items()]
    return Row(card.name, (tenant, day_of(at_us), key, *values))


CONTACTS: Final = Card(
    "contacts",
    "contact_id",
    {
        # Where it came from and who knows of its start: 'ivr', 'queue' when the ivr was dead, 'switch' when nobody was there.
        "start": "text",
        "first_seen_us": "int",
        "started_at_us": "int",
        "node": "text",
        "entry_point": "text",
        "ani": "text",
        "caller_name": "text",
        "language": "text",
        "customer": "text",
        "flow": "text",
        "revision": "text",
        # What ivr did.
        "steps": "int",
        "handed_over_at_us": "int",
        "ivr_outcome": "text",
        "ivr_node": "text",
        "ivr_ms": "int",
        # What routing decided; routing_state is the last of waiting, talking and the closing outcomes.
        "first_queue": "text",
        "queue": "text",
        "priority": "int",
        "waiting_since_us": "int",
        "routing_state": "text",
        "connected_at_us": "int",
        "answer_wait_ms": "int",
        "closed_wait_ms": "int",
        "agent_id": "text",
        "offer_id": "text",
        "offers": "int",
        "overflow_reason": "text",
        "overflow_action": "text",
        "overflow_target": "text",
        "talk_ms": "int",
        "hold_ms": "int",
        "ended_at_us": "int",
        "ended_by": "text",
        "cause": "text",
        "wrap_up_ms": "int",
        "disposition": "text",
        "disposition_by": "text",
        "recording_path": "text",
        # The caller's own leg, as its record says.
        "leg_ended_at_us": "int",
        "leg_cause": "text",
        "leg_state": "text",
        # Said at the closing: the finer word for the outcome, and how often an agent passed it on.
        "result": "text",
        "transfers": "int",
    },
)

OFFERS: Final = Card(
    "offers",
    "offer_id",
    {
        "contact_id": "text",
        "agent_id": "text",
        "queue": "text",
        "node": "text",
        "extension": "text",
        "attempt": "int",
        "rule": "text",
        "candidates": "int",
        "idle_ms": "int",
        "waited_ms": "int",
        "ring_limit_ms": "int",
        "made_at_us": "int",
        "rang_at_us": "int",
        "answered_at_us": "int",
        "bridged_at_us": "int",
        "ended_at_us": "int",
        "outcome": "text",
        "observed_outcome": "text",
        "cause": "text",
        "ring_ms": "int",
        "answer_latency_ms": "int",
        "agent_leg_id": "text",
        "talk_ms": "int",
        "hold_ms": "int",
        "ended_by": "text",
        "disposition": "text",
    },
)

LEGS: Final = Card(
    "legs",
    "leg_id",
    {
        "from_socket": "int",
        "from_spool": "int",
        "contact_id": "text",
        "offer_id": "text",
        "agent_id": "text",
        "role": "text",
        "queue": "text",
        "entry_point": "text",
        "state": "text",
        "node": "text",
        "direction": "text",
        "ani": "text",
        "caller_name": "text",
        "destination": "text",
        "started_at_us": "int",
        "answered_at_us": "int",
        "bridged_at_us": "int",
        "ended_at_us": "int",
        "duration_ms": "int",
        "billed_ms": "int",
        "hold_ms": "int",
        "hangup_cause": "text",
        "cause_q850": "int",
        "sip_status": "int",
        "sip_disposition": "text",
        "codec": "text",
        "remote_ip": "text",
        "user_agent": "text",
        "mos_milli": "int",
        "packets_in": "int",
        "packets_out": "int",
        "packets_skipped": "int",
        "jitter_us": "int",
        "packet_loss_ppm": "int",
    },
)

RECORDINGS: Final = Card(
    "recordings",
    "recording_id",
    {
        "contact_id": "text",
        "node": "text",
        "path": "text",
        "status": "text",
        "started_at_us": "int",
        "stored_at_us": "int",
        "bytes": "int",
        "duration_ms": "int",
        "channels": "int",
        "sample_rate": "int",
        "sha256": "text",
        "rms": "list",
        "repaired": "int",
        "agent_id": "text",
        "queue": "text",
        "failure": "text",
    },
)

FACTS: Final = Entries(
    "facts",
    (
        "tenant",
        "contact_id",
        "id",
        "at",
        "stream",
        "seq",
        "idx",
        "type",
        "agent_id",
        "queue",
        "causation_id",
        "revision",
        "payload",
    ),
)
IVR_STEPS: Final = Entries(
    "ivr_steps",
    (
        "tenant",
        "contact_id",
        "id",
        "at",
        "step_no",
        "flow",
        "flow_node",
        "kind",
        "result",
        "spent_ms",
        "flow_version",
        "entered_at",
        "input",
    ),
)
SURVEY_ANSWERS: Final = Entries(
    "survey_answers",
    (
        "tenant",
        "contact_id",
        "id",
        "at",
        "survey",
        "flow_version",
        "question",
        "kind",
        "score",
        "least",
        "most",
        "said_ms",
        "recording_path",
        "queue",
        "agent_id",
        "offer_id",
    ),
)
SURVEYS: Final = Entries(
    "surveys",
    (
        "tenant",
        "contact_id",
        "id",
        "at",
        "survey",
        "outcome",
        "answers",
        "duration_ms",
        "queue",
        "agent_id",
        "offer_id",
    ),
)
AGENT_CHANGES: Final = Entries(
    "agent_changes",
    (
        "tenant",
        "agent_id",
        "kind",
        "id",
        "at",
        "seq",
        "idx",
        "value",
        "reason",
        "actor",
        "contact_id",
        "queue",
        "previous",
        "previous_ms",
    ),
)

CENTER_REVISIONS: Final = Entries(
    "center_revisions",
    (
        "tenant",
        "number",
        "revision",
        "id",
        "at",
        "based_on",
        "kind",
        "actor",
        "reason",
        "changes",
        "changes_left_out",
    ),
)

EVALUATIONS: Final = Entries(
    "evaluations",
    (
        "tenant",
        "day",
        "evaluation_id",
        "question",
        "contact_id",
        "segment_id",
        "agent_id",
        "form",
        "score",
        "most",
        "comment",
        "evaluator",
        "at",
        "version",
        "deleted",
    ),
)
"""A row a question, not a fact: a later one replaces it (``rows.evaluation_rows``)."""

CARDS: Final[tuple[Card, ...]] = (CONTACTS, OFFERS, LEGS, RECORDINGS)
ENTRIES: Final[tuple[Entries, ...]] = (
    FACTS,
    IVR_STEPS,
    AGENT_CHANGES,
    SURVEY_ANSWERS,
    SURVEYS,
    CENTER_REVISIONS,
)
COLUMNS: Final[dict[str, tuple[str, ...]]] = {card.name: card.columns for card in CARDS} | {
    entries.name: entries.columns for entries in (*ENTRIES, EVALUATIONS)
}
"""The columns that a row of each table fills, in order."""
