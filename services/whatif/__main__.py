"""Replay a day through the real routing core, as it was and changed, beside what really happened.

    python -m services.whatif --tenant demo --day 2026-11-20 --center deploy/centers/demo.yaml --staff sales+2
    python -m services.whatif … --changed changed.yaml                 other skills, rules, strategies, limits
    python -m services.whatif … --talk '*0.9' --wrap 'sales*0.5' --calls '*1.2'

``--center`` is the document that was in force on the day. PEYVAND_CLICKHOUSE_URL says where the day is. The table has the real figures, the unchanged
replay (how well the model knows this day) and the changed one, each as a mean over the seeds with its least and greatest.
Ends with 0, with 2 when the unchanged replay is too far from the real day to be believed, 64 and above when it could not begin.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field

from services.center import Center as Document
from services.center import loader
from services.common import config, log
from services.common.clickhouse import StoreRefused, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable
from services.reporting.config import ReportingSettings
from services.reporting.core.kpi.measures import MEASURES
from services.routing.adapters.centers import center_of
from services.routing.core.center import Center
from services.whatif.core.change import Change, ChangeError, factors_of, staff_of
from services.whatif.core.day import Day
from services.whatif.core.figures import (
    OF_QUEUES,
    SHOWN,
    Figures,
    Spread,
    Targets,
    figures_of,
    off_by,
    spread_of,
)
from services.whatif.reading import day_of
from services.whatif.replay import Replay

Columns = Mapping[str, Mapping[str, Spread | None]]


class WhatIfSettings(ReportingSettings):
    """Those of reporting; a tool signs and checks no tokens."""

    auth_secret: str = Field("", description="Not used.", repr=False)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.whatif",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join((__doc__ or "").splitlines()[2:]),
    )
    parser.add_argument("--tenant", required=True)
    parser.add_argument(
        "--day", required=True, type=date.fromisoformat, help="such as 2026-11-20, of the center's time zone"
    )
    parser.add_argument("--center", required=True, type=Path, help="the center document of the day")
    parser.add_argument("--changed", type=Path, help="the center document as it would be")
    for name, words in (
        ("staff", "people of a queue: sales+2 or sales-1"),
        ("talk", "length of conversations: *0.9 or sales*0.9"),
        ("wrap", "after-call work, likewise"),
        ("calls", "number of callers, likewise"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], help=f"{words}; may be given again")
    parser.add_argument("--seeds", type=int, default=5, help="replays of each kind (default: 5)")
    parser.add_argument("--by-queue", action="store_true", help="a table for every queue, too")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args(argv)


def document_of(path: Path, tenant: str) -> Document:
    """A tenant's center document. Raises ConfigError (CenterError with every fault of the file)."""
    found = loader.load(path).tenant(tenant)
    if found is None:
        raise ConfigError(f"{path}: expected a document of the tenant {tenant!r}")
    return found


def span_of(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """A local day in microseconds since the epoch; 23 or 25 hours when clocks are set."""
    begin, end = (datetime.combine(d, time(), zone) for d in (day, day + timedelta(days=1)))
    return int(begin.timestamp()) * 1_000_000, int(end.timestamp()) * 1_000_000


def replays(
    day: Day, document: Document, change: Change, seeds: int, targets: Targets
) -> dict[str, list[Figures]]:
    """The figures of each replay: of all (``''``) and by queue. Raises ChangeError."""
    center = center_of(document)
    found: dict[str, list[Figures]] = {}
    for seed in range(1, seeds + 1):
        outcomes = Replay(day, center, change, seed=seed).run().outcomes
        for queue in ("", *center.queues):
            found.setdefault(queue, []).append(figures_of(outcomes, targets, queue))
    return found


async def _run(given: argparse.Namespace, url: StoreUrl) -> int:
    before = document_of(given.center, given.tenant)
    after = document_of(given.changed, given.tenant) if given.changed else before
    center = center_of(after)
    change = Change(
        staff=staff_of(given.staff, center),
        talk=factors_of("--talk", given.talk, center),
        wrap_up=factors_of("--wrap", given.wrap, center),
        calls=factors_of("--calls", given.calls, center),
    )
    if given.seeds < 1:
        raise ConfigError(f"--seeds: expected 1 or more, found {given.seeds}")
    store = ServerStore(url, threads=1)
    try:
        day, targets = await day_of(store, given.tenant, *span_of(given.day, ZoneInfo(before.timezone)))
    finally:
        await store.stop()
    gc.disable()  # a replay makes no cycles
    unchanged = replays(day, before, Change(), given.seeds, targets)
    asked = bool(given.changed or change != Change())
    targets_after = {
        name: (queue.service_level_s * 1000, queue.short_abandon_s * 1000)
        for name, queue in after.queues.items()
    }
    changed = replays(day, after, change, given.seeds, targets | targets_after) if asked else {}
    tables: dict[str, tuple[Figures, Columns]] = {}
    for queue in sorted({*unchanged, *changed}):
        columns = {"unchanged": spread_of(unchanged.get(queue, []))}
        if asked:
            columns["changed"] = spread_of(changed.get(queue, []))
        tables[queue] = (figures_of(day.real, targets, queue), columns)
    wrong = off_by(tables[""][0], tables[""][1]["unchanged"])
    for queue, (real, shown) in tables.items():
        if not queue or given.by_queue:
            print(*table(queue, real, shown), sep="\n")
    for why, number in day.left_out.items():
        print(f"left out: {number} {why}")
    for line in strangers(day, center_of(before)):
        print(line)
    if wrong:
        print(f"the model does not know this day well: {'; '.join(wrong)}")
    if given.json is not None:
        given.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(_told(given, tables, day, wrong)), indent=1)
        )
    return 2 if wrong else 0


def strangers(day: Day, center: Center) -> list[str]:
    """Lines about agents and queues of the day that the document does not have: then it is hardly that day's."""
    known = {
        "agents": sorted({shift.agent_id for shift in day.shifts} - set(center.agents)),
        "queues": sorted({arrival.queue for arrival in day.arrivals} - set(center.queues)),
    }
    return [
        f"the document does not have {len(names)} {what} of the day ({', '.join(names[:5])}{' …' if len(names) > 5 else ''}): "
        "is it the one that was in force?"
        for what, names in known.items()
        if names
    ]


def _told(given: argparse.Namespace, tables: Mapping[str, Any], day: Day, wrong: list[str]) -> dict[str, Any]:
    return {
        "tenant": given.tenant,
        "day": given.day.isoformat(),
        "seeds": given.seeds,
        "callers": len(day.arrivals),
        "left_out": day.left_out,
        "model_is_off_by": wrong,
        "queues": {queue or "*": {"real": real, **columns} for queue, (real, columns) in tables.items()},
    }


def table(queue: str, real: Figures, columns: Columns) -> list[str]:
    """The figures as lines: real, and for each replay mean and (least to greatest); the change against the unchanged replay."""
    heads = ["real", *columns] + (["difference"] if "changed" in columns else [])
    lines = [f"{queue or 'all queues':26}" + "".join(f"{head:>30}" for head in heads)]
    for name in OF_QUEUES if queue else SHOWN:
        cells = [_figure(name, real.get(name))]
        spreads = [columns[column].get(name) for column in columns]
        for spread in spreads:
            text = "-"
            if spread is not None:
                span = (
                    f" ({_figure(name, spread.least)} to {_figure(name, spread.most)})"
                    if spread.least != spread.most
                    else ""
                )
                text = _figure(name, spread.mean) + span
            cells.append(text)
        if "changed" in columns:
            old, new = spreads[0], spreads[-1]
            cells.append(
                _figure(name, new.mean - old.mean, signed=True)
                if old is not None and new is not None
                else "-"
            )
        lines.append(f"{MEASURES[name].name['en']:26}" + "".join(f"{cell:>30}" for cell in cells))
    return [*lines, ""]


def _figure(name: str, figure: float | None, *, signed: bool = False) -> str:
    if figure is None:
        return "-"
    sign = "+" if signed else ""
    if MEASURES[name].unit == "share":
        return f"{100 * figure:{sign}.1f} %"
    if MEASURES[name].unit == "seconds":
        return f"{figure:{sign}.1f} s"
    return f"{figure:{sign}.0f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Replay and return the exit code."""
    given = arguments(argv)
    try:
        settings = config.load(WhatIfSettings)
        log.setup("whatif", settings.instance, fmt=settings.log_format, level="warning")
        return asyncio.run(_run(given, StoreUrl.parse(settings.clickhouse_url)))
    except (ConfigError, ChangeError) as e:
        sys.stderr.write(f"whatif: {e}\n")
        return 78
    except (StoreUnavailable, StoreRefused) as e:
        sys.stderr.write(f"whatif: {e}\n")
        return 69


if __name__ == "__main__":
    sys.exit(main())
