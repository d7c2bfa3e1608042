"""Events that were not taken up when they came: their callers keep the place that they had."""

from __future__ import annotations

from services.common.esl import Event
from services.queue.adapters import switch
from services.queue.adapters.lag import MOST_MS, WINDOW_US, Lag
from services.queue.core import inputs

MS = 1_000
SKEW_MS = -7_200  # FreeSWITCH's machine is ahead of ours by so much.
T = 1_800_000_000_000_000


def seen(lag: Lag, at_ms: int, late_ms: int) -> int:
    """What is said of an event that is taken up at a time, so long after FreeSWITCH fired it."""
    fired_us = T + (at_ms - late_ms - SKEW_MS) * MS
    return lag.ms(Event.of({"Event-Date-Timestamp": str(fired_us)}), T + at_ms * MS)


def test_events_on_time_are_not_late_however_the_clocks_differ() -> None:
    lag = Lag()
    assert [seen(lag, at_ms, 3 + at_ms % 40) for at_ms in range(0, 120_000, 500)] == [0] * 240


def test_events_after_a_pause_are_late_by_the_time_they_lay() -> None:
    lag = Lag()
    seen(lag, 0, 5)
    assert [seen(lag, 5_000, late_ms) for late_ms in (4_505, 2_005, 405, 5)] == [4_500, 2_000, 400, 0]


def test_a_clock_that_was_set_is_no_delay() -> None:
    lag = Lag()
    seen(lag, 0, 5)
    assert seen(lag, 100, MOST_MS + 100) == 0
    assert seen(lag, 200, MOST_MS + 100) == 0
    assert seen(lag, 300, MOST_MS + 1_100) == 1_000


def test_a_smaller_step_of_the_clock_is_forgotten_after_a_minute() -> None:
    lag = Lag()
    seen(lag, 0, 5)
    assert seen(lag, 1_000, 3_005) == 3_000
    for at_ms in range(2_000, 2 * WINDOW_US // MS + 2_000, 1_000):
        seen(lag, at_ms, 3_005)
    assert seen(lag, 2 * WINDOW_US // MS + 3_000, 3_005) == 0


def test_an_event_without_a_time_is_not_late() -> None:
    assert Lag().ms(Event.of({}), T) == 0


def test_a_caller_has_waited_for_as_long_as_the_event_lay() -> None:
    event = Event.of(
        {
            "Event-Name": "CUSTOM",
            "Event-Subclass": switch.WAITING,
            "Unique-ID": "c1",
            "variable_cc_state": "waiting",
        }
    )
    parked = switch.to_input(event, T)
    assert isinstance(parked, inputs.LegParked)
    assert switch.parked_before(parked, 2_500).caller.waited_ms == 2_500
