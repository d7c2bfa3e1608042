"""The questions of services/reporting/examples: asked by an analyst's user, of rows that a person can count."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.dev import dashboards
from services.common.clickhouse.server import ServerStore
from services.reporting.core.formulas import formulas
from services.reporting.core.tables import day_of
from tests.analyst_fixtures import DATABASE, AnalystEngine

pytestmark = [pytest.mark.clickhouse, pytest.mark.timeout(400)]  # its engine begins anew in between

FOLDER = Path(__file__).parents[2] / "services/reporting/examples"
ASKED = {
    "from": "2026-03-01 00:00:00",
    "to": "2026-04-01 00:00:00",
    "zone": "Asia/Tehran",
    "contact": "c4",
}
OURS = "initech"
THEIRS = "globex"
"""Has the same rows; nothing of it may be in an answer."""


def at(text: str) -> datetime:
    """``02 06:00:00`` of March 2026, UTC."""
    return datetime.strptime(f"2026-03-{text}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def day(moment: datetime) -> Any:
    return day_of(round(moment.timestamp()) * 1_000_000)


def contact(id: str, started: str, outcome: str, wait: int = 0, **columns: Any) -> dict[str, Any]:
    began = at(started)
    return {
        "contact_id": id, "started_at": began, "day": day(began), "counted": True, "start": "ivr", "outcome": outcome,
        "wait_ms": wait * 1000, "queued": outcome in ("answered", "abandoned") and columns.get("start") != "outbound",
        "ani": "", "queue": "", "agent_id": "", "node": "", "mos_milli": 0, "disposition": "", "csat": None, "nps": None,
        "short_ms": 5000, "target_ms": 20000,
    } | columns  # fmt: skip


CONTACTS = [
    contact("c1", "02 06:00:00", "answered", 10, ani="100", queue="sales", agent_id="ali", node="fs1", mos_milli=4200, disposition="sold", csat=1.0),
    contact("c2", "02 06:05:00", "abandoned", 30, ani="200", queue="sales", node="fs2", mos_milli=3400),
    contact("c3", "02 06:20:00", "answered", 25, ani="200", queue="sales", agent_id="sara", node="fs1", mos_milli=4000),
    contact("c4", "02 07:00:00", "answered", 5, ani="300", queue="sales", agent_id="sara", disposition="fixed", csat=0.0),
    contact("c5", "03 05:31:00", "abandoned", 3, ani="300", queue="support"),
    contact("c6", "03 06:00:00", "hung_up", ani="400"),
    contact("c7", "03 07:30:00", "answered", 40, ani="500", queue="support", agent_id="sara", disposition="info", nps=1),
    contact("c8", "03 08:30:00", "answered", start="outbound", agent_id="ali"),
    contact("c9", "03 22:00:00", "abandoned", 70, ani="600", queue="support"),
]  # fmt: skip


def segment(contact: str, number: int, started: str, outcome: str, **columns: Any) -> dict[str, Any]:
    began = at(started)
    return {
        "contact_id": contact, "segment_no": number, "segment_id": f"{contact}-{number}", "next_segment_id": "", "day": day(began),
        "started_at": began, "kind": "agent" if "agent_id" in columns else "queue", "outcome": outcome, "queue": "", "agent_id": "",
        "team": {"ali": "red", "sara": "blue"}.get(columns.get("agent_id", ""), ""), "reason": "arrived",
        "wait_ms": 0, "talk_ms": 0, "hold_ms": 0, "wrap_up_ms": 0, "target_ms": 20000, "short_ms": 5000,
    } | {name: value * 1000 if name.endswith("_ms") else value for name, value in columns.items()}  # fmt: skip


SEGMENTS = [
    segment("c1", 1, "02 06:00:00", "answered", queue="sales", wait_ms=10, next_segment_id="c1-2"),
    segment("c1", 2, "02 06:00:10", "completed", queue="sales", agent_id="ali", talk_ms=120, hold_ms=20, wrap_up_ms=30),
    segment("c2", 1, "02 06:05:00", "abandoned", queue="sales", wait_ms=30),
    segment("c3", 1, "02 06:20:00", "answered", queue="sales", wait_ms=25, next_segment_id="c3-2"),
    segment("c3", 2, "02 06:20:25", "completed", queue="sales", agent_id="sara", talk_ms=60, wrap_up_ms=10),
    segment("c4", 1, "02 07:00:00", "answered", queue="support", wait_ms=5, next_segment_id="c4-2"),
    segment("c4", 2, "02 07:00:05", "transferred", queue="support", agent_id="ali", talk_ms=100, hold_ms=60, next_segment_id="c4-3"),
    segment("c4", 3, "02 07:01:45", "answered", queue="sales", reason="transfer", wait_ms=2, next_segment_id="c4-4"),
    segment("c4", 4, "02 07:01:47", "completed", queue="sales", reason="transfer", agent_id="sara", talk_ms=200, wrap_up_ms=40),
    segment("c5", 1, "03 05:31:00", "abandoned", queue="support", wait_ms=3),
    segment("c7", 1, "03 07:30:00", "answered", queue="support", wait_ms=40, next_segment_id="c7-2"),
    segment("c7", 2, "03 07:30:40", "completed", queue="support", agent_id="sara", talk_ms=200, wrap_up_ms=20),
    segment("c8", 1, "03 08:30:00", "completed", agent_id="ali", reason="outbound", talk_ms=50),
    segment("c9", 1, "03 22:00:00", "abandoned", queue="support", wait_ms=70),
]  # fmt: skip


def slot(queue: str, began: str, offered: int, waits: list[int], talk: int, after: int) -> str:
    """SQL of a row of queue_15m, for each of whose waits one was handled."""
    moment = at(began)
    state = f"arrayReduce('quantilesTDigestState(0.5, 0.9, 0.95)', CAST({[w * 1000 for w in waits]}, 'Array(Int64)'))"
    return (
        f"SELECT toDateTime('{moment:%Y-%m-%d %H:%M:%S}', 'UTC') AS at, toDate(at) AS day, '{queue}' AS queue, 'voice' AS channel,"
        f" {offered} AS offered, {len(waits)} AS answered, {len(waits)} AS handled, {talk * 1000} AS talk_ms,"
        f" {after * 1000} AS wrap_up_ms, {state} AS wait_state"
    )


SLOTS = [
    slot("sales", "02 06:00:00", 2, [10], 120, 30),
    slot("sales", "02 06:15:00", 1, [10], 60, 10),
    slot("support", "03 05:30:00", 1, [], 0, 0),
    slot("support", "03 07:30:00", 1, [40], 200, 20),
]


def agent_slot(agent: str, began: str, **minutes: int) -> dict[str, Any]:
    return {"agent_id": agent, "at": at(began), "day": day(at(began))} | {
        f"{name}_ms": value * 60_000 for name, value in minutes.items()
    }


def pause(agent: str, began: str, reason: str, minutes: int) -> dict[str, Any]:
    return {
        "agent_id": agent, "day": day(at(began)), "kind": "presence", "value": "break", "reason": reason, "started_at": at(began),
        "ms": minutes * 60_000,
    }  # fmt: skip


def offer(id: str, agent: str, outcome: str) -> dict[str, Any]:
    made = round(at("02 06:00:00").timestamp()) * 1_000_000
    return {
        "offer_id": id, "day": day(at("02 06:00:00")), "agent_id": (1, agent), "outcome": (1, outcome), "made_at_us": (1, made),
    }  # fmt: skip


def step(contact: str, number: int, node: str, result: str) -> dict[str, Any]:
    return {
        "contact_id": contact, "id": f"{contact}.{number}", "at": at("02 06:00:00"), "step_no": number, "flow": "main", "flow_version": 1,
        "flow_node": node, "kind": "menu", "result": result, "spent_ms": 1000, "entered_at": at("02 06:00:00"), "input": "",
    }  # fmt: skip


def person(agent: str, since: str, name: str, team: str) -> dict[str, Any]:
    return {"agent_id": agent, "valid_from": at(since), "name": {"fa": name, "en": agent}, "team": team}


ROWS: dict[str, list[dict[str, Any]]] = {
    "contact_records": CONTACTS,
    "segments": SEGMENTS,
    "agent_15m": [
        agent_slot("ali", "02 06:00:00", logged_in=45, talking=10, wrap_up=5, idle=15),
        agent_slot("ali", "02 06:15:00", logged_in=15, talking=5, wrap_up=0, idle=5),
        agent_slot("sara", "02 06:00:00", logged_in=120, talking=10, held=1, wrap_up=1, idle=36),
    ],
    "agent_intervals": [
        pause("ali", "02 08:00:00", "lunch", 30),
        pause("ali", "02 10:00:00", "", 4),
        pause("ali", "02 11:00:00", "", 6),
    ],
    "offers": [
        offer("o1", "ali", "no_answer"), offer("o2", "ali", "no_answer"), offer("o3", "sara", "busy"),
        offer("o4", "sara", "accepted"), offer("o5", "ali", "withdrawn"),
    ],
    "ivr_steps": [
        step("c1", 1, "hello", "done"), step("c1", 2, "menu", "digit:1"), step("c2", 1, "hello", "done"),
        step("c2", 2, "menu", "digit:1"), step("c6", 1, "hello", "done"), step("c6", 2, "menu", "hung_up"),
    ],
    "center_agents": [
        person("ali", "01 00:00:00", "علی", "red"),
        person("sara", "01 00:00:00", "سارا", "blue"),
        person("sara", "03 00:00:00", "سارا م.", "blue"),
    ],
    "center_revisions": [
        {
            "number": 7, "revision": "abc", "id": "r7", "at": at("02 05:00:00"), "based_on": "", "kind": "edited", "actor": "admin:reza",
            "reason": "Nowruz", "changes": [("queues.sales", "1", "2")], "changes_left_out": 3,
        }
    ],
}  # fmt: skip

ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "01_contacts_by_day": [
        (at("02 00:00:00").date(), 4, 3, 1),
        (at("03 00:00:00").date(), 3, 1, 1),
        (at("04 00:00:00").date(), 1, 0, 1),
    ],
    "02_service_level_by_queue": [("sales", 3, 1, 0, 2, 50.0), ("support", 2, 2, 1, 1, 33.3)],
    "03_arrivals_by_hour": [(1, 1.0), (9, 2.5), (10, 1.0), (11, 1.0)],
    "04_longest_waits": [
        ("c9", "support", "600", 70.0, "abandoned"),
        ("c7", "support", "500", 40.0, "answered"),
        ("c2", "sales", "200", 30.0, "abandoned"),
    ],
    "05_patience": [("under 5 s", 1, 1), ("5 to 20 s", 0, 2), ("20 to 60 s", 1, 2), ("a minute or more", 1, 0)],
    "06_lost_and_never_reached": [("300", "c5", "support"), ("600", "c9", "support")],
    "07_repeat_callers": [("200", 2, ["abandoned", "answered"]), ("300", 2, ["answered", "abandoned"])],
    "08_occupancy_by_agent": [("ali", 1.0, 50.0), ("sara", 2.0, 25.0)],
    "09_handle_time_by_agent": [("ali", 3, 63.3, 26.7, 10.0, 100.0), ("sara", 3, 153.3, 0.0, 23.3, 176.7)],
    "10_wait_quantiles": [("sales", 2, [10.0, 10.0, 10.0]), ("support", 1, [40.0, 40.0, 40.0])],
    "11_missed_offers": [("ali", "no_answer", 2), ("sara", "busy", 1)],
    "12_where_callers_leave_the_menu": [("main", "menu", 3, 1, 33.3)],
    "13_transfers": [("support", "ali", "sales", "", 1)],
    "14_dispositions": [
        ("", "(none)", 1),
        ("sales", "(none)", 1), ("sales", "fixed", 1), ("sales", "sold", 1),
        ("support", "info", 1),
    ],
    "15_satisfaction_by_agent": [("ali", 1, 100.0), ("sara", 1, 0.0)],
    "16_net_promoter_score": [("support", 1, 100.0)],
    "17_voice_quality": [("fs2", 1, 1, 3.4), ("fs1", 2, 0, 4.1)],
    "18_one_contacts_story": [
        (1, "queue", "support", "", "arrived", 5.0, "answered"),
        (2, "agent", "support", "ali", "arrived", 100.0, "transferred"),
        (3, "queue", "sales", "", "transfer", 2.0, "answered"),
        (4, "agent", "sales", "sara", "transfer", 200.0, "completed"),
    ],
    "19_breaks": [("ali", "(none)", 2, 10.0), ("ali", "lunch", 1, 30.0)],
    "20_by_team_with_names": [("blue", "سارا", 2), ("blue", "سارا م.", 1), ("red", "علی", 3)],
    "21_changes_of_the_center": [(7, at("02 05:00:00"), "admin:reza", "Nowruz", 4)],
    "22_forecast_input": [
        ("sales", 1, "09:30", 2, 150.0),
        ("sales", 1, "09:45", 1, 70.0),
        ("support", 2, "09:00", 1, None),
        ("support", 2, "11:00", 1, 220.0),
    ],
}  # fmt: skip


async def _fill(store: ServerStore, tenant: str) -> None:
    for table, rows in ROWS.items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        values = [[tenant, *(row.get(name, 0) for name in columns)] for row in rows]
        await store.insert(f"{DATABASE}.{table}", ["tenant", *columns], values, token=f"{tenant} {table}")
    for sql in SLOTS:
        await store.command(
            f"INSERT INTO {DATABASE}.queue_15m (tenant, at, day, queue, channel, offered, answered, handled, talk_ms, wrap_up_ms, wait_state)"
            f" SELECT '{tenant}', * FROM ({sql})"
        )


@pytest.fixture(scope="module")
def filled(analyst_engine: AnalystEngine) -> AnalystEngine:
    async def fill() -> None:
        async with analyst_engine.service() as store:
            for tenant in (OURS, THEIRS):
                await _fill(store, tenant)

    asyncio.run(fill())
    return analyst_engine


QUESTIONS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql"))}


@pytest.mark.parametrize("question", QUESTIONS)
async def test_the_answer_is_right(filled: AnalystEngine, question: str) -> None:
    sql = QUESTIONS[question]
    params = {name: value for name, value in ASKED.items() if f"{{{name}:" in sql}
    async with filled.analyst("both") as analyst:
        rows = await analyst.query(sql, params)
    assert [tuple(row.values()) for row in rows] == ANSWERS[question]


async def test_the_formulas_of_the_dictionary_can_be_asked(filled: AnalystEngine) -> None:
    asked = [formula for formula in formulas() if formula.plain]
    assert len(asked) > 40
    figures: dict[str, Any] = {}
    async with filled.analyst("both") as analyst:
        for formula in asked:
            (rows,) = formula.rows
            (row,) = await analyst.query(
                f"SELECT {formula.sql} AS figure FROM {rows.view} WHERE tenant = '{OURS}'"
                f" AND {rows.where or 1} AND {rows.at} >= '2026-01-01'"
            )
            figures[formula.id] = row["figure"]
    assert figures["answered"] == 5
    assert figures["abandoned"] == 3
    assert figures["service_level"] == 3 / (5 + 3 - 1)
    assert figures["asa"] == pytest.approx((10 + 25 + 5 + 2 + 40) / 5)
    assert figures["aht"] == pytest.approx((150 + 70 + 100 + 240 + 220 + 50) / 6)
    assert figures["offers_missed"] == 3


def _filled_in(sql: str, everybody: str) -> str:
    """The query as the ClickHouse plugin of Grafana sends it (its macros as its documentation has them), with all values chosen."""
    begin, end = (round(at(text).timestamp()) for text in ("01 00:00:00", "31 00:00:00"))
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= toDateTime({begin}) AND \1 <= toDateTime({end})", sql)
    sql = re.sub(
        r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 3600 second)", sql
    )
    sql = re.sub(r"\$\{\w+:singlequote\}", everybody, sql)
    assert "$" not in sql
    return sql


@pytest.mark.parametrize("what", dashboards.DASHBOARDS, ids=lambda what: what.id)
async def test_every_query_of_the_dashboards_is_answered_to_an_analyst(
    filled: AnalystEngine, what: dashboards.Dashboard
) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    async with filled.analyst("both") as analyst:
        await analyst.query(what.variable.sql)
        for language in dashboards.LANGUAGES:
            for panel in dashboards.dashboard(what, language)["panels"]:
                (target,) = panel["targets"]
                sql = _filled_in(target["rawSql"], "'sales', 'support', '', 'ali', 'sara'")
                rows = await analyst.query(sql)
                names = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
                assert not rows or names <= set(rows[0]), "units are given by names of columns"
                if panel["type"] == "stat":
                    assert len(rows) == 1
                found[f"{language} {panel['title']}"] = rows
    if what.id == "queues":
        (tiles,) = found["en The whole span"]
        assert (tiles["Offered"], tiles["Answered"], tiles["Service level"]) == (8, 5, 3 / 7)
        assert [(row["صف"], row["ورودی صف"]) for row in found["fa به تفکیک صف"]] == [
            ("sales", 4),
            ("support", 4),
        ]
        times = {
            (row["time"].day, row["time"].hour): row["Answered"]
            for row in found["en Stays in queues"]
            if row["Answered"]
        }
        assert times == {(2, 6): 2, (2, 7): 2, (3, 7): 1}
    if what.id == "agents":
        assert [(row["Agent"], row["Handled"]) for row in found["en Conversations by agent"]] == [
            ("ali", 3),
            ("sara", 3),
        ]


def test_dashboards_are_what_the_catalogue_says() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in dashboards.FOLDER.glob("*.json")}
    assert there == dashboards.files()
    made = [json.loads(text) for text in there.values()]
    assert len({one["uid"] for one in made}) == len(made)
    for one in made:
        boxes = [panel["gridPos"] for panel in one["panels"]]
        taken = {
            (x, y)
            for b in boxes
            for x in range(b["x"], b["x"] + b["w"])
            for y in range(b["y"], b["y"] + b["h"])
        }
        assert len(taken) == sum(b["w"] * b["h"] for b in boxes), "panels lie over each other"
        assert max(x for x, _ in taken) < 24


def test_measures_of_different_rows_are_no_panel() -> None:
    panel = dashboards.Panel("tiles", {"en": "Mixed", "fa": ""}, ("offered", "csat"))
    with pytest.raises(ValueError, match="Mixed"):
        dashboards.query(panel, dashboards.QUEUE, "en")


def test_every_question_stands_in_both_languages_and_in_the_list() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    paths = sorted(FOLDER.glob("*.sql"))
    assert len(paths) >= 20
    assert {path.stem for path in paths} == set(ANSWERS)
    for path in paths:
        english, persian, _ = path.read_text(encoding="utf-8").split("\n", 2)
        assert english.startswith("-- en: ")
        assert persian.startswith("-- fa: ")
        assert re.search("[آ-ی]", persian), path
        assert (
            f"| {english.removeprefix('-- en: ')} | {persian.removeprefix('-- fa: ')} | [{path.stem[3:].replace('_', ' ')}]({path.name}) |"
            in page
        )
