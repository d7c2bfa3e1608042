"""The figures of a day, real or simulated, by the same counts and the formulas of reporting's catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import quantiles

import msgspec

from services.reporting.core.kpi.answer import value
from services.reporting.core.kpi.measures import MEASURES
from services.whatif.core.day import Handled, Outcomes, Stay

SHOWN = (
    *("offered", "answered", "abandoned", "overflowed", "service_level", "abandon_rate"),
    *("asa", "wait_p90", "longest_wait", "abandon_time", "aht", "acw", "occupancy"),
)
"""Measures of the catalogue in the order of the table."""
OF_QUEUES = tuple(name for name in SHOWN if name != "occupancy")

Targets = Mapping[str, tuple[int, int]]
"""By queue: T and S of the service level, milliseconds."""
UNKNOWN = (20_000, 5_000)

Figures = dict[str, float | int | None]


def counts_of(stays: Iterable[Stay], handled: Iterable[Handled], targets: Targets) -> dict[str, float]:
    """The counts of the catalogue (``services/reporting/core/kpi/counts.py`` has them in SQL) over these rows."""
    found: dict[str, float] = dict.fromkeys(
        (
            *("offered", "answered", "answered_within", "abandoned", "abandoned_within", "abandoned_short"),
            *("overflowed", "transferred_out", "other_ended", "still_open"),
            *(
                "wait_answered_ms",
                "wait_abandoned_ms",
                "wait_max_ms",
                "handled",
                "talk_ms",
                "hold_ms",
                "acw_ms",
            ),
        ),
        0,
    )
    answered: list[int] = []
    for stay in stays:
        target_ms, short_ms = targets.get(stay.queue, UNKNOWN)
        within = stay.wait_ms <= target_ms
        found["offered"] += 1
        found["wait_max_ms"] = max(found["wait_max_ms"], stay.wait_ms)
        if stay.outcome == "answered":
            found["answered"] += 1
            found["answered_within"] += within
            found["wait_answered_ms"] += stay.wait_ms
            answered.append(stay.wait_ms)
        elif stay.outcome == "abandoned":
            found["abandoned"] += 1
            found["abandoned_within"] += within
            found["abandoned_short"] += stay.wait_ms < short_ms
            found["wait_abandoned_ms"] += stay.wait_ms
        else:
            kinds = {"overflowed": "overflowed", "transferred": "transferred_out", "open": "still_open"}
            found[kinds.get(stay.outcome, "other_ended")] += 1
    for one in handled:
        found["handled"] += 1
        found["talk_ms"] += one.talk_ms
        found["acw_ms"] += one.wrap_up_ms
    if len(answered) > 1:
        found["wait_p90"] = quantiles(answered, n=10, method="inclusive")[8]
    elif answered:
        found["wait_p90"] = answered[0]
    return found


def figures_of(outcomes: Outcomes, targets: Targets, queue: str = "") -> Figures:
    """The measures of a day, of one queue or of all with the agents' times."""
    stays = [one for one in outcomes.stays if queue in ("", one.queue)]
    handled = [one for one in outcomes.handled if queue in ("", one.queue)]
    numbers: dict[str, float] = counts_of(stays, handled, targets)
    if not queue:
        numbers |= outcomes.times_ms
    return {name: value(MEASURES[name], numbers) for name in (OF_QUEUES if queue else SHOWN)}


class Spread(msgspec.Struct, frozen=True):
    """A figure over several seeds: its mean, and the least and greatest of them."""

    mean: float
    least: float
    most: float


def spread_of(runs: Iterable[Figures]) -> dict[str, Spread | None]:
    """Each figure over all runs; None where none of them has it."""
    by_name: dict[str, list[float]] = {}
    for run in runs:
        for name, figure in run.items():
            of_name = by_name.setdefault(name, [])
            if figure is not None:
                of_name.append(figure)
    return {
        name: Spread(sum(values) / len(values), min(values), max(values)) if values else None
        for name, values in by_name.items()
    }


def off_by(real: Figures, replayed: Mapping[str, Spread | None]) -> list[str]:
    """In which of the main figures the unchanged replay misses the real day by more than the model may.

    Service level and abandon rate: 5 points. ASA: a fifth, or 2 s. Occupancy: 5 points.
    """
    wrong = []
    for name, points in (("service_level", 0.05), ("abandon_rate", 0.05), ("occupancy", 0.05), ("asa", 2.0)):
        said, found = real.get(name), replayed.get(name)
        if said is None or found is None:
            continue
        allowed = max(points, 0.2 * said) if name == "asa" else points
        if abs(found.mean - said) > allowed:
            wrong.append(f"{MEASURES[name].name['en']}: {found.mean:.3g} instead of {said:.3g}")
    return wrong
