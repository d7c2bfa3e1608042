"""A question to the catalogue, made from what a person wrote, with every mistake named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.reporting.core.kpi.calendars import SECOND_US, SLOT_S, WEEKDAYS, Calendar, Span, Unit
from services.reporting.core.kpi.cost import Tariffs
from services.reporting.core.kpi.counts import COUNTS
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Cost, Count, Measure, Quantile, Source, SourceId, State
from services.reporting.core.kpi.sources import DIMENSIONS, SOURCES, allows, reads

MAX_MEASURES: Final = 40
MAX_BY: Final = 4
MAX_INTERVALS: Final = 10_000
MAX_SPAN_DAYS: Final = 4_000
MAX_VALUES: Final = 200
MAX_VALUE_LENGTH: Final = 200
MAX_FCR_DAYS: Final = 30
EXACT_QUANTILES_DAYS: Final = 31
"""Quantiles of longer spans are estimates where states have them."""

_LAST_US: Final = 4_102_444_800 * SECOND_US  # the year 2100
_DAY_US: Final = 86_400 * SECOND_US


class QuestionInvalid(ValueError):
    """What cannot be answered: the parameter, and what was expected."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Question(msgspec.Struct, frozen=True):
    """Which figures, told apart how, of when, and of what. Check it with ``checked``."""

    tenant: str
    measures: tuple[str, ...]
    span: Span
    calendar: Calendar
    now_us: int
    by: tuple[str, ...] = ()
    interval: Unit | None = None
    filters: Mapping[str, tuple[str, ...]] = {}
    """Dimension: any of these values."""
    target_ms: int | None = None
    """T for all queues; None: each queue's own at that time."""
    short_ms: int | None = None
    """S likewise."""
    fcr_days: int = 7
    tariffs: Tariffs | None = None

    @property
    def window_us(self) -> int:
        """Of first contact resolution."""
        return self.fcr_days * _DAY_US

    def borders(self) -> list[int]:
        """Begin of each interval, and the end of the last: microseconds. Raises QuestionInvalid."""
        if self.interval is None:
            return [self.span.from_us, self.span.to_us]
        found = self.calendar.borders(self.interval, self.span, most=MAX_INTERVALS)
        if len(found) - 1 > MAX_INTERVALS:
            raise QuestionInvalid(
                "interval", f"{self.interval}: more than {MAX_INTERVALS} intervals between from and to"
            )
        return found


class Part(msgspec.Struct, frozen=True):
    """What is read by one statement."""

    source: Source
    counts: tuple[Count, ...] = ()
    quantiles: tuple[Quantile, ...] = ()
    state: State | None = None
    """Read from these 15-minute states; None: from the rows."""


def _named(field: str, ids: Sequence[str], known: Mapping[str, object], most: int) -> None:
    for name in ids:
        if name not in known:
            raise QuestionInvalid(
                field, f"{name!r} is none; expected of {', '.join(known)} (see /v1/reports/measures)"
            )
    if len(set(ids)) != len(ids):
        raise QuestionInvalid(field, "one is named twice")
    if len(ids) > most:
        raise QuestionInvalid(field, f"{len(ids)} were named, {most} at most")


def counts_of(measures: Sequence[str]) -> tuple[Count, ...]:
    """The counts that measures need or show, each once, in order."""
    names = dict.fromkeys(name for measure in measures for name in MEASURES[measure].counts)
    return tuple(COUNTS[name] for name in names)


def sources_of(measure: Measure | Quantile | Cost) -> tuple[SourceId, ...]:
    """The sources that a measure is made from."""
    return tuple(dict.fromkeys(COUNTS[name].source for name in measure.counts))


def checked(question: Question) -> Question:
    """The question itself. Raises QuestionInvalid, which names the parameter and what was expected."""
    if not question.measures:
        raise QuestionInvalid("measures", "expected at least one; see /v1/reports/measures")
    _named("measures", question.measures, MEASURES, MAX_MEASURES)
    _named("by", question.by, DIMENSIONS, MAX_BY)
    for name, values in question.filters.items():
        _filter(name, values)
    for name in question.measures:
        for source in sources_of(MEASURES[name]):
            _pair(name, SOURCES[source], question)
    _limits(question)
    costs = [name for name in question.measures if isinstance(MEASURES[name], Cost)]
    if costs and question.tariffs is None:
        raise QuestionInvalid("measures", f"{costs[0]}: the center document has no tariffs")
    if not _on_slots(question.span) and any(
        SOURCES[count.source].states and not SOURCES[count.source].at
        for count in counts_of(question.measures)
    ):
        raise QuestionInvalid(
            "from", "from and to must be full quarters of an hour: times of agents are kept by those"
        )
    question.borders()
    return question


def filtered(question: Question, source: Source) -> Question:
    """The question itself, of which only span and filters are looked at. Raises QuestionInvalid."""
    for name, values in question.filters.items():
        _filter(name, values)
        if not reads(source, name):
            raise QuestionInvalid(
                f"filter.{name}", f"does not go with {source.id}: {source.words[0].lower()}{source.words[1:]}"
            )
    _limits(question)
    return question


def _limits(question: Question) -> None:
    span = question.span
    if span.from_us >= span.to_us:
        raise QuestionInvalid("from", "must be before to")
    if span.to_us - span.from_us > MAX_SPAN_DAYS * _DAY_US:
        raise QuestionInvalid("from", f"expected {MAX_SPAN_DAYS} days at most up to to")
    if span.from_us < 0 or span.to_us > _LAST_US:
        raise QuestionInvalid("from", "expected a span, and one to compare with, between 1970 and 2100")
    if not 1 <= question.fcr_days <= MAX_FCR_DAYS:
        raise QuestionInvalid("fcr_days", f"expected 1 to {MAX_FCR_DAYS}")


def _filter(name: str, values: tuple[str, ...]) -> None:
    field = f"filter.{name}"
    if name not in DIMENSIONS:
        raise QuestionInvalid(field, f"there is no such dimension; expected of {', '.join(DIMENSIONS)}")
    if not values or len(values) > MAX_VALUES:
        raise QuestionInvalid(field, f"expected 1 to {MAX_VALUES} values")
    for value in values:
        if len(value) > MAX_VALUE_LENGTH:
            raise QuestionInvalid(field, f"a value is longer than {MAX_VALUE_LENGTH} characters")
    kind = DIMENSIONS[name].kind
    if kind == "hour" and not all(v.isascii() and v.isdigit() and int(v) < 24 for v in values):
        raise QuestionInvalid(field, f"{', '.join(values)}: expected 0 to 23")
    if kind == "weekday" and not set(values) <= set(WEEKDAYS):
        raise QuestionInvalid(field, f"{', '.join(values)}: expected of {', '.join(WEEKDAYS)}")


def _pair(measure: str, source: Source, question: Question) -> None:
    for field, names in (("by", question.by), ("filter", tuple(question.filters))):
        for name in names:
            if not allows(source, name):
                shown = field if field == "by" else f"filter.{name}"
                raise QuestionInvalid(
                    shown,
                    f"{name} does not go with the measure {measure}: {source.words[0].lower()}{source.words[1:]}",
                )


def _on_slots(span: Span) -> bool:
    return not span.from_us % (SLOT_S * SECOND_US) and not span.to_us % (SLOT_S * SECOND_US)


def parts(question: Question, *, rows_only: bool = False) -> list[Part]:
    """What has to be read: one part for all that comes from the same states, and one for each source whose rows are read.

    ``rows_only`` reads rows wherever there are any: the answer must be the same.
    """
    asked = {*question.by, *question.filters} - {"hour", "weekday"}
    may_use_states = _on_slots(question.span) and question.target_ms is None and question.short_ms is None
    found = []
    counts = counts_of(question.measures)
    for source_id in dict.fromkeys(count.source for count in counts):
        source = SOURCES[source_id]
        if source_id == "months":
            continue
        own = tuple(count for count in counts if count.source == source_id)
        state = None
        if not source.at or (may_use_states and not rows_only):
            state = next(
                (
                    state
                    for state in source.states
                    if asked <= state.dimensions.keys()
                    and {count.id for count in own} <= state.columns.keys()
                ),
                None,
            )
        found.append(Part(source, own, (), state))
    quantiles = [m for m in (MEASURES[name] for name in question.measures) if isinstance(m, Quantile)]
    long = question.span.to_us - question.span.from_us > EXACT_QUANTILES_DAYS * _DAY_US
    for source_id in dict.fromkeys(quantile.source for quantile in quantiles):
        source = SOURCES[source_id]
        wanted = tuple(quantile for quantile in quantiles if quantile.source == source_id)
        digest = next(
            (s for s in source.states if s.view == "v_queue_15m" and asked <= s.dimensions.keys()), None
        )
        found.append(Part(source, (), wanted, digest if long and may_use_states and not rows_only else None))
    return _together(found)


def _together(parts: Sequence[Part]) -> list[Part]:
    """One part for all that is read from the same rows: a statement's own cost is most of a short answer's."""
    found: dict[str, Part] = {}
    for part in parts:
        key = part.state.view if part.state is not None else part.source.id
        before = found.get(key)
        if before is not None:
            state = part.state
            if state is not None and before.state is not None:
                shared = state.dimensions.items() & before.state.dimensions.items()
                state = State(state.view, dict(shared), before.state.columns | state.columns)
            part = Part(before.source, before.counts + part.counts, before.quantiles + part.quantiles, state)
        found[key] = part
    return list(found.values())


def estimates(question: Question) -> frozenset[str]:
    """Which of the measures are estimates in this question."""
    return frozenset(q.id for part in parts(question) if part.state is not None for q in part.quantiles)
