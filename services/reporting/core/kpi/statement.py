"""Questions to SQL. Text of this package only; whatever came from outside travels as parameters.

One statement reads one source: the rows that begin in the span, joined with their contacts where a dimension is theirs, grouped by
the begin of their interval and the dimensions. Intervals come as arrays of seconds (see ``calendars``): ``roundDown`` finds the
border before a moment; the hour of the wall clock is the second of the epoch plus an offset that is looked up the same way.
"""

# ruff: noqa: S608 -- only names of this package become part of the text; values are parameters

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from services.reporting.core.kpi.calendars import SECOND_US, SLOT_S, WEEKDAYS
from services.reporting.core.kpi.model import Count, Source
from services.reporting.core.kpi.question import Part, Question
from services.reporting.core.kpi.sources import CLOCK, CONTACT_DIMENSIONS
from services.reporting.core.sql import Statement
from services.reporting.core.tables import day_of

MAX_GROUPS: Final = 50_000
INTERVAL: Final = "k_interval"

_CONTACT_BEFORE: Final = timedelta(days=7)
"""So long before a conversation, offer or answer its contact may have begun: callbacks wait, surveys come later."""
_CARD_BEFORE: Final = timedelta(days=1)
_CARD_AFTER: Final = timedelta(days=3)
_DIGEST_LEVELS: Final = (0.5, 0.9, 0.95)


def statement(question: Question, part: Part, borders: Sequence[int], *, totals: bool = False) -> Statement:
    """Read one part; with ``totals`` as if there were no dimensions and one interval.

    Columns: ``k_interval`` (seconds), ``k_<dimension>``, ``c_<count>``, ``q_<quantile>``.
    """
    by = () if totals else question.by
    params = _span_params(question)
    at = "at" if part.state is not None else part.source.at
    second = f"toUnixTimestamp(assumeNotNull({at}))"
    keys: list[str] = []
    if not totals and question.interval is not None:
        keys.append(f"roundDown({second}, {{borders:Array(UInt32)}}) AS {INTERVAL}")
        params["borders"] = [border // SECOND_US for border in borders[:-1]]
    dimensions = {name: _dimension(part, name, second) for name in (*by, *question.filters)}
    if any(name in CLOCK for name in dimensions):
        params |= _zone_params(question)
    conditions = []
    for name, values in question.filters.items():
        conditions.append(_filter(name, dimensions[name]))
        params[f"f_{name}"] = _filter_values(name, values)
    keys += [f"{'arrayJoin(' + dimensions[n] + ')' if n == 'skill' else dimensions[n]} AS k_{n}" for n in by]
    aliases = [key.rpartition(" AS ")[2] for key in keys]
    columns = ", ".join([*keys, *_aggregates(part)])
    joined = [name for name in dimensions if _is_contacts(part, name)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    group = (
        f" GROUP BY {', '.join(aliases)} ORDER BY {', '.join(aliases)} LIMIT {MAX_GROUPS + 1}"
        if aliases
        else ""
    )
    having = _having(question, "skill" in by and "skill" in question.filters)
    sql = f"SELECT {columns} FROM {_rows(question, part, at)} AS r{_join(part.source, joined)}{where}"
    sql += group.replace(" ORDER BY", f"{having} ORDER BY") if having else group
    return Statement(sql, params)


def contacts(
    question: Question, source: Source, count: Count | None, *, limit: int, before: tuple[int, str] | None
) -> Statement:
    """The contacts behind a figure, newest first: those with a row of the source in the span, or one that the count counts.

    ``before`` is the start (microseconds) and id of the last one seen. Only for sources whose rows name a contact.
    """
    part = Part(source)
    params = _span_params(question) | {"limit": limit}
    second = f"toUnixTimestamp(assumeNotNull({source.at}))"
    dimensions = {name: _dimension(part, name, second) for name in question.filters}
    if any(name in CLOCK for name in dimensions):
        params |= _zone_params(question)
    conditions = [] if count is None or not count.where else [f"({count.where})"]
    for name, values in question.filters.items():
        conditions.append(_filter(name, dimensions[name]))
        params[f"f_{name}"] = _filter_values(name, values)
    joined = [name for name in dimensions if _is_contacts(part, name)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    chosen = (
        f"SELECT r.{source.contact or 'contact_id'} FROM {_rows(question, part, source.at)} AS r"
        f"{_join(source, joined)}{where}"
    )
    seen = ""
    if before is not None:
        seen = (
            " AND (started_at, contact_id) <"
            " (fromUnixTimestamp64Micro({before_us:Int64}, 'UTC'), {before_id:String})"
        )
        params |= {"before_us": before[0], "before_id": before[1]}
    sql = (
        "SELECT *, toUnixTimestamp64Micro(started_at) AS started_at_us FROM v_contacts WHERE tenant = {tenant:String}"
        f" AND day BETWEEN {{contact_from:Date}} AND {{to_day:Date}} AND contact_id IN ({chosen}){seen}"
        " ORDER BY started_at DESC, contact_id DESC LIMIT {limit:UInt32}"
    )
    return Statement(sql, params)


def _zone_params(question: Question) -> dict[str, Any]:
    offsets = question.calendar.offsets(question.span)
    return {"zone_at": [since for since, _ in offsets], "zone_by": [ahead for _, ahead in offsets]}


def _having(question: Question, grouped_skill: bool) -> str:
    # A contact with two skills is in two groups; only those that were asked for are shown.
    return " HAVING k_skill IN {f_skill:Array(String)}" if grouped_skill else ""


def _span_params(question: Question) -> dict[str, Any]:
    span = question.span
    first, last = day_of(span.from_us), day_of(max(span.to_us - 1, span.from_us))
    return {
        "tenant": question.tenant,
        "from_us": span.from_us,
        "to_us": span.to_us,
        "from_day": first,
        "to_day": last,
        "card_from": max(first - _CARD_BEFORE, day_of(0)),
        "card_to": last + _CARD_AFTER,
        "contact_from": max(first - _CONTACT_BEFORE, day_of(0)),
        "target_ms": question.target_ms or 0,
        "short_ms": question.short_ms or 0,
        "window_us": question.window_us,
        "window_from": max(first - timedelta(days=question.fcr_days + 1), day_of(0)),
        "window_to": last + timedelta(days=question.fcr_days + 1),
        "now_us": question.now_us,
        **_prices(question),
    }


def _prices(question: Question) -> dict[str, Any]:
    contact = question.tariffs.contact if question.tariffs is not None else {}
    # No channel is called so: transform() wants to know the types.
    return {"price_channels": ["", *contact], "prices": [0, *contact.values()]}


def _is_contacts(part: Part, name: str) -> bool:
    return (
        part.state is None
        and name not in CLOCK
        and name not in part.source.dimensions
        and bool(part.source.contact)
        and name in CONTACT_DIMENSIONS
    )


def _dimension(part: Part, name: str, second: str) -> str:
    """The SQL of a dimension over the rows of a part."""
    if name in CLOCK:
        ahead = "roundDown({at}, {{zone_at:Array(UInt32)}}), {{zone_at:Array(UInt32)}}, {{zone_by:Array(Int32)}}, toInt32(0)"
        local = f"({second} + transform({ahead.format(at=second)}))"
        return f"intDiv({local}, 3600) % 24" if name == "hour" else f"(intDiv({local}, 86400) + 3) % 7"
    if part.state is not None:
        return f"r.{part.state.dimensions[name]}"
    if name in part.source.dimensions:
        found = part.source.dimensions[name]
        return found if "(" in found else f"r.{found}"
    return f"c.j_{name}"


def _filter(name: str, sql: str) -> str:
    if name == "skill":
        return f"hasAny({sql}, {{f_skill:Array(String)}})"
    kind = "UInt8" if name in CLOCK else "String"
    return f"{sql} IN {{f_{name}:Array({kind})}}"


def _filter_values(name: str, values: Sequence[str]) -> list[Any]:
    if name == "hour":
        return [int(value) for value in values]
    if name == "weekday":
        return [WEEKDAYS.index(value) for value in values]
    return list(values)


def _aggregates(part: Part) -> list[str]:
    found = []
    for count in part.counts:
        if part.state is not None:
            column = part.state.columns[count.id]
            sql = f"{'max' if count.greatest else 'sum'}(r.{column})"
        else:
            sql = count.sql
        found.append(f"{sql} AS c_{count.id}")
    for quantile in part.quantiles:
        if part.state is not None:
            levels = ", ".join(str(level) for level in _DIGEST_LEVELS)
            place = _DIGEST_LEVELS.index(quantile.level) + 1
            sql = f"toFloat64(quantilesTDigestMerge({levels})(r.{quantile.digest})[{place}])"
        elif quantile.where:
            sql = f"toFloat64(quantileExactIf({quantile.level})({quantile.column}, {quantile.where}))"
        else:
            sql = f"toFloat64(quantileExact({quantile.level})({quantile.column}))"
        found.append(f"{sql} AS q_{quantile.id}")
    return found


def _rows(question: Question, part: Part, at: str) -> str:
    """The rows of a part that count in the span."""
    source = part.source
    if part.state is not None:
        return (
            f"(SELECT * FROM {part.state.view} WHERE tenant = {{tenant:String}}"
            " AND day BETWEEN {from_day:Date} AND {to_day:Date}"
            " AND toUnixTimestamp(at) >= intDiv({from_us:Int64}, 1000000)"
            " AND toUnixTimestamp(at) < intDiv({to_us:Int64}, 1000000))"
        )
    conditions = ["tenant = {tenant:String}"]
    if source.id == "first_contacts":
        return _first_contacts(source)
    if source.id == "agent_spells":
        return _pieces(source)
    if source.view in ("v_contacts", "v_segments", "v_evaluations"):
        conditions.append("day BETWEEN {from_day:Date} AND {to_day:Date}")
    if source.where:
        conditions.append(source.where)
    conditions.append(_within(at))
    columns = "*"
    if source.id == "queue_segments":
        replaced = [
            f"toUInt32({{{name}:UInt32}}) AS {name}"
            for name, value in (("target_ms", question.target_ms), ("short_ms", question.short_ms))
            if value is not None
        ]
        columns += f" REPLACE ({', '.join(replaced)})" if replaced else ""
    return f"(SELECT {columns} FROM {source.view} WHERE {' AND '.join(conditions)})"


def _pieces(source: Source) -> str:
    """Intervals of agents, cut to the span and at every quarter of an hour; what goes on counts up to now."""
    slot = SLOT_S * SECOND_US
    return (
        "(SELECT *, fromUnixTimestamp64Micro(begin_us, 'UTC') AS at, intDiv(end_us, 1000) - intDiv(begin_us, 1000) AS ms FROM"
        f" (SELECT *, greatest(since_us, toInt64(slot) * {slot}) AS begin_us, least(until_us, toInt64(slot + 1) * {slot}) AS end_us FROM"
        f" (SELECT *, arrayJoin(range(toUInt64(intDiv(since_us, {slot})), toUInt64(intDiv(until_us - 1, {slot}) + 1))) AS slot FROM"
        " (SELECT agent_id, team, queue, kind, value, reason,"
        " greatest(toUnixTimestamp64Micro(started_at), {from_us:Int64}) AS since_us,"
        " least(toUnixTimestamp64Micro(ifNull(ended_at, greatest(started_at, fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')))),"
        " {to_us:Int64}) AS until_us"
        f" FROM {source.view} WHERE tenant = {{tenant:String}} AND day BETWEEN {{from_day:Date}} AND {{to_day:Date}}"
        f" AND {source.where}) WHERE until_us > since_us)))"
    )


def _within(at: str) -> str:
    return (
        f"{at} >= fromUnixTimestamp64Micro({{from_us:Int64}}, 'UTC')"
        f" AND {at} < fromUnixTimestamp64Micro({{to_us:Int64}}, 'UTC')"
    )


def _first_contacts(source: Source) -> str:
    # A window over hashes takes half the time of one over the names (a year, a million contacts); two of a million persons share
    # one with a chance of 3e-8.
    return (
        "(SELECT *, next_us > 0 AND next_us - at_us <= {window_us:Int64} AS again FROM ("
        "SELECT *, lagInFrame(at_us) OVER w AS previous_us, leadInFrame(at_us) OVER w AS next_us FROM ("
        "SELECT *, toUnixTimestamp64Micro(started_at) AS at_us,"
        " sipHash64(customer != '', if(customer != '', customer, ani)) AS person"
        f" FROM {source.view} WHERE tenant = {{tenant:String}}"
        " AND day BETWEEN {window_from:Date} AND {window_to:Date}"
        f" AND {source.where} AND (customer != '' OR ani != ''))"
        " WINDOW w AS (PARTITION BY person ORDER BY at_us, contact_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))"
        f" WHERE {_within('started_at')} AND (previous_us = 0 OR at_us - previous_us > {{window_us:Int64}})"
        " AND at_us + {window_us:Int64} <= {now_us:Int64})"
    )


def _join(source: Source, names: Sequence[str]) -> str:
    if not names:
        return ""
    columns = ", ".join(f"{CONTACT_DIMENSIONS[name]} AS j_{name}" for name in dict.fromkeys(names))
    return (
        f" ANY LEFT JOIN (SELECT contact_id AS j_contact_id, {columns} FROM v_contacts WHERE tenant = {{tenant:String}}"
        " AND day BETWEEN {contact_from:Date} AND {to_day:Date}) AS c"
        f" ON r.{source.contact} = c.j_contact_id"
    )
