"""Grafana dashboards as code: ``python -m deploy.dev.dashboards [--check]`` writes charts/reporting-dashboards/dashboards.

Names, formulas and units come from the catalogue of measures, so a dashboard says what the API and the pages say. Panels ask
the views that an analyst's user has. What Grafana fills in:

* ``$__timeFilter(column)`` and ``$__timeInterval(column)`` of the ClickHouse plugin (grafana-clickhouse-datasource),
* ``${datasource}``, ``${queue:singlequote}`` and their like, the variables at the head of a dashboard.

The tests run every query on the engine with these filled as the plugin's documentation says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from services.reporting.core.formulas import Formula, Rows, formulas

FOLDER: Final = Path(__file__).parents[2] / "charts" / "reporting-dashboards" / "dashboards"
LANGUAGES: Final = ("en", "fa")
PLUGIN: Final = "grafana-clickhouse-datasource"
Text = dict[str, str]

_UNITS: Final = {"share": "percentunit", "seconds": "s", "milliseconds": "ms"}
_WIDTH: Final = 24
_TABLE: Final = 1
_SERIES: Final = 0
"""The plugin's formats."""


@dataclass(frozen=True)
class Variable:
    """A filter at the head: values are chosen from ``sql``, and hold for views that have the ``column``."""

    id: str
    name: Text
    column: str
    sql: str


QUEUE: Final = Variable(
    "queue", {"en": "Queue", "fa": "صف"}, "queue", "SELECT DISTINCT queue FROM v_center_queues ORDER BY queue"
)
AGENT: Final = Variable("agent", {"en": "Agent", "fa": "کارشناس"}, "agent_id", "SELECT DISTINCT agent_id FROM v_center_agents ORDER BY agent_id")  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """Measures of one kind of rows: tiles with the whole span, lines over time, or a table by a column."""

    kind: Literal["tiles", "lines", "bars", "table"]
    title: Text
    measures: tuple[str, ...]
    by: str = ""
    by_name: Text | None = None
    height: int = 8
    width: int = _WIDTH


@dataclass(frozen=True)
class Dashboard:
    id: str
    title: Text
    variable: Variable
    panels: tuple[Panel, ...]


_QUEUE_COUNTS: Final = ("offered", "answered", "abandoned", "abandoned_short", "overflowed")
DASHBOARDS: Final = (
    Dashboard(
        "queues",
        {"en": "Queues", "fa": "صف‌ها"},
        QUEUE,
        (
            Panel("tiles", {"en": "The whole span", "fa": "کل بازه"}, ("offered", "answered", "abandoned", "service_level", "abandon_rate", "asa", "longest_wait"), height=5),
            Panel("bars", {"en": "Stays in queues", "fa": "ورودی صف‌ها"}, ("answered", "abandoned", "overflowed"), width=12),
            Panel("lines", {"en": "Service level", "fa": "سطح خدمت"}, ("service_level",), width=12),
            Panel("lines", {"en": "Waits of the answered", "fa": "انتظار پاسخ‌داده‌ها"}, ("asa", "wait_p50", "wait_p90", "wait_p95"), width=12),
            Panel("lines", {"en": "Handling", "fa": "رسیدگی"}, ("aht", "att", "acw"), width=12),
            Panel("table", {"en": "By queue", "fa": "به تفکیک صف"}, (*_QUEUE_COUNTS, "answered_within", "service_level", "abandon_rate", "asa", "wait_p90", "longest_wait"), "queue", QUEUE.name, 10),
        ),
    ),
    Dashboard(
        "agents",
        {"en": "Agents", "fa": "کارشناسان"},
        AGENT,
        (
            Panel("tiles", {"en": "The whole span", "fa": "کل بازه"}, ("logged_in_time", "available_time", "break_time", "occupancy", "utilisation"), height=5, width=12),
            Panel("tiles", {"en": "Conversations", "fa": "گفتگوها"}, ("handled", "aht", "acw", "transfer_rate"), height=5, width=12),
            Panel("bars", {"en": "Time in states", "fa": "زمان در حالت‌ها"}, ("talking_time", "held_time", "after_time", "handling_time", "idle_time", "break_time"), width=12),
            Panel("lines", {"en": "Occupancy", "fa": "درصد اشغال"}, ("occupancy", "utilisation"), width=12),
            Panel("table", {"en": "Time by agent", "fa": "زمان به تفکیک کارشناس"}, ("logged_in_time", "available_time", "break_time", "talking_time", "after_time", "idle_time", "occupancy"), "agent_id", AGENT.name, 10, 12),
            Panel("table", {"en": "Conversations by agent", "fa": "گفتگوها به تفکیک کارشناس"}, ("handled", "aht", "att", "average_hold", "acw", "transfer_rate"), "agent_id", AGENT.name, 10, 12),
            Panel("table", {"en": "Offers by agent", "fa": "پیشنهادها به تفکیک کارشناس"}, ("offers", "offers_accepted", "offers_missed", "non_response"), "agent_id", AGENT.name, 8),
        ),
    ),
    Dashboard(
        "quality",
        {"en": "Quality", "fa": "کیفیت"},
        QUEUE,
        (
            Panel("tiles", {"en": "Surveys", "fa": "نظرسنجی‌ها"}, ("csat", "csat_answers", "nps", "nps_answers"), height=5, width=12),
            Panel("tiles", {"en": "Voice", "fa": "صدا"}, ("mos_caller", "jitter_caller", "loss_caller"), height=5, width=12),
            Panel("lines", {"en": "Satisfaction", "fa": "رضایت"}, ("csat",), width=12),
            Panel("lines", {"en": "Voice as FreeSWITCH receives it from callers (MOS)", "fa": "صدای دریافتی از تماس‌گیرندگان (MOS)"}, ("mos_caller",), width=12),
            Panel("table", {"en": "Satisfaction by agent", "fa": "رضایت به تفکیک کارشناس"}, ("csat", "csat_answers", "nps", "nps_answers"), "agent_id", AGENT.name, 8, 12),
            Panel("table", {"en": "Evaluations by agent", "fa": "ارزیابی به تفکیک کارشناس"}, ("evaluation", "evaluated"), "agent_id", AGENT.name, 8, 12),
            Panel("table", {"en": "Voice by node", "fa": "صدا به تفکیک سرور"}, ("mos_caller", "jitter_caller", "loss_caller"), "node", {"en": "Node", "fa": "سرور"}, 8),
        ),
    ),
)  # fmt: skip

_FORMULAS: Final = {formula.id: formula for formula in formulas()}
_WITHOUT_QUEUE: Final = frozenset({"v_agent_15m", "v_evaluations"})
"""Views whose rows belong to no queue: a filter by queue says nothing about them."""


def query(panel: Panel, variable: Variable, language: str) -> str:
    """The panel's SQL with the plugin's macros."""
    asked = [_FORMULAS[name] for name in panel.measures]
    rows = _rows(panel, asked)
    conditions = [rows.where] if rows.where else []
    conditions.append(f"$__timeFilter({rows.at})")
    if not (variable is QUEUE and rows.view in _WITHOUT_QUEUE):
        conditions.append(f"has([${{{variable.id}:singlequote}}], {variable.column})")
    figures = [f'{formula.sql} AS "{formula.name[language]}"' for formula in asked]
    where = " AND ".join(conditions)
    if panel.kind == "tiles":
        return f"SELECT {', '.join(figures)} FROM {rows.view} WHERE {where}"
    if panel.kind == "table":
        assert panel.by_name is not None
        head = f'{panel.by} AS "{panel.by_name[language]}"'
        return f"SELECT {', '.join((head, *figures))} FROM {rows.view} WHERE {where} GROUP BY {panel.by} ORDER BY {panel.by}"
    head = f"$__timeInterval({rows.at}) AS time"
    return f"SELECT {', '.join((head, *figures))} FROM {rows.view} WHERE {where} GROUP BY time ORDER BY time"


def _rows(panel: Panel, asked: Sequence[Formula]) -> Rows:
    """Raises ValueError when the panel's measures cannot be asked in one query."""
    found = {formula.rows for formula in asked}
    if len(found) != 1 or not all(formula.plain for formula in asked):
        raise ValueError(f"{panel.title['en']}: expected measures of one kind of rows: {panel.measures}")
    return asked[0].rows[0]


def dashboard(what: Dashboard, language: str) -> dict[str, Any]:
    """Grafana's JSON of a dashboard."""
    panels: list[dict[str, Any]] = []
    x = y = row = 0
    for number, panel in enumerate(what.panels, start=1):
        if x + panel.width > _WIDTH:
            x, y, row = 0, y + row, 0
        panels.append(_panel(number, panel, what.variable, language, x, y))
        x, row = x + panel.width, max(row, panel.height)
    title = {"en": f"Peyvand: {what.title['en']}", "fa": f"پیوند: {what.title['fa']}"}
    return {
        "uid": f"peyvand-{what.id}-{language}",
        "title": title[language],
        "tags": ["peyvand", language],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "5m",
        "templating": {"list": [_datasource_variable(language), _variable(what.variable, language)]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _datasource_variable(language: str) -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": {"en": "Data source", "fa": "منبع داده"}[language],
        "type": "datasource",
        "query": PLUGIN,
        "refresh": 1,
    }


def _variable(variable: Variable, language: str) -> dict[str, Any]:
    return {
        "name": variable.id,
        "label": variable.name[language],
        "type": "query",
        "datasource": _SOURCE,
        "query": variable.sql,
        "definition": variable.sql,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


_SOURCE: Final = {"type": PLUGIN, "uid": "${datasource}"}


def _panel(number: int, panel: Panel, variable: Variable, language: str, x: int, y: int) -> dict[str, Any]:
    series = panel.kind in ("lines", "bars")
    words = [
        f"{_FORMULAS[name].name[language]}: {_FORMULAS[name].words[language]}" for name in panel.measures
    ]
    found: dict[str, Any] = {
        "id": number,
        "title": panel.title[language],
        "description": "\n\n".join(words),
        "type": {"tiles": "stat", "lines": "timeseries", "bars": "timeseries", "table": "table"}[panel.kind],
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": [
            {
                "refId": "A",
                "datasource": _SOURCE,
                "editorType": "sql",
                "queryType": "timeseries" if series else "table",
                "format": _SERIES if series else _TABLE,
                "rawSql": query(panel, variable, language),
            }
        ],
        "fieldConfig": {
            "defaults": {},
            "overrides": [_field(_FORMULAS[name], language) for name in panel.measures],
        },
    }
    if panel.kind == "bars":
        found["fieldConfig"]["defaults"] = {
            "custom": {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal"}}
        }
    if panel.kind == "tiles":
        found["options"] = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return found


def _field(formula: Formula, language: str) -> dict[str, Any]:
    properties = [{"id": "unit", "value": _UNITS.get(formula.unit, "short")}]
    properties.append({"id": "decimals", "value": _decimals(formula)})
    return {"matcher": {"id": "byName", "options": formula.name[language]}, "properties": properties}


def _decimals(formula: Formula) -> Any:
    return {"share": 1, "mos": 2, "seconds": 0, "milliseconds": 1}.get(formula.unit, 0)


def files() -> dict[str, str]:
    """The dashboards' files: name and text."""
    return {
        f"{what.id}.{language}.json": json.dumps(dashboard(what, language), ensure_ascii=False, indent=1)
        + "\n"
        for what in DASHBOARDS
        for language in LANGUAGES
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.dashboards")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    args = parser.parse_args(argv)
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}
    if wanted == there:
        return 0
    if args.check:
        different = sorted(n for n in wanted.keys() | there.keys() if wanted.get(n) != there.get(n))
        print(f"{', '.join(different)}: not what the catalogue says; run: make dashboards", file=sys.stderr)
        return 1
    for name in there.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
