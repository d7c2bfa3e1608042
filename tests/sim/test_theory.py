"""The exact formulas against values that others have published or computed."""

from __future__ import annotations

import pytest

from tests.sim.theory import erlang_b, erlang_c, student, with_patience, with_priority, with_waiting


@pytest.mark.parametrize(
    ("load", "agents", "blocked"),
    [(10, 10, 0.214582), (10, 15, 0.036497), (20, 30, 0.008457), (100, 100, 0.075700), (100, 117, 0.009790)],
)
def test_erlang_b(load: float, agents: int, blocked: float) -> None:
    """Tables of Erlang B."""
    assert erlang_b(load, agents) == pytest.approx(blocked, abs=5e-7)


@pytest.mark.parametrize(
    ("load", "agents", "waited", "in_time"),
    [
        (10, 14, 0.174132, 0.888350),  # the same from pyworkforce 0.5.1
        (300, 309, None, 0.817301),  # the same from pyworkforce 0.5.1
        (10, 11, 0.682118, 0.389614),
        (50, 53, 0.578101, 0.585772),
        (100, 110, 0.237008, 0.921979),
        (500, 515, 0.393921, 0.925598),
    ],
)
def test_erlang_c(load: float, agents: int, waited: float | None, in_time: float) -> None:
    found = with_waiting(load * 20, 180, agents)
    assert found.in_time == pytest.approx(in_time, abs=1e-6)
    assert waited is None or found.waited == pytest.approx(waited, abs=1e-6)


def test_erlang_c_of_textbooks() -> None:
    """Tables of Erlang C; Bronson, Operations Research, 23.3, 23.16 and 24.6; the Erlang C test of A. Herzog's simulator."""
    assert erlang_c(3.87, 8) == pytest.approx(0.05, abs=5e-4)
    assert erlang_c(4.08, 10) == pytest.approx(0.01, abs=5e-4)
    assert with_waiting(60, 45, 1).mean_wait_s == pytest.approx(2.25 * 60)
    hours_a_year = 8760
    year = with_waiting(300 / hours_a_year, 3600 * hours_a_year / 182.5, 3)
    assert year.mean_wait_s / 3600 / hours_a_year == pytest.approx(0.001175, abs=1e-6)
    assert with_waiting(210, 180, 13).mean_wait_s == pytest.approx(26.56, abs=0.01)


@pytest.mark.parametrize(
    ("load", "agents", "ratio", "waited", "abandoned", "mean_wait_s", "in_time", "occupancy"),
    [
        (10, 10, 1, 0.542070, 0.125110, 22.5198, 0.586980, 0.87489),
        (10, 12, 0.5, 0.263222, 0.067622, 6.0859, 0.841035, 0.77698),
        (50, 50, 1, 0.518808, 0.056325, 10.1385, 0.750911, 0.94367),
        (50, 48, 2, 0.726938, 0.068220, 24.5592, 0.497742, 0.97060),
        (100, 95, 0.5, 0.596545, 0.076588, 6.8930, 0.831592, 0.97201),
        (500, 480, 2, 0.913907, 0.042132, 15.1674, 0.649304, 0.99778),
    ],
)
def test_erlang_a(
    load: float,
    agents: int,
    ratio: float,
    waited: float,
    abandoned: float,
    mean_wait_s: float,
    in_time: float,
    occupancy: float,
) -> None:
    """A grid from an independent program, one point of it confirmed by a simulation of 2.4 million calls."""
    found = with_patience(load * 20, 180, 180 * ratio, agents)
    assert found.waited == pytest.approx(waited, abs=1e-6)
    assert found.abandoned == pytest.approx(abandoned, abs=1e-6)
    assert found.mean_wait_s == pytest.approx(mean_wait_s, abs=1e-4)
    assert found.in_time == pytest.approx(in_time, abs=1e-6)
    assert found.occupancy == pytest.approx(occupancy, abs=1e-5)


def test_erlang_a_of_others() -> None:
    """A. Herzog's simulator (mean waits), and a table of Mandelbaum and Zeltyn (48 calls a minute, 50 agents, patience 2 min)."""
    assert with_patience(210, 180, 300, 13).mean_wait_s == pytest.approx(9.91, abs=0.01)
    assert with_patience(210, 180, 300, 9).mean_wait_s == pytest.approx(56.62, abs=0.01)
    impatient = with_patience(48 * 60, 60, 120, 50)
    assert (impatient.abandoned, impatient.mean_wait_s, impatient.occupancy) == (
        pytest.approx(0.031, abs=5e-4),
        pytest.approx(3.7, abs=0.05),
        pytest.approx(0.93, abs=5e-3),
    )


def test_endless_patience_is_erlang_c() -> None:
    found, known = with_patience(450, 180, 1e9, 28), with_waiting(450, 180, 28)
    assert found.waited == pytest.approx(known.waited, rel=1e-5)
    assert found.mean_wait_s == pytest.approx(known.mean_wait_s, rel=1e-5)
    assert found.in_time == pytest.approx(known.in_time, rel=1e-5)


def test_priority_keeps_the_mean_wait_of_all() -> None:
    """The law of conservation: who goes first decides who waits and not how long all wait; one agent is Cobham's formula."""
    first_s, second_s = with_priority((100, 250), 180, 20)
    assert (100 * first_s + 250 * second_s) / 350 == pytest.approx(with_waiting(350, 180, 20).mean_wait_s)
    # Cobham 1954 for M/M/1: W1 = rho / mu / (1 - rho1).
    assert with_priority((12, 36), 60, 1)[0] == pytest.approx(0.8 * 60 / (1 - 0.2))


@pytest.mark.parametrize(
    ("confidence", "freedom", "quantile"),
    [(0.95, 19, 2.0930), (0.99, 19, 2.8609), (0.999, 19, 3.8834), (0.95, 29, 2.0452), (0.9, 9, 1.8331)],
)
def test_student(confidence: float, freedom: int, quantile: float) -> None:
    """Tables of Student's distribution."""
    assert student(confidence, freedom) == pytest.approx(quantile, abs=2e-4)
