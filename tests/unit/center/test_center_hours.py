"""Which queues have closed at a moment, by the calendars of a document."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from services.center import load
from services.center.callback import Callback
from services.center.hours import closed_queues, is_open
from services.center.model import Closing, Farewell, Overflow

ROOT = Path(__file__).resolve().parents[3]


def at_us(moment: str) -> int:
    """A wall-clock time of Tehran, which is 3:30 ahead of UTC all year."""
    zone = dt.timezone(dt.timedelta(hours=3, minutes=30))
    return int(dt.datetime.fromisoformat(moment).replace(tzinfo=zone).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("moment", "is_now"),
    [
        ("2026-11-21T08:00", True),  # Saturday
        ("2026-11-21T19:59", True),
        ("2026-11-21T20:00", False),
        ("2026-11-21T07:59", False),
        ("2026-11-26T12:59", True),  # Thursday
        ("2026-11-26T13:00", False),
        ("2026-11-27T10:00", False),  # Friday
        ("2027-03-21T10:00", False),  # closed on that date
        ("2027-03-20T11:59", True),  # hours of its own
        ("2027-03-20T12:00", False),
    ],
)
def test_open_or_closed(moment: str, is_now: bool) -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    assert is_open(document, "office", at_us(moment)) is is_now


def test_days_of_every_year_and_the_emergency_switch() -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    always = document.calendars["always"].model_copy(
        update={
            "closed_yearly": ["12-25", "jalali 01-13"],
            "special": {dt.date(2029, 12, 25): ["10:00-12:00"]},
        }
    )
    document = document.model_copy(update={"calendars": {"always": always}})
    moments = {
        "2027-04-02T10:00": False,  # 13 Farvardin 1406
        "2028-04-01T10:00": False,  # 13 Farvardin 1407
        "2028-12-25T10:00": False,
        "2028-12-26T10:00": True,
        "2029-12-25T10:00": True,  # what is said of one day comes before what is said of every year
        "2029-12-25T13:00": False,
    }
    for moment, is_now in moments.items():
        assert is_open(document, "always", at_us(moment)) is is_now, moment
    alarm = always.model_copy(update={"emergency": True})
    document = document.model_copy(update={"calendars": {"always": alarm}})
    assert not is_open(document, "always", at_us("2028-12-26T10:00"))


def test_queues_with_a_closing_time_close_and_the_others_do_not() -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    closing = Closing(hours="office", then=Overflow(hangup=Farewell(prompt="closed")))
    unset = {"closing": None, "callback": None}
    queues = {name: queue.model_copy(update=unset) for name, queue in document.queues.items()}
    queues["sales"] = queues["sales"].model_copy(update={"closing": closing})
    document = document.model_copy(update={"queues": queues})
    assert closed_queues(document, at_us("2026-11-21T12:00")) == frozenset()
    assert closed_queues(document, at_us("2026-11-21T21:00")) == {"sales"}


def test_queues_that_call_nobody_back_out_of_hours() -> None:
    document = load(ROOT / "deploy" / "centers").centers[0]
    calls = Callback(hours="office")
    queues = {name: queue.model_copy(update={"callback": None}) for name, queue in document.queues.items()}
    queues["sales"] = queues["sales"].model_copy(update={"callback": calls})
    queues["billing"] = queues["billing"].model_copy(update={"callback": Callback()})
    document = document.model_copy(update={"queues": queues})
    assert closed_queues(document, at_us("2026-11-21T12:00")) == frozenset()
    assert closed_queues(document, at_us("2026-11-21T21:00")) == {"callback:sales"}
