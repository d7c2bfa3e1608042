"""The words of the catalogue: sources, counts, measures and dimensions. ``sources``, ``counts`` and ``measures`` fill them.

A *source* is a kind of row (contacts, stays in a queue, offers …) with the view that has them. A *count* is a whole number that is
added up over rows of one source; counts of different intervals and groups may be added, so totals are never averages of averages.
A *measure* is a ratio of sums of counts, or one sum: what people read. Everything is data; ``statement`` makes SQL of it and
``answer`` the figures.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SourceId = Literal[
    "contacts",
    "first_contacts",
    "queue_segments",
    "agent_segments",
    "agent_states",
    "agent_spells",
    "offers",
    "answers",
    "evaluations",
    "months",
]
Unit = Literal[
    "contacts", "segments", "offers", "answers", "evaluations", "seconds", "share", "points", "mos", "milliseconds", "money", "months"
]  # fmt: skip
Better = Literal["up", "down", ""]
Kind = Literal["text", "hour", "weekday"]
Text = dict[str, str]
"""By language: en and fa."""

MS: Final = 0.001
"""Factor of measures in seconds: counts are in milliseconds."""


DIGEST_RANK_ERROR: Final = 0.01
"""How far the place of an estimated quantile is from its level at most; tests/integration/test_reporting_quantiles.py measures it."""


class State(msgspec.Struct, frozen=True):
    """15-minute states that have a source's counts added up: a row a slot and key."""

    view: str
    dimensions: dict[str, str]
    """Which dimensions it can be grouped by, with their columns."""
    columns: dict[str, str]
    """Which counts it has, with their columns."""


class Source(msgspec.Struct, frozen=True):
    """A kind of rows."""

    id: SourceId
    words: str
    """What a row is, and whose time decides in which interval it counts."""
    view: str
    at: str
    """The column whose time decides; empty: there are only states."""
    where: str
    """Which rows of the view count."""
    dimensions: dict[str, str]
    """Which dimensions its rows have themselves, with their SQL."""
    contact: str = ""
    """The column that names the contact of a row, where further dimensions come from; empty: there is none."""
    states: tuple[State, ...] = ()


class Count(msgspec.Struct, frozen=True):
    """A sum over rows of a source."""

    id: str
    source: SourceId
    name: Text
    words: str
    where: str = ""
    """Which rows; empty: all of the source."""
    add: str = ""
    """What of each of them is added; empty: one."""
    unit: Unit = "contacts"
    greatest: bool = False
    """The greatest is kept, nothing is added."""

    @property
    def sql(self) -> str:
        """The aggregate over the source's rows."""
        if self.greatest:
            return f"maxIf({self.add}, {self.where})" if self.where else f"max({self.add})"
        if self.add:
            return f"sumIf({self.add}, {self.where})" if self.where else f"sum({self.add})"
        return f"countIf({self.where})" if self.where else "count()"


class Measure(msgspec.Struct, frozen=True):
    """What people read: ``factor`` × sum of ``top`` ÷ sum of ``bottom``; without ``bottom`` the sum itself."""

    id: str
    group: str
    """Under which heading lists show it."""
    name: Text
    words: str
    """The formula in words."""
    unit: Unit
    better: Better
    origin: str
    """Who defines it so."""
    top: dict[str, int]
    """Counts and how often each is added; negative: taken away."""
    bottom: dict[str, int] = {}
    factor: float = 1
    beside: tuple[str, ...] = ()
    """Counts that are shown before those of the formula."""

    @property
    def counts(self) -> tuple[str, ...]:
        """All counts that it needs or shows, in order."""
        return tuple(dict.fromkeys((*self.beside, *self.top, *self.bottom)))


class Quantile(msgspec.Struct, frozen=True):
    """A quantile of a duration over rows of a source: exact where rows are read, an estimate where states are."""

    id: str
    group: str
    name: Text
    words: str
    source: SourceId
    column: str
    """Milliseconds."""
    where: str
    level: float
    digest: str
    """The column of the 15-minute states that has a t-digest of it."""
    count: str
    """How many rows it is of."""
    better: Better = "down"
    unit: Unit = "seconds"
    origin: str = (
        "exact from rows (quantileExact); of more than 31 days merged from 15-minute t-digests,"
        f" off by {DIGEST_RANK_ERROR:.0%} of the contacts at most"
    )

    @property
    def counts(self) -> tuple[str, ...]:
        """The count that is shown beside it."""
        return (self.count,)


class Cost(msgspec.Struct, frozen=True):
    """Money: the sum of some of a tenant's prices times their counts (``cost``), in all or for each contact."""

    id: str
    group: str
    name: Text
    words: str
    parts: tuple[Literal["users", "lines", "minutes", "contacts"], ...]
    counts: tuple[str, ...]
    """What the prices are multiplied by, and what is divided by."""
    per: str = ""
    """The count that it is divided by; empty: none."""
    unit: Unit = "money"
    better: Better = "down"
    origin: str = "the center document's tariffs"


class Dimension(msgspec.Struct, frozen=True):
    """By what figures are told apart."""

    id: str
    name: Text
    words: str
    kind: Kind = "text"
