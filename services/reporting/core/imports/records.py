"""What an import makes: rows of the tables that reports read, and nothing that a live fact could have told better.

Every row has an id that follows from its source, so that the same history gives the same rows however often and in whatever pieces
it is imported. Its version says how much of the thing the imported files told; all of them are below those of live data, which settling
numbers with milliseconds since 2020 in the lower 40 bits (adr/0057).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from services.reporting.core.legs import Leg, rows_of_leg
from services.reporting.core.tables import DAY_US, OFFERS, Row, card_row, day_of, version

MOST_VERSION: Final = 2**32 - 1
"""The highest version of an imported row."""

Derive = Callable[..., str]
"""Parts of text to an id that is always the same for them (``services.common.ids.derived_id``)."""


class BadLine(ValueError):
    """A line that is none of its format; the text says what was expected."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Base of rows that are read from a table with columns of the same names. Fields that end in ``_at`` (and ``waiting_since``) are
    microseconds since the epoch, 0 for never."""

    tenant: str


class Contact(Named, frozen=True, kw_only=True):
    """A row of ``contact_records``; the columns mean what the migration says of them."""

    contact_id: str
    started_at: int
    counted: bool = True
    start: str = "queue"
    channel: str = "voice"
    entry_point: str = ""
    node: str = ""
    ani: str = ""
    caller_name: str = ""
    first_queue: str = ""
    queue: str = ""
    queued: bool = False
    waiting_since: int = 0
    connected_at: int = 0
    ended_at: int = 0
    outcome: str = ""
    result: str = ""
    state: str = "closed"
    wait_ms: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    total_ms: int = 0
    offers: int = 0
    offers_missed: int = 0
    transfers: int = 0
    agent_id: str = ""
    team: str = ""
    offer_id: str = ""
    overflow_reason: str = ""
    overflow_action: str = ""
    overflow_target: str = ""
    ended_by: str = ""
    cause: str = ""
    recording_path: str = ""
    target_ms: int = 20_000
    short_ms: int = 5_000
    mos_milli: int = 0
    billed_ms: int = 0
    version: int = 1


class Segment(Named, frozen=True, kw_only=True):
    """A row of ``segments``."""

    contact_id: str
    segment_no: int
    segment_id: str
    initial_segment_id: str
    previous_segment_id: str
    next_segment_id: str
    kind: str
    queue: str
    started_at: int
    agent_id: str = ""
    team: str = ""
    offer_id: str = ""
    agent_leg_id: str = ""
    channel: str = "voice"
    reason: str = "arrived"
    ended_at: int = 0
    wait_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    outcome: str = ""
    ended_by: str = ""
    target_ms: int = 20_000
    short_ms: int = 5_000
    version: int = 1


class Interval(Named, frozen=True, kw_only=True):
    """A row of ``agent_intervals``."""

    agent_id: str
    kind: str
    started_at: int
    team: str = ""
    value: str = ""
    reason: str = ""
    contact_id: str = ""
    queue: str = ""
    ended_at: int = 0
    ms: int = 0
    continued: bool = False
    place: int = 0
    """Tells intervals apart, as the place in routing's log does: whatever has one place is one interval, whose newest version is the truth."""
    version: int = 1


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one offer, as cells of the card ``offers``."""

    tenant: str
    offer_id: str
    contact_id: str
    agent_id: str
    queue: str
    made_at_us: int
    ended_at_us: int
    outcome: str
    answered_at_us: int = 0
    bridged_at_us: int = 0
    cause: str = ""
    ring_ms: int = 0
    agent_leg_id: str = ""
    talk_ms: int = 0


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A stay in a queue or with an agent before it is numbered and linked with the others of its contact."""

    kind: str
    queue: str
    started_at: int
    ended_at: int
    outcome: str
    reason: str = "arrived"
    agent_id: str = ""
    team: str = ""
    offer_id: str = ""
    agent_leg_id: str = ""
    wait_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    hold_ms: int = 0
    wrap_up_ms: int = 0
    ended_by: str = ""
    target_ms: int = 20_000
    short_ms: int = 5_000


class History(msgspec.Struct, frozen=True, kw_only=True):
    """All that belongs to one contact, or to no contact: it is written together, the contact last."""

    contact: Contact | None = None
    segments: tuple[Segment, ...] = ()
    intervals: tuple[Interval, ...] = ()
    offers: tuple[Offer, ...] = ()
    legs: tuple[Leg, ...] = ()


def linked(tenant: str, contact_id: str, stretches: Sequence[Stretch], known: int) -> tuple[Segment, ...]:
    """The segments of a contact in the order of time, each knowing the one before and after it."""
    ordered = sorted(stretches, key=lambda one: (one.started_at, one.kind != "queue", one.ended_at))
    names = [f"{contact_id}-{n}" for n in range(1, len(ordered) + 1)]
    return tuple(
        Segment(
            tenant=tenant,
            contact_id=contact_id,
            segment_no=n + 1,
            segment_id=names[n],
            initial_segment_id=names[0],
            previous_segment_id=names[n - 1] if n else "",
            next_segment_id=names[n + 1] if n + 1 < len(names) else "",
            version=known,
            **msgspec.structs.asdict(one),
        )
        for n, one in enumerate(ordered)
    )


def _columns(kind: type[Named]) -> tuple[str, ...]:
    return ("day", *kind.__struct_fields__)


TABLES: Final[dict[type[Named], str]] = {
    Contact: "contact_records",
    Segment: "segments",
    Interval: "agent_intervals",
}
COLUMNS: Final[dict[str, tuple[str, ...]]] = {table: _columns(kind) for kind, table in TABLES.items()}
"""The columns that an import fills of each table, in order; the rest keep their defaults."""


_MOMENTS: Final = frozenset({"waiting_since", "connected_at", "ended_at"})
"""Nullable columns of times."""
_VALUES: Final = {kind: attrgetter(*kind.__struct_fields__) for kind in TABLES}
_PLACES: Final = {
    kind: tuple(n for n, name in enumerate(kind.__struct_fields__) if name in _MOMENTS) for kind in TABLES
}


def _row(one: Contact | Segment | Interval) -> Row:
    kind = type(one)
    values = [*_VALUES[kind](one)]
    for place in _PLACES[kind]:
        values[place] = values[place] or None
    return Row(TABLES[kind], (day_of(one.started_at), *values))


_CELLS: Final = tuple(name for name in Offer.__struct_fields__ if name in OFFERS.cells)
_cells: Final = attrgetter(*_CELLS)
_SAID: Final = version(1)


def rows_of_history(history: History) -> Iterator[Row]:
    """Everything but the contact's own row."""
    for leg in history.legs:
        yield rows_of_leg(leg)[0]
    for offer in history.offers:
        cells: dict[str, tuple[int, Any]] = {
            name: (_SAID, value) for name, value in zip(_CELLS, _cells(offer), strict=True) if value
        }
        yield card_row(OFFERS, offer.tenant, offer.made_at_us, offer.offer_id, cells)
    yield from (_row(segment) for segment in history.segments)
    yield from (_row(interval) for interval in history.intervals)


def contact_row(contact: Contact) -> Row:
    """The contact's row. It is written after all the others: whoever finds it need not write the others again."""
    return _row(contact)


_IMPORTED_PLACE: Final = 1 << 63
"""Beyond all places of logs."""


def cut_at_midnight(interval: Interval) -> Iterator[Interval]:
    """An agent's time as one row a day (UTC), as live ones are: all there is to know of a day stands in the rows of that day."""
    from_us = interval.started_at
    whole_ms = interval.ended_at // 1000 - from_us // 1000
    while True:
        midnight_us = (from_us // DAY_US + 1) * DAY_US
        to_us = min(interval.ended_at, midnight_us)
        ms = to_us // 1000 - from_us // 1000
        yield msgspec.structs.replace(
            interval,
            started_at=from_us,
            ended_at=to_us,
            ms=ms,
            continued=from_us != interval.started_at,
            place=_IMPORTED_PLACE + interval.started_at,
            version=min(max(whole_ms, 1), MOST_VERSION),
        )
        if to_us >= interval.ended_at:
            return
        from_us = midnight_us


SLOT_US: Final = 900 * 1_000_000


def slots_of(history: History) -> set[int]:
    """The 15 minutes that count something of it: their starts in seconds since the epoch."""
    found = {segment.started_at // SLOT_US for segment in history.segments}
    found.update(offer.made_at_us // SLOT_US for offer in history.offers)
    for interval in history.intervals:
        found.update(range(interval.started_at // SLOT_US, (interval.ended_at - 1) // SLOT_US + 1))
    return {slot * 900 for slot in found}


def result_of(outcome: str, wait_ms: int, short_ms: int) -> str:
    """The finer word for an outcome, as routing would have said it (``services/routing/core/results.py``)."""
    if outcome == "abandoned" and wait_ms < short_ms:
        return "short_abandon"
    return outcome
