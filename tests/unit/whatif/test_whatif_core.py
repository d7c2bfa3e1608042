"""What-if: patience from censored waits, changes and what is wrong with them, figures, the command."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.core.center import AgentRules, Center, QueueRules
from services.whatif.__main__ import main, span_of, strangers, table
from services.whatif.core.change import Change, ChangeError, busier, factors_of, staff_of, staffed
from services.whatif.core.day import Arrival, Day, Handled, Outcomes, Shift, Stay
from services.whatif.core.figures import Spread, figures_of, off_by
from services.whatif.core.survival import ENDLESS_MS, estimate

DEMO = Path(__file__).parents[3] / "deploy" / "centers" / "demo.yaml"
CENTER = Center(
    "r",
    {"sales": QueueRules(), "support": QueueRules()},
    {
        "a": AgentRules("1", ("sales",), {"fa": 3}),
        "b": AgentRules("2", ("sales", "support")),
        "c": AgentRules("3", ("support",)),
    },
)
HOUR_US = 3_600_000_000


def a_day(*arrivals: Arrival) -> Day:
    shifts = [Shift("a", "available", "", 0, 8 * HOUR_US), Shift("b", "available", "", 0, 4 * HOUR_US)]
    return Day(
        tenant="t",
        from_us=0,
        to_us=24 * HOUR_US,
        arrivals=arrivals,
        shifts=tuple(shifts),
        aways=(),
        rings_ms=(),
        misses={},
        breaks_ms=(),
        real=Outcomes(),
        left_out={},
    )


def test_the_curve_is_that_of_kaplan_and_meier() -> None:
    # Six callers: left at 1 and 3, answered at 2 and 5, left at 4 (twice as many days in the textbook, the same numbers).
    curve = estimate([(1000, True), (2000, False), (3000, True), (4000, True), (5000, False), (6000, False)])
    assert curve.times_ms == (1000, 3000, 4000)
    assert curve.shares == pytest.approx((5 / 6, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4 * 2 / 3))
    assert (curve.at(0), curve.at(999), curve.at(3500)) == (1.0, 1.0, pytest.approx(0.625))
    assert [curve.patience_ms(draw) for draw in (0.99, 0.7, 0.5)] == [1000, 3000, 4000]
    # Somebody who has waited four seconds is past the curve: the rate of leaving goes on, 3 of 21 seconds.
    assert curve.rate == pytest.approx(3 / 21_000)
    assert curve.patience_ms(0.5, 4000) == round(4000 + 0.6931471805599453 * 7000)


def test_where_nobody_left_everybody_waits_for_ever() -> None:
    assert estimate([(1000, False), (9000, False)]).patience_ms(0.01) == ENDLESS_MS
    assert estimate([]).patience_ms(0.01) == ENDLESS_MS


def test_patience_is_found_again_from_waits_that_mostly_ended_in_an_answer() -> None:
    chance = random.Random(1)
    waits = []
    for _ in range(20_000):
        patience, answered = chance.expovariate(1 / 120_000), chance.expovariate(1 / 40_000)
        waits.append((round(min(patience, answered)), patience < answered))
    curve = estimate(waits)
    # Of those who were answered nobody asked; the mean of leavers alone would be 30 s, not 120.
    assert curve.at(60_000) == pytest.approx(0.6065, abs=0.02)
    assert curve.at(120_000) == pytest.approx(0.3679, abs=0.03)


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.booleans()), max_size=40),
    st.floats(0, 1),
    st.integers(0, 10**7),
)
def test_patience_is_never_shorter_than_the_wait_so_far(
    waits: list[tuple[int, bool]], draw: float, waited_ms: int
) -> None:
    curve = estimate(waits)
    assert list(curve.shares) == sorted(curve.shares, reverse=True)
    assert waited_ms <= curve.patience_ms(draw, waited_ms) <= max(ENDLESS_MS, waited_ms)


def test_new_people_are_like_those_who_were_there_longest_and_the_shortest_there_go() -> None:
    day = a_day()
    center, shifts = staffed(CENTER, day, staff_of(["sales+3"], CENTER))
    assert [center.agents[f"extra-{n}"].skills for n in (1, 2, 3)] == [{"fa": 3}, {}, {"fa": 3}]
    assert [s.to_us for s in shifts if s.agent_id == "extra-2"] == [4 * HOUR_US]
    assert len({agent.extension for agent in center.agents.values()}) == 6
    center, shifts = staffed(CENTER, day, staff_of(["sales-1"], CENTER))
    assert set(center.agents) == {"a", "c"}
    assert {s.agent_id for s in shifts} == {"a"}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            ["sales"],
            "--staff sales: expected a queue and how many, such as sales[+]2; queues are sales, support",
        ),
        (["night+1"], "queues are sales, support"),
    ],
)
def test_a_change_that_cannot_be_understood_says_what_was_expected(texts: list[str], said: str) -> None:
    with pytest.raises(ChangeError, match=said):
        staff_of(texts, CENTER)


def test_a_change_that_cannot_be_made_says_why() -> None:
    with pytest.raises(ChangeError, match="only 2 of its agents were available"):
        staffed(CENTER, a_day(), {"sales": -3})
    with pytest.raises(ChangeError, match="nobody to be like"):
        staffed(CENTER, Day(**{**_fields(a_day()), "shifts": ()}), {"support": 1})
    with pytest.raises(ChangeError, match=r"--talk 0.9: expected a factor"):
        factors_of("--talk", ["0.9"], CENTER)


def _fields(day: Day) -> dict[str, object]:
    return {name: getattr(day, name) for name in day.__struct_fields__}


def test_more_or_fewer_callers_keep_the_shape_of_the_day() -> None:
    arrivals = [Arrival(contact_id=f"c{n}", at_us=n * 1_000_000, queue="sales") for n in range(1000)]
    chance = random.Random(1)
    draws = [chance.random() for _ in range(2000)]
    more = busier(arrivals, Change(calls={"": 1.5}), draws)
    fewer = busier(arrivals, Change(calls={"sales": 0.5}), draws)
    assert 1450 < len(more) < 1550
    assert 450 < len(fewer) < 550
    assert len({one.contact_id for one in more}) == len(more)
    assert busier(arrivals, Change(), draws) == arrivals
    assert all(
        0 <= one.at_us - int(one.contact_id[1:].split("+")[0]) * 1_000_000 <= 300_000_000 for one in more
    )


def test_figures_are_the_catalogues_and_each_stay_counts_against_its_own_queues_target() -> None:
    outcomes = Outcomes(
        stays=[
            Stay("1", "sales", 0, 15_000, "answered"),
            Stay("2", "support", 0, 15_000, "answered"),
            Stay("3", "sales", 0, 2_000, "abandoned"),
            Stay("4", "sales", 0, 50_000, "abandoned"),
            Stay("5", "sales", 0, 60_000, "overflowed"),
        ],
        handled=[Handled("1", "sales", "a", 0, 100_000, 20_000), Handled("2", "support", "b", 0, 200_000, 0)],
        times_ms={"available_ms": 1_000_000, "talking_ms": 300_000, "after_ms": 20_000},
    )
    found = figures_of(outcomes, {"sales": (20_000, 5_000), "support": (10_000, 5_000)})
    assert (found["offered"], found["answered"], found["abandoned"], found["overflowed"]) == (5, 2, 2, 1)
    assert found["service_level"] == pytest.approx(1 / 3)  # 1 in time of 2 answered and 1 abandoned after 5 s
    assert (found["asa"], found["aht"], found["occupancy"]) == (15.0, 160.0, pytest.approx(0.32))
    assert figures_of(outcomes, {}, "support")["service_level"] == 1.0


def test_a_replay_that_misses_the_day_is_said_to() -> None:
    def at(level: float, asa: float) -> dict[str, Spread | None]:
        return {"service_level": Spread(level, level, level), "asa": Spread(asa, asa, asa)}

    real = {"service_level": 0.80, "asa": 20.0, "occupancy": None}
    assert off_by(real, at(0.84, 23.5)) == []
    assert off_by(real, at(0.86, 25.0)) == [
        "Service level: 0.86 instead of 0.8",
        "Average speed of answer: 25 instead of 20",
    ]
    lines = table("", real, {"unchanged": at(0.84, 23.5), "changed": at(0.9, 10.0)})
    level = next(line for line in lines if line.startswith("Service level"))
    assert level.split() == ["Service", "level", "80.0", "%", "84.0", "%", "90.0", "%", "+6.0", "%"]


def test_a_day_is_the_centers_own_with_23_or_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    lengths = [
        (b - a) // HOUR_US
        for a, b in (span_of(date(2026, m, d), berlin) for m, d in ((3, 29), (10, 25), (11, 20)))
    ]
    assert lengths == [23, 25, 24]


def test_a_document_of_another_day_is_suspected() -> None:
    day = a_day(Arrival(contact_id="c", at_us=0, queue="night"))
    assert strangers(day, Center("r", {"night": QueueRules()}, CENTER.agents)) == []
    assert [line.split(":")[0] for line in strangers(day, Center("r", {}, {}))] == [
        "the document does not have 2 agents of the day (a, b)",
        "the document does not have 1 queues of the day (night)",
    ]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (["--tenant", "nobody", "--center", str(DEMO)], "expected a document of the tenant 'nobody'"),
        (["--tenant", "demo", "--center", "nowhere.yaml"], "nowhere.yaml"),
        (["--tenant", "demo", "--center", str(DEMO), "--staff", "x+1"], "--staff x+1: expected a queue"),
        (["--tenant", "demo", "--center", str(DEMO), "--seeds", "0"], "--seeds: expected 1 or more"),
    ],
)
def test_a_command_that_cannot_begin_says_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given_: list[str], said: str
) -> None:
    monkeypatch.setattr("services.common.log.setup", lambda *_, **__: None)  # it is the whole process's
    monkeypatch.setenv("PEYVAND_CLICKHOUSE_URL", "clickhouse://peyvand@127.0.0.1:1/peyvand")
    assert main([*given_, "--day", "2026-11-20"]) == 78
    assert said in capsys.readouterr().err
