"""The reports' SQL. Text only: values travel as parameters, and every statement is cut to one tenant and a span of time.

Intervals are half-open and go by the contact's start. The views with ``_between`` read only the days named; a day of
margin on the left and three on the right hold the facts of contacts that began near the borders (a contact lives for hours, its
after-call work and late facts for a little longer).
"""

# ruff: noqa: S608 -- only names that this file writes itself become part of the text; values are parameters

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from services.reporting.core.tables import day_of

_MARGIN_BEFORE: Final = timedelta(days=1)
_MARGIN_AFTER: Final = timedelta(days=3)


class Statement(msgspec.Struct, frozen=True):
    """SQL with ``{name:Type}`` places, and their values."""

    sql: str
    params: dict[str, Any]


class Span(msgspec.Struct, frozen=True):
    """One tenant's ``[from_us, to_us)``, microseconds since the epoch."""

    tenant: str
    from_us: int
    to_us: int

    def params(self) -> dict[str, Any]:
        first, last = day_of(self.from_us), day_of(max(self.to_us - 1, self.from_us))
        return {
            "tenant": self.tenant,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "from_day": max(first - _MARGIN_BEFORE, day_of(0)),
            "to_day": last + _MARGIN_AFTER,
        }


class Targets(msgspec.Struct, frozen=True):
    """Seconds by queue for the service level (T) and short abandonments (S), and what holds for other queues."""

    service_level_s: Mapping[str, int]
    short_abandon_s: Mapping[str, int]
    default_service_level_s: int = 20
    default_short_abandon_s: int = 5


def _between(view: str) -> str:
    return f"{view}_between(from_day = {{from_day:Date}}, to_day = {{to_day:Date}})"


def _within(column: str) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Micro({{from_us:Int64}}, 'UTC')"
        f" AND {column} < fromUnixTimestamp64Micro({{to_us:Int64}}, 'UTC')"
    )


def _contacts(filters: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The rows of the books: contacts that started, feature codes left out, and further columns equal to a value.

    Nobody called for the contacts of a callback, nor for those that agents placed, nor for those of other channels, whose ``start`` is the
    channel: they are in no sum unless ``start`` asks for them.
    """
    conditions = [
        "tenant = {tenant:String}",
        "counted",
        "NOT startsWith(entry_point, '*')",
        *(() if "start" in filters else ("start IN ('ivr', 'queue', 'switch', '')",)),
        _within("started_at"),
        *(f"{column} = {{f_{column}:String}}" for column in filters),
    ]
    sql = f"(SELECT * FROM {_between('v_contacts')} WHERE {' AND '.join(conditions)})"
    return sql, {f"f_{column}": value for column, value in filters.items()}


def _statement(span: Span, sql: str, params: Mapping[str, Any]) -> Statement:
    return Statement(sql, span.params() | dict(params))


def outcomes(span: Span, filters: Mapping[str, str]) -> Statement:
    """Contacts by outcome."""
    source, params = _contacts(filters)
    return _statement(
        span, f"SELECT outcome, count() AS contacts FROM {source} GROUP BY outcome ORDER BY outcome", params
    )


def durations(span: Span, filters: Mapping[str, str]) -> Statement:
    """Sum, mean, greatest and two quantiles of waits, talks and whole contacts; exact, in milliseconds."""
    source, params = _contacts(filters)
    measures = {
        "wait_answered": ("wait_ms", "outcome = 'answered'"),
        "wait_abandoned": ("wait_ms", "outcome = 'abandoned'"),
        "talk": ("talk_ms", "outcome = 'answered'"),
        "total": ("total_ms", "state = 'closed'"),
    }
    columns = []
    for name, (column, condition) in measures.items():
        columns += [
            f"countIf({condition}) AS {name}_count",
            f"sumIf({column}, {condition}) AS {name}_sum",
            f"maxIf({column}, {condition}) AS {name}_max",
            f"quantilesExactIf(0.5, 0.95)({column}, {condition}) AS {name}_quantiles",
        ]
    return _statement(span, f"SELECT {', '.join(columns)} FROM {source}", params)


def answered_by(span: Span, filters: Mapping[str, str]) -> Statement:
    """Answered contacts by the agent who talked last."""
    source, params = _contacts(filters)
    sql = (
        "SELECT agent_id, count() AS answered, sum(talk_ms) AS talk_ms, sum(hold_ms) AS hold_ms,"
        f" sum(wrap_up_ms) AS wrap_up_ms FROM {source} WHERE outcome = 'answered' GROUP BY agent_id ORDER BY agent_id"
    )
    return _statement(span, sql, params)


def service_level(span: Span, filters: Mapping[str, str], targets: Targets) -> Statement:
    """The raw counts of the service level; each contact against the target of its own queue."""
    source, params = _contacts(filters)
    params |= {
        "t_queues": list(targets.service_level_s),
        "t_ms": [s * 1000 for s in targets.service_level_s.values()],
        "t_default": targets.default_service_level_s * 1000,
        "s_queues": list(targets.short_abandon_s),
        "s_ms": [s * 1000 for s in targets.short_abandon_s.values()],
        "s_default": targets.default_short_abandon_s * 1000,
    }
    # An empty list has no type that transform() takes, hence the maps.
    t = "mapFromArrays({t_queues:Array(String)}, {t_ms:Array(Int64)})"
    s = "mapFromArrays({s_queues:Array(String)}, {s_ms:Array(Int64)})"
    t_ms = f"if(mapContains({t}, queue), {t}[queue], {{t_default:Int64}})"
    s_ms = f"if(mapContains({s}, queue), {s}[queue], {{s_default:Int64}})"
    sql = (
        "SELECT countIf(outcome = 'answered') AS answered,"
        f" countIf(outcome = 'answered' AND wait_ms <= {t_ms}) AS answered_within,"
        " countIf(outcome = 'abandoned') AS abandoned,"
        f" countIf(outcome = 'abandoned' AND wait_ms <= {t_ms}) AS abandoned_within,"
        f" countIf(outcome = 'abandoned' AND wait_ms < {s_ms}) AS abandoned_short"
        f" FROM {source}"
    )
    return _statement(span, sql, params)


def contacts(
    span: Span, filters: Mapping[str, str], *, limit: int, before: tuple[int, str] | None
) -> Statement:
    """A page of contacts, newest first; ``before`` is the start (microseconds) and id of the last one seen."""
    source, params = _contacts(filters)
    where = ""
    if before is not None:
        where = (
            " WHERE (started_at, contact_id) < "
            "(fromUnixTimestamp64Micro({before_us:Int64}, 'UTC'), {before_id:String})"
        )
        params |= {"before_us": before[0], "before_id": before[1]}
    sql = (
        f"SELECT *, toUnixTimestamp64Micro(started_at) AS started_at_us FROM {source}{where}"
        " ORDER BY started_at DESC, contact_id DESC LIMIT {limit:UInt32}"
    )
    return _statement(span, sql, params | {"limit": limit})


def contact(tenant: str, contact_id: str) -> Statement:
    """One contact, whenever it was."""
    sql = (
        "SELECT *, toUnixTimestamp64Micro(started_at) AS started_at_us"
        " FROM v_contacts_between(from_day = '1970-01-01', to_day = '2149-06-06')"
        " WHERE tenant = {tenant:String} AND contact_id = {contact_id:String}"
    )
    return Statement(sql, {"tenant": tenant, "contact_id": contact_id})


def contact_record(tenant: str, contact_id: str) -> Statement:
    """One contact's record: all that there is of one that was imported."""
    sql = (
        "SELECT *, toUnixTimestamp64Micro(started_at) AS started_at_us FROM v_contacts"
        " WHERE tenant = {tenant:String} AND contact_id = {contact_id:String}"
    )
    return Statement(sql, {"tenant": tenant, "contact_id": contact_id})


def facts_of(tenant: str, contact_id: str) -> Statement:
    """Everything that was said about a contact, in the order of time."""
    sql = (
        "SELECT at, id, type, stream, seq, idx, agent_id, queue, causation_id, payload FROM v_facts"
        " WHERE tenant = {tenant:String} AND contact_id = {contact_id:String} ORDER BY at, stream, seq, idx"
    )
    return Statement(sql, {"tenant": tenant, "contact_id": contact_id})


def parts_of(view: str, order_by: str, span: Span, contact_id: str) -> Statement:
    """Offers, legs or recordings of one contact; ``span`` is around the contact's life."""
    sql = (
        f"SELECT * FROM {_between(view)} WHERE tenant = {{tenant:String}} AND contact_id = {{contact_id:String}}"
        f" ORDER BY {order_by}"
    )
    return _statement(span, sql, {"contact_id": contact_id})


def records_of(view: str, order_by: str, tenant: str, contact_id: str) -> Statement:
    """Rows of a record's view about one contact, whenever it was."""
    sql = f"SELECT * FROM {view} WHERE tenant = {{tenant:String}} AND contact_id = {{contact_id:String}} ORDER BY {order_by}"
    return Statement(sql, {"tenant": tenant, "contact_id": contact_id})


def related_to(tenant: str, contact_id: str) -> Statement:
    """Contacts that a contact follows from, and those that follow from it."""
    sql = (
        "SELECT DISTINCT if(c.contact_id = {contact_id:String}, c.related_contact_id, c.contact_id) AS contact_id"
        " FROM v_contacts AS c WHERE tenant = {tenant:String} AND related_contact_id != ''"
        " AND (c.contact_id = {contact_id:String} OR c.related_contact_id = {contact_id:String}) ORDER BY contact_id"
    )
    return Statement(sql, {"tenant": tenant, "contact_id": contact_id})


def legs(span: Span, filters: Mapping[str, str], *, limit: int, before: tuple[int, str] | None) -> Statement:
    """A page of legs, newest first."""
    conditions = [
        "tenant = {tenant:String}",
        _within("started_at"),
        *(f"{column} = {{f_{column}:String}}" for column in filters),
    ]
    params: dict[str, Any] = {f"f_{column}": value for column, value in filters.items()} | {"limit": limit}
    if before is not None:
        conditions.append(
            "(started_at, leg_id) < (fromUnixTimestamp64Micro({before_us:Int64}, 'UTC'), {before_id:String})"
        )
        params |= {"before_us": before[0], "before_id": before[1]}
    sql = (
        f"SELECT *, toUnixTimestamp64Micro(assumeNotNull(started_at)) AS started_at_us FROM {_between('v_legs')}"
        f" WHERE {' AND '.join(conditions)} ORDER BY started_at DESC, leg_id DESC LIMIT {{limit:UInt32}}"
    )
    return _statement(span, sql, params)


def recordings(span: Span) -> Statement:
    """Recordings that began in the span."""
    sql = (
        f"SELECT * FROM {_between('v_recordings')} WHERE tenant = {{tenant:String}}"
        f" AND {_within('ifNull(started_at, stored_at)')} ORDER BY contact_id, path"
    )
    return _statement(span, sql, {})


def offers_by_agent(span: Span) -> Statement:
    """Offers made in the span by agent and outcome; one that is still open has none."""
    sql = (
        "SELECT agent_id, if(outcome = '', 'open', outcome) AS outcome, count() AS offers, sum(ring_ms) AS ring_ms"
        f" FROM {_between('v_offers')} WHERE tenant = {{tenant:String}} AND {_within('made_at')}"
        " GROUP BY agent_id, outcome ORDER BY agent_id, outcome"
    )
    return _statement(span, sql, {})


def agent_times(span: Span, now_us: int) -> Statement:
    """Milliseconds of each agent in each presence and activity, cut to the span and to now."""
    sql = (
        "WITH fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AS begin,"
        " fromUnixTimestamp64Micro({end_us:Int64}, 'UTC') AS end"
        " SELECT agent_id, kind, value, reason,"
        " sum(dateDiff('millisecond', greatest(started_at, begin), least(ifNull(ended_at, end), end))) AS ms"
        " FROM v_agent_activity WHERE tenant = {tenant:String} AND started_at < end AND ifNull(ended_at, end) > begin"
        " GROUP BY agent_id, kind, value, reason ORDER BY agent_id, kind, value, reason"
    )
    return Statement(sql, {"tenant": span.tenant, "from_us": span.from_us, "end_us": min(span.to_us, now_us)})


def flow_nodes(span: Span, filters: Mapping[str, str], version: int | None) -> Statement:
    """What happened in each node of each version of each flow; the newest version first, nodes as callers reach them."""
    conditions = ["tenant = {tenant:String}", _within("at")]
    conditions += [f"{column} = {{f_{column}:String}}" for column in filters]
    params: dict[str, Any] = {f"f_{column}": value for column, value in filters.items()}
    if version is not None:
        conditions.append("flow_version = {version:UInt32}")
        params["version"] = version
    sql = (
        "SELECT flow, flow_version, flow_node, any(kind) AS kind, count() AS visits, uniqExact(contact_id) AS contacts,"
        " countIf(left_here) AS left_count, sum(spent_ms) AS spent_ms_sum,"
        " quantilesExact(0.5, 0.95)(spent_ms) AS spent_ms_quantiles,"
        " quantilesExactIf(0.5, 0.95)(spent_ms, left_here) AS left_after_ms_quantiles,"
        " sumMap(map(toString(result), toUInt64(1))) AS results"
        f" FROM v_ivr_steps WHERE {' AND '.join(conditions)} GROUP BY flow, flow_version, flow_node"
        " ORDER BY flow, flow_version DESC, avg(step_no), flow_node"
    )
    return _statement(span, sql, params)


def center_revisions(span: Span) -> Statement:
    """Revisions of the center document that came into force in the span, newest first."""
    sql = (
        "SELECT number, revision, at, based_on, kind, actor, reason, changes, changes_left_out FROM v_center_revisions"
        f" WHERE tenant = {{tenant:String}} AND {_within('at')} ORDER BY number DESC LIMIT 1000"
    )
    return _statement(span, sql, {})


def facts_count(span: Span) -> Statement:
    """Facts of the span by type."""
    sql = (
        "SELECT type, count() AS facts FROM v_facts"
        f" WHERE tenant = {{tenant:String}} AND {_within('at')} GROUP BY type ORDER BY type"
    )
    return _statement(span, sql, {})


def fact_ids(span: Span) -> Statement:
    """Ids of the facts of the span."""
    sql = f"SELECT id FROM v_facts WHERE tenant = {{tenant:String}} AND {_within('at')} ORDER BY at, id"
    return _statement(span, sql, {})


def survey_scores(span: Span, filters: Mapping[str, str]) -> Statement:
    """Scores given in the span, by question, scale, queue and agent, with what the usual measures are made from.

    Promoters gave 9 or 10 and detractors 0 to 6 of ten (Reichheld 2003); satisfied is who gave one of the two highest scores of a
    scale that ends at 5.
    """
    conditions = [
        "tenant = {tenant:String}",
        "kind = 'score'",
        _within("at"),
        *(f"{column} = {{f_{column}:String}}" for column in filters),
    ]
    params = {f"f_{column}": value for column, value in filters.items()}
    sql = (
        "SELECT survey, question, least, most, queue, agent_id, count() AS answers, sum(score) AS total,"
        " countIf(score >= most - 1) AS highest, countIf(score <= 6) AS detractors"
        f" FROM v_survey_answers WHERE {' AND '.join(conditions)}"
        " GROUP BY survey, question, least, most, queue, agent_id"
        " ORDER BY survey, question, least, most, queue, agent_id"
    )
    return _statement(span, sql, params)


def surveys_ended(span: Span, filters: Mapping[str, str]) -> Statement:
    """Surveys that ended in the span: how many, and how many answered at least one question."""
    conditions = [
        "tenant = {tenant:String}",
        _within("at"),
        *(f"{column} = {{f_{column}:String}}" for column in filters),
    ]
    params = {f"f_{column}": value for column, value in filters.items()}
    sql = (
        "SELECT survey, outcome, count() AS surveys, countIf(answers > 0) AS answered"
        f" FROM v_surveys WHERE {' AND '.join(conditions)} GROUP BY survey, outcome ORDER BY survey, outcome"
    )
    return _statement(span, sql, params)
