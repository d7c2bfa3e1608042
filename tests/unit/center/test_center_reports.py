"""Scheduled reports in a center document: a name that the catalogue has not is told where it stands, when the document is applied.

What the check lets through, reporting can answer, and the other way round: both are asked here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev import measures
from services.center import CenterError, CenterWatch, load
from services.center.__main__ import main
from services.center.loader import read_document
from services.center.model import CenterDocument
from services.center.report_check import FILE, catalogue, faults
from services.center.store import CenterStore
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.reporting.app import tariffs_of
from services.reporting.core.kpi.calendars import Calendar, Span
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.question import Question, QuestionInvalid, checked
from services.reporting.core.kpi.sources import DIMENSIONS
from tests.unit.center.test_center_faults import GOOD
from tests.unit.center.test_center_store import Installation
from tests.unit.center.test_center_watch import write

REPORTS = """\
reports:
  scheduled:
    morning:
      name: {en: Morning}
      measures: [offered, service_level]
      by: [queue]
      every: day
      at: "07:30"
      to: [{email: boss@example.com}, {s3: daily}]
"""
RIGHT = GOOD + REPORTS
FIRST = GOOD.count("\n")
"""Lines before those of the reports."""
TYPO = RIGHT.replace("service_level", "servce_level")
TARIFFS = "tariffs: {currency: IRR, user_month: 1}\n"


def told(text: str) -> list[tuple[int, str, str]]:
    read = read_document(Path("acme.yaml"), text.encode())
    assert read.faults == ()
    return [
        (fault.line - FIRST, fault.path.removeprefix("reports.scheduled."), fault.message)
        for fault in read.report_faults
    ]


def test_a_right_report_has_no_faults() -> None:
    assert told(RIGHT) == []
    assert (
        told(
            RIGHT.replace("offered", "cost_total")
            .replace("by: [queue]", "by: []")
            .replace(", service_level", "")
            + TARIFFS
        )
        == []
    )


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "said"),
    [
        ("service_level", "servce_level", 5, "morning.measures.1", 'unknown measure "servce_level"; did you mean service_level'),
        ("service_level", "offered", 5, "morning.measures.1", 'measure "offered" is named twice'),
        ("service_level", "zzz", 5, "morning.measures.1", 'unknown measure "zzz"; GET /v1/reports/measures lists them'),
        ("[queue]", "[quue]", 6, "morning.by.0", 'unknown dimension "quue"; did you mean queue'),
        ("[queue]", "[queue, queue]", 6, "morning.by.1", 'dimension "queue" is named twice'),
        ("[queue]", "[team]", 6, "morning.by.0", 'measure "offered" cannot be told apart by "team"; expected one of channel,'),
        ("measures: [offered, service_level]\n      by: [queue]", "measures: [occupancy]\n      queues: [one]", 6, "morning.queues", 'measure "occupancy" cannot be told apart by "queue"'),
        ("[offered, service_level]", "[cost_total]", 5, "morning.measures.0", 'measure "cost_total" needs tariffs'),
    ],
)  # fmt: skip
def test_what_the_catalogue_has_not_is_told_with_its_line(
    before: str, after: str, line: int, path: str, said: str
) -> None:
    assert RIGHT.count(before) == 1
    found = told(RIGHT.replace(before, after))
    assert (line, path) in [(at, where) for at, where, _ in found]
    assert said in next(message for at, where, message in found if where == path)


def test_checking_a_file_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(TYPO)
    assert main(["check", str(file)]) == 1
    place = f"{file}:{FIRST + 5}: reports.scheduled.morning.measures.1: "
    assert f'{place}unknown measure "servce_level"' in capsys.readouterr().err
    file.write_text(RIGHT)
    assert main(["check", str(file)]) == 0


async def test_an_edit_with_one_is_refused() -> None:
    store = CenterStore(MemoryBus(MemoryBroker(), source="/test/1"), SystemClock())
    with pytest.raises(CenterError, match=rf"acme\.yaml:{FIRST + 5}: .*servce_level"):
        store.check("acme", TYPO.encode(), [])
    assert store.check("acme", RIGHT.encode(), []).center is not None


async def test_a_changed_file_with_one_is_refused_and_the_old_one_runs_on(tmp_path: Path) -> None:
    said: list[str] = []
    write(tmp_path / "acme.yaml", RIGHT)
    watch = CenterWatch(tmp_path, ready=lambda part, ok, detail: said.append(detail))
    before = watch.current.revision
    write(tmp_path / "acme.yaml", TYPO)
    assert not await watch.refresh()
    assert watch.current.revision == before
    assert "the files are refused: " in said[-1]
    assert f"acme.yaml:{FIRST + 5}: reports.scheduled.morning.measures.1: unknown measure" in said[-1]


def test_nobody_waits_for_calls_because_of_a_report(tmp_path: Path) -> None:
    """A process that starts runs the document all the same, as after an upgrade that took a measure away, and tells it."""
    said: list[tuple[bool, str]] = []
    (tmp_path / "acme.yaml").write_text(TYPO)
    watch = CenterWatch(tmp_path, ready=lambda part, ok, detail: said.append((ok, detail)))
    assert "morning" in watch.current.centers[0].reports.scheduled
    ((ok, detail),) = said
    assert ok
    assert "a scheduled report cannot be made: " in detail
    assert 'unknown measure "servce_level"' in detail
    with pytest.raises(CenterError):
        load(tmp_path, new=True)


async def test_a_stored_revision_with_one_runs_and_is_told(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    await installation.revise_unchecked(TYPO)
    async with installation.process() as process:
        assert process.watch.current.centers[0].reports.scheduled["morning"].measures[1] == "servce_level"
        assert process.watch.refused == ()
        ok, detail = process.said[-1]
        assert ok
        assert "a scheduled report cannot be made: acme.yaml:" in detail
    await installation.bus.stop()


def test_what_documents_know_of_the_catalogue_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert FILE.read_text(encoding="utf-8") == measures.text(), "run: make measures"
    assert measures.main(["--check"]) == 0
    assert list(catalogue().measures) == list(MEASURES)
    assert catalogue().all_dimensions == set(DIMENSIONS)


NAMES = [*MEASURES, "servce_level"]
PLACES = [*DIMENSIONS, "quue"]


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Measures and dimensions: some that belong together, maybe with a stranger among them."""
    kind = draw(st.sampled_from(sorted(catalogue().dimensions)))
    own = [name for name, kinds in catalogue().measures.items() if kind in kinds]
    names = draw(st.lists(st.sampled_from(own), min_size=1, max_size=4))
    by = draw(st.lists(st.sampled_from(catalogue().dimensions[kind] or PLACES), max_size=4))
    names += draw(st.lists(st.sampled_from(NAMES), max_size=1))
    return names, (by + draw(st.lists(st.sampled_from(PLACES), max_size=1)))[:4]


@given(asked(), st.sampled_from([None, "15m", "hour", "day", "week", "month"]), st.booleans(), st.booleans())
def test_the_check_agrees_with_who_answers(
    said: tuple[list[str], list[str]], interval: Any, queues: bool, tariffs: bool
) -> None:
    names, by = said
    report = {
        "name": {"en": "x"}, "measures": names, "by": by, "interval": interval, "queues": ["one"] if queues else [],
        "every": "month", "at": "07:30", "to": [{"folder": "x"}],
    }  # fmt: skip
    value = yaml.safe_load(GOOD) | {"reports": {"scheduled": {"x": report}}}
    if tariffs:
        value["tariffs"] = yaml.safe_load(TARIFFS)["tariffs"]
    document = CenterDocument.model_validate(value)
    begin = 1_790_000_000_000_000 // 900_000_000 * 900_000_000
    question = Question(
        tenant="acme", measures=tuple(names), by=tuple(by), interval=interval, span=Span(begin, begin + 31 * 86_400_000_000),
        calendar=Calendar("Asia/Tehran"), now_us=begin, filters={"queue": ("one",)} if queues else {},
        tariffs=None if document.tariffs is None else tariffs_of(document.tariffs),
    )  # fmt: skip
    refused = ""
    try:
        checked(question)
    except QuestionInvalid as e:
        refused = str(e)
    assert bool(list(faults(document))) == bool(refused), refused
