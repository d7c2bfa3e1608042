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

from services.reporting.core.kpi.sources import SOURCES
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


def _between(view: str) -> str:
    return f"{view}_between(from_day = {{from_day:Date}}, to_day = {{to_day:Date}})"


def _within(column: str) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Micro({{from_us:Int64}}, 'UTC')"
        f" AND {column} < fromUnixTimestamp64Micro({{to_us:Int64}}, 'UTC')"
    )


_CALLS: Final = f"{SOURCES['contacts'].where} AND start IN ('ivr', 'queue', 'switch', '')"
"""Calls that customers began. Nobody called for a callback or for what agents placed; other channels bear their name as start."""

_TOLD: Final = f"{_between('v_contacts')} WHERE tenant = {{tenant:String}} AND {_within('started_at')}"


def _statement(span: Span, sql: str, params: Mapping[str, Any]) -> Statement:
    return Statement(sql, span.params() | dict(params))


def outcomes(span: Span) -> Statement:
    """Calls by outcome, as facts and legs tell them at this moment; records are a little behind."""
    return _statement(
        span, f"SELECT outcome, count() AS contacts FROM {_TOLD} AND {_CALLS} GROUP BY outcome", {}
    )


def contacts(span: Span, filters: Mapping[str, str], *, limit: int) -> Statement:
    """Contacts with these values, newest first, as facts and legs tell them at this moment; calls unless ``start`` asks for others."""
    conditions = [
        _CALLS if "start" not in filters else SOURCES["contacts"].where,
        *(f"{column} = {{f_{column}:String}}" for column in filters),
    ]
    return _statement(
        span,
        f"SELECT * FROM {_TOLD} AND {' AND '.join(conditions)}"
        " ORDER BY started_at DESC, contact_id DESC LIMIT {limit:UInt32}",
        {f"f_{column}": value for column, value in filters.items()} | {"limit": limit},
    )


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
