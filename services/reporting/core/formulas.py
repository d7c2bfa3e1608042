"""The measures of the catalogue as SQL over the views that analysts read: for the dictionary and for dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Better, Cost, Quantile, SourceId, Text
from services.reporting.core.kpi.persian import in_words
from services.reporting.core.kpi.sources import SOURCES

_NOT_ROWS: Final = frozenset({"first_contacts", "agent_spells"})
"""Sources whose rows are no rows of a view: windows around each contact, and intervals of agents cut at every quarter of an hour."""


class Rows(msgspec.Struct, frozen=True):
    """Rows of a view, and the column whose time decides when they count."""

    view: str
    where: str
    at: str


class Formula(msgspec.Struct, frozen=True):
    """A measure. ``sql`` is its aggregate over ``rows``.

    ``plain``: whoever selects it from the one view of its rows gets the figure. Money is told in words: its prices are a tenant's.
    """

    id: str
    group: str
    name: Text
    words: Text
    rows: tuple[Rows, ...]
    sql: str
    plain: bool
    unit: str
    better: Better


def formulas() -> list[Formula]:
    """Every measure, in the catalogue's order."""
    found = []
    for measure in MEASURES.values():
        if isinstance(measure, Quantile):
            sources: tuple[SourceId, ...] = (measure.source,)
            where = " AND ".join(f"({w})" for w in (SOURCES[measure.source].where, measure.where) if w)
            sql = f"quantileExactIf({measure.level})({measure.column}, {where}) / 1000"
        elif isinstance(measure, Cost):
            sources = tuple(dict.fromkeys(COUNTS[name].source for name in measure.counts))
            sql = measure.words
        else:
            sources = tuple(dict.fromkeys(COUNTS[name].source for name in (*measure.top, *measure.bottom)))
            sql = _sum(measure.top)
            if len(measure.top) > 1 and (measure.bottom or measure.factor != 1):
                sql = f"({sql})"
            if measure.bottom:
                sql = f"{sql} / nullIf({_sum(measure.bottom)}, 0)"
            if measure.factor != 1:
                sql = f"{sql} * {measure.factor:g}"
        found.append(
            Formula(
                id=measure.id,
                group=measure.group,
                name=measure.name,
                words=in_words(measure),
                rows=tuple(_rows(source) for source in sources),
                sql=sql,
                plain=len(sources) == 1 and not isinstance(measure, Cost) and not _NOT_ROWS & set(sources),
                unit=measure.unit,
                better=measure.better,
            )
        )
    return found


def _sum(counts: Mapping[str, int]) -> str:
    terms = [f"{'-' if times < 0 else '+'} {_count(name)}" for name, times in counts.items()]
    return " ".join(terms).removeprefix("+ ")


def _count(name: str) -> str:
    count = COUNTS[name]
    source = SOURCES[count.source]
    return count.sql if source.at else f"sum({source.states[0].columns[name]})"  # only states have it


def _rows(source: SourceId) -> Rows:
    rows = SOURCES[source]
    return Rows(rows.view.split("_between(")[0], rows.where, rows.at or "at")
