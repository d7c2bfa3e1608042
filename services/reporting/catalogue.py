"""The catalogue as the HTTP route tells it: every measure with its formula in words and SQL, in both languages."""

from __future__ import annotations

from pydantic import BaseModel, Field

from services.reporting.core.formulas import formulas
from services.reporting.core.kpi.calendars import Months, Unit, WeekStart
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Measure
from services.reporting.core.kpi.persian import in_words
from services.reporting.core.kpi.question import sources_of
from services.reporting.core.kpi.sources import DIMENSIONS, SOURCES, allows


class MeasureInfo(BaseModel):
    """One entry of the catalogue."""

    id: str
    group: str = Field(description="heading of lists: contacts, service, handling, agents, quality, cost")
    name: dict[str, str] = Field(description="by language")
    words: dict[str, str] = Field(description="the formula in words, by language")
    sql: str = Field(
        description="the formula over the rows of its sources; of costs, in words: prices are the tenant's"
    )
    unit: str = Field(description="contacts, segments, offers, answers, evaluations, seconds, share (0 to 1), points, mos, milliseconds, money")  # fmt: skip
    better: str = Field(description="up, down, or empty where neither is better")
    origin: str = Field(description="who defines it so")
    sources: list[str]
    dimensions: list[str] = Field(description="what 'by' and 'filter.' may name with it")
    counts: list[str] = Field(description="raw counts that come with it")
    counts_are_contacts: bool = Field(description="whether /v1/contacts?count= lists what it counts")


class DimensionInfo(BaseModel):
    id: str
    name: dict[str, str]
    words: dict[str, str]
    kind: str = Field(description="text, hour (0 to 23), weekday (mon to sun)")


class CountInfo(BaseModel):
    id: str
    name: dict[str, str]
    words: dict[str, str]
    sql: str
    unit: str
    source: str


class SourceInfo(BaseModel):
    id: str
    words: str
    view: str
    states: list[str] = Field(
        description="views of 15-minute states that are read instead where that is possible"
    )


class Catalogue(BaseModel):
    """Everything that can be asked."""

    measures: list[MeasureInfo]
    dimensions: list[DimensionInfo]
    counts: list[CountInfo]
    sources: list[SourceInfo]
    intervals: list[str]
    calendars: list[str]
    week_starts: list[str]


def catalogue() -> Catalogue:
    """The catalogue as the route tells it."""
    sql = {formula.id: formula.sql for formula in formulas()}
    measures = []
    for measure in MEASURES.values():
        sources = sources_of(measure)
        listed = (
            isinstance(measure, Measure)
            and list(measure.top) == [measure.id]
            and bool(_contact_column(measure.id))
        )
        measures.append(
            MeasureInfo(
                id=measure.id,
                group=measure.group,
                name=measure.name,
                words=in_words(measure),
                sql=sql[measure.id],
                unit=measure.unit,
                better=measure.better,
                origin=measure.origin,
                sources=list(sources),
                dimensions=[name for name in DIMENSIONS if all(allows(SOURCES[s], name) for s in sources)],
                counts=list(measure.counts),
                counts_are_contacts=listed,
            )
        )
    return Catalogue(
        measures=measures,
        dimensions=[
            DimensionInfo(id=d.id, name=d.name, words=in_words(d), kind=d.kind) for d in DIMENSIONS.values()
        ],
        counts=[
            CountInfo(id=c.id, name=c.name, words=in_words(c), sql=c.sql, unit=c.unit, source=c.source)
            for c in COUNTS.values()
        ],
        sources=[
            SourceInfo(
                id=s.id,
                words=s.words,
                view=s.view.partition("(")[0],
                states=[state.view for state in s.states],
            )
            for s in SOURCES.values()
        ],
        intervals=list(Unit.__args__),  # type: ignore[attr-defined]
        calendars=list(Months.__args__),  # type: ignore[attr-defined]
        week_starts=list(WeekStart.__args__),  # type: ignore[attr-defined]
    )


def _contact_column(count: str) -> str:
    source = SOURCES[COUNTS[count].source]
    if source.view == "v_contacts":
        return "contact_id"
    return source.contact
