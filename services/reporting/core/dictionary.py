"""The dictionary for analysts: what the database says of itself, as a page.

Theory of operation
-------------------
The migrations are the only source: a shell applies them to an empty engine, reads ``system.tables`` and
``system.columns`` and hands the rows over. Columns of tables carry a COMMENT in the DDL. ClickHouse keeps none for what a
view's SELECT makes of them, so a view's column takes, in this order: the comment that the view has itself, the one of the
same column of what the view reads (followed down to tables), and the words of ``WORDS`` for what a view computes. A
column without any is a defect that ``undocumented`` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from services.reporting.core.formulas import Formula, Rows
from services.reporting.core.kpi.model import DIGEST_RANK_ERROR

_STATE_PAIR: Final = re.compile(r"SimpleAggregateFunction\(max, Tuple\(UInt64, (.*)\)\)$")
_TTL: Final = re.compile(r"\bTTL (.+?)(?= SETTINGS\b|$)", re.DOTALL)

VIEWS: Final[dict[str, str]] = {
    "v_agent_15m": "Agents by 15 minutes: time in each presence and activity, conversations, offers",
    "v_agent_activity": "Intervals of an agent's presence (what the person says) and activity (what the system sees), straight from the facts",
    "v_agent_day": "Agents by UTC day: time in each presence and activity, conversations, offers",
    "v_agent_intervals": "Intervals of agents' presence and activity with the team they belonged to, a row each",
    "v_center_agents": "Names, teams, skills and queues of agents, and from when on they were so",
    "v_center_queues": "Names and targets of queues, and from when on they were so",
    "v_center_revisions": "Revisions of the center document: who changed what, when and why",
    "v_contacts": "Contacts, a row each: the first table to look at",
    "v_evaluations": "What supervisors thought of conversations, a row each question",
    "v_facts": "Every fact as it was written to the log: who wants to know exactly",
    "v_flow_nodes": "Nodes of flows by UTC day: how many callers came, and how many hung up there",
    "v_ivr_steps": "Steps of callers through flows",
    "v_legs": "Channels of FreeSWITCH (call detail records), a row each",
    "v_offers": "Offers of a contact to an agent, a row each, with the end of each",
    "v_queue_15m": "Queues by 15 minutes: counts, sums and mergeable quantiles",
    "v_queue_day": "Queues by UTC day: counts, sums and quantiles",
    "v_recordings": "Recordings, a row each",
    "v_report_deliveries": "Scheduled reports: every attempt to send one, and how it ended",
    "v_segments": "Segments: each stretch of a contact in a queue or with an agent, linked to the one before and after",
    "v_survey_answers": "Answers of surveys, a row each",
    "v_surveys": "Surveys after conversations, a row each",
}
"""What a view shows, where its DDL has no COMMENT."""

WORDS: Final[dict[str, str]] = {
    "v_agent_activity.duration_ms": "How long it lasted; 0 while it goes on",
    "v_agent_activity.ended_at": "When it ended; NULL while it goes on",
    "v_agent_activity.started_at": "When it began",
    "v_agent_day.day": "UTC day",
    "v_agent_day.handled": "Conversations that began on that day",
    "v_agent_day.offers": "Offers made to the agent on that day",
    "v_agent_day.team": "Team at the day's end",
    "v_flow_nodes.contacts": "Different contacts that came to the node",
    "v_flow_nodes.day": "UTC day",
    "v_flow_nodes.left_after_ms": "Time in the node of those who hung up there, summed",
    "v_flow_nodes.left_count": "Visits in which the caller hung up there",
    "v_flow_nodes.total_ms": "Time in the node, summed over all visits",
    "v_flow_nodes.unanswered_count": "Visits that ended with no key or a wrong one",
    "v_flow_nodes.visits": "How often callers came to the node",
    "v_queue_day.day": "UTC day",
    "v_queue_day.handled": "Conversations for the queue that began on that day",
    "v_queue_day.offered": "Stays in the queue that began on that day",
    "v_queue_day.talk_quantiles_ms": "Median, 90 % and 95 % of the talks of the handled (estimated by a t-digest)",
    "v_queue_day.wait_quantiles_ms": "Median, 90 % and 95 % of the waits of the answered (estimated by a t-digest)",
    "v_ivr_steps.left_here": "1 when the caller hung up in this step",
}
"""Comments of what a view computes, by ``view.column``."""

Kind = Literal["table", "view"]


class Column(msgspec.Struct, frozen=True):
    """A column; ``type`` as ClickHouse writes it."""

    name: str
    type: str
    comment: str


class Relation(msgspec.Struct, frozen=True):
    """A table or view. ``reads`` names what a view selects from; of tables: engine, partition, order and retention."""

    name: str
    kind: Kind
    comment: str
    columns: tuple[Column, ...]
    reads: tuple[str, ...] = ()
    engine: str = ""
    partition: str = ""
    order: str = ""
    retention: str = ""


def relations(
    tables: Iterable[Mapping[str, Any]], columns: Iterable[Mapping[str, Any]], database: str
) -> list[Relation]:
    """Read ``system.tables`` (name, engine, comment, partition_key, sorting_key, create_table_query) and
    ``system.columns`` (table, name, type, comment), both in their order. Materialised views, which nobody reads, are left out."""
    by_table: dict[str, list[Column]] = {}
    for row in columns:
        by_table.setdefault(row["table"], []).append(Column(row["name"], row["type"], row["comment"]))
    own = re.compile(rf"\b(?:FROM|JOIN)\s+`?{re.escape(database)}`?\.`?(\w+)`?", re.IGNORECASE)
    found = []
    for row in tables:
        name, text = row["name"], row["create_table_query"]
        mine = tuple(by_table.get(name, ()))
        if row["engine"] == "MaterializedView":
            continue
        if row["engine"] == "View":
            reads = tuple(dict.fromkeys(own.findall(text)))
            found.append(Relation(name, "view", row["comment"], mine, reads))
            continue
        ttl = _TTL.search(text)
        found.append(
            Relation(
                name,
                "table",
                row["comment"],
                mine,
                engine=row["engine"],
                partition=row["partition_key"],
                order=row["sorting_key"],
                retention=ttl.group(1).strip() if ttl else "",
            )
        )
    return found


def described(found: Sequence[Relation]) -> list[Relation]:
    """The relations with the comments that their columns take from elsewhere (see above); '' where there is none."""
    by_name = {relation.name: relation for relation in found}
    done: dict[str, dict[str, str]] = {}

    def comments(name: str) -> dict[str, str]:
        if name in done:
            return done[name]
        relation = by_name.get(name)
        if relation is None:
            return {}
        done[name] = {}  # a circle ends here; ClickHouse has none
        inherited: dict[str, str] = {}
        for source in relation.reads:
            for name_of, comment in comments(source).items():
                inherited.setdefault(name_of, comment)
        mine = dict(inherited)
        for column in relation.columns:
            said = column.comment or WORDS.get(f"{name}.{column.name}") or inherited.get(column.name)
            # v_x reads a card's *_at_us as *_at
            mine[column.name] = said or _of_card(column.name, inherited)
        done[name] = mine
        return mine

    return [
        msgspec.structs.replace(
            relation,
            comment=relation.comment or VIEWS.get(relation.name, ""),
            columns=tuple(
                msgspec.structs.replace(column, comment=comments(relation.name)[column.name])
                for column in relation.columns
            ),
        )
        for relation in found
    ]


def _of_card(column: str, inherited: Mapping[str, str]) -> str:
    said = inherited.get(f"{column}_us", "") if column.endswith(("_at", "_since")) else ""
    return said.replace(", microseconds since the epoch", "")


def undocumented(found: Iterable[Relation]) -> list[str]:
    """``table.column`` of what nobody explained, and names of views without a description."""
    missing = [
        f"{relation.name}.{column.name}"
        for relation in found
        for column in relation.columns
        if not column.comment.strip()
    ]
    return missing + [r.name for r in found if r.kind == "view" and r.columns and not r.comment.strip()]


def markdown(found: Sequence[Relation], formulas: Sequence[Formula] = ()) -> str:
    """The page. ``found`` as ``described`` returns it; views with parameters, which have no columns of their own, are
    named at the view that they cut short."""
    named = {relation.name for relation in found}
    views = [relation for relation in found if relation.kind == "view" and relation.columns]
    tables = [relation for relation in found if relation.kind == "table"]
    lines = [
        "# The data dictionary",
        "",
        "Made from the migrations by `make dictionary`; `make lint` checks that it is current. Read the views: their names",
        "and columns stay. The tables below them may change with a migration. All times are UTC, durations are",
        "milliseconds unless the name says otherwise, and every row carries its `tenant`.",
        "How analysts get access: [analysts.md](analysts.md); questions with their SQL: [examples](examples/README.md).",
        "",
        "## Views",
        "",
    ]
    lines += [f"* [`{view.name}`](#{view.name}) {view.comment}" for view in views]
    if formulas:
        lines += ["", "and [what the measures of reports mean](#measures)."]
    lines.append("")
    for view in views:
        lines += [f"### {view.name}", "", f"{view.comment}."]
        if f"{view.name}_between" in named:
            lines.append(
                f"`{view.name}_between(from_day = …, to_day = …)` reads only facts of those UTC days (not for analysts' users)."
            )
        lines += ["", *_columns(view.columns), ""]
    if formulas:
        lines += [
            "## Measures",
            "",
            "Each is defined once, for the API, the pages, scheduled reports and dashboards.",
            "",
        ]
        lines += ["| measure | name | formula in words | reads | SQL | unit |", "|---|---|---|---|---|---|"]
        lines += [
            f"| `{f.id}` | {f.name['en']} / {f.name['fa']} | {_cell(f.words['en'])} | {', '.join(map(_rows, f.rows))} | `{_cell(f.sql)}` | {f.unit} |"
            for f in formulas
        ]
        lines += [
            "",
            "Quantiles (`_p50`, `_p90`, `_p95`) are exact up to 31 days. Those of longer spans, and of `wait_state` and `talk_state`, are merged from",
            f"15-minute t-digests: the place of such a value is at most {DIGEST_RANK_ERROR:.0%} of the contacts away from the right one (95% is between the exact"
            f" {0.95 - DIGEST_RANK_ERROR:.0%} and {0.95 + DIGEST_RANK_ERROR:.0%}),",
            "which was measured over waits of many shapes.",
        ]
        lines.append("")
    lines += [
        "## Tables",
        "",
        "How long rows are kept is set by PEYVAND_REPORTING_KEEP_FACTS_DAYS, _RECORDS_DAYS and _STATES_DAYS (for ever unless set); a table that",
        "says so itself has another rule.",
        "",
    ]
    for table in tables:
        lines += [f"### {table.name}", ""]
        if table.comment:
            lines += [f"{table.comment}.", ""]
        kept = f"; rows go after `{table.retention}`" if table.retention else ""
        partition = f"partitions by `{table.partition}`, " if table.partition else ""
        lines += [
            f"{table.engine}, {partition}ordered by `({table.order})`{kept}.",
            "",
            *_columns(table.columns),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _columns(columns: Iterable[Column]) -> list[str]:
    return [
        "| column | type | meaning |",
        "|---|---|---|",
        *(f"| `{c.name}` | `{_cell(_type(c.type))}` | {_cell(c.comment)} |" for c in columns),
    ]


def _rows(rows: Rows) -> str:
    return f"`{rows.view}{f' WHERE {_cell(rows.where)}' if rows.where else ''}`"


def _type(text: str) -> str:
    """A cell of a card is a pair (version, value) of which the greatest counts: say what is in it."""
    pair = _STATE_PAIR.match(text)
    return f"cell of {pair.group(1)}" if pair else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
