"""Stationary queues through routing's core agree with exact theory; ``stationary`` says how this is judged."""

from __future__ import annotations

import msgspec
import pytest

from tests.sim.stationary import CASES, SHORT, Case, Table, compare, exact, replicate

REPLICATIONS = 20


@pytest.fixture(scope="module")
def runs() -> dict[str, list[dict[str, float]]]:
    return {case.name: [replicate(case, seed) for seed in case.seeds(REPLICATIONS)] for case in SHORT}


@pytest.fixture(scope="module")
def table(runs: dict[str, list[dict[str, float]]]) -> Table:
    return compare(SHORT, runs)


def test_waits_agree_with_theory(table: Table) -> None:
    assert [(one.case.name, one.name) for one in table.figures if not one.agrees] == []
    assert table.misses <= table.misses_allowed
    assert table.holds


def test_the_figures_are_sharp_enough_to_disagree(
    table: Table, runs: dict[str, list[dict[str, float]]]
) -> None:
    """Against the theory of one agent more, or of talks that are a tenth longer, the very same runs fail."""
    assert table.misled == []
    for change in ({"agents": 1}, {"talk_s": 18}):
        other = tuple(
            msgspec.structs.replace(case, **{name: getattr(case, name) + by for name, by in change.items()})
            for case in SHORT
        )
        assert not compare(other, runs).holds


def test_all_figures_are_compared(table: Table) -> None:
    assert [(one.case.name, one.name) for one in table.figures] == [
        (case.name, name) for case in SHORT for name in exact(case)
    ]


@pytest.mark.parametrize("case", [*CASES, *SHORT], ids=lambda case: case.name)
def test_the_warm_up_is_long_enough(case: Case) -> None:
    assert case.warm_h * 3600 >= 6 * case.relaxation_s
