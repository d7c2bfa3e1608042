"""A day out of ClickHouse: the records that reporting keeps, of one tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from services.common.clickhouse import Row, Store
from services.common.errors import ConfigError
from services.reporting.core.sql import Span
from services.routing.core.center import SYSTEM_REASONS
from services.whatif.core.day import Arrival, Away, Day, Handled, Outcomes, Shift, Stay, Talk

WARM_UP_US: Final = 2 * 3_600_000_000
"""Callers of so long before the day fill its first minutes."""

_CONTACTS: Final = (
    "SELECT contact_id, start, channel, first_queue, queued, priority, skills, service_class, entry_point, language, ani, outcome,"
    " wait_ms, toUnixTimestamp64Micro(ifNull(waiting_since, started_at)) AS at_us"
    " FROM v_contacts WHERE tenant = {tenant:String} AND day BETWEEN {from_day:Date} AND {to_day:Date}"
    " AND counted AND at_us >= {from_us:Int64} AND at_us < {to_us:Int64} ORDER BY at_us, contact_id"
)
_SEGMENTS: Final = (
    "SELECT contact_id, segment_no, kind, queue, agent_id, outcome, wait_ms, talk_ms, wrap_up_ms, target_ms, short_ms,"
    " toUnixTimestamp64Micro(started_at) AS began_us FROM v_segments"
    " WHERE tenant = {tenant:String} AND day BETWEEN {from_day:Date} AND {to_day:Date}"
    " AND began_us >= {from_us:Int64} AND began_us < {to_us:Int64} ORDER BY contact_id, segment_no"
)
_INTERVALS: Final = (
    "SELECT agent_id, kind, value, reason, contact_id, toUnixTimestamp64Micro(started_at) AS from_us,"
    " least(toUnixTimestamp64Micro(ifNull(ended_at, fromUnixTimestamp64Micro({to_us:Int64}, 'UTC'))), {to_us:Int64}) AS until_us"
    " FROM v_agent_intervals WHERE tenant = {tenant:String} AND day BETWEEN {from_day:Date} AND {to_day:Date}"
    " AND toUnixTimestamp64Micro(started_at) < {to_us:Int64} AND until_us > {from_us:Int64} ORDER BY agent_id, from_us"
)
_OFFERS: Final = (
    "SELECT outcome, ring_ms FROM v_offers_between(from_day = {from_day:Date}, to_day = {to_day:Date})"
    " WHERE tenant = {tenant:String} AND made_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')"
    " AND made_at < fromUnixTimestamp64Micro({to_us:Int64}, 'UTC') AND outcome != ''"
)
_MISSES: Final = ("no_answer", "declined", "busy", "unreachable")
_TIMES: Final = {
    "available": ("logged_in_ms", "available_ms"),
    "break": ("logged_in_ms", "break_ms"),
    "talking": ("talking_ms",),
    "held": ("held_ms",),
    "wrap_up": ("after_ms",),
    "handling": ("handling_ms",),
    "own_call": ("own_call_ms",),
}


async def day_of(
    store: Store, tenant: str, from_us: int, to_us: int
) -> tuple[Day, dict[str, tuple[int, int]]]:
    """The day ``[from_us, to_us)`` and, by queue, T and S of the service level. ``store`` is bound to the database of the tables.

    Raises ConfigError when there is nobody to replay, StoreUnavailable and StoreRefused.
    """
    params = Span(tenant, from_us - WARM_UP_US, to_us).params()
    contacts = await store.query(_CONTACTS, params)
    segments = await store.query(_SEGMENTS, params)
    intervals = await store.query(_INTERVALS, params)
    offers = await store.query(_OFFERS, params)
    by_contact: dict[str, list[Row]] = defaultdict(list)
    for segment in segments:
        by_contact[segment["contact_id"]].append(segment)
    arrivals: list[Arrival] = []
    left_out: dict[str, int] = defaultdict(int)
    for contact in contacts:
        if why := _why_not(contact):
            left_out[why] += contact["at_us"] >= from_us
        else:
            arrivals.append(_arrival(contact, by_contact[contact["contact_id"]]))
    if not any(one.at_us >= from_us for one in arrivals):
        raise ConfigError(
            f"tenant {tenant!r} has no callers in queues on that day: is it the right day and tenant?"
        )
    replayed = {one.contact_id for one in arrivals}
    own = [row for row in segments if row["began_us"] >= from_us]
    day = Day(
        tenant=tenant,
        from_us=from_us,
        to_us=to_us,
        arrivals=tuple(arrivals),
        shifts=_shifts(intervals),
        aways=tuple(
            Away(row["agent_id"], row["from_us"], row["until_us"])
            for row in intervals
            if row["kind"] == "activity"
            and (
                row["value"] in ("own_call", "unreachable")
                or (
                    row["value"] in ("talking", "wrap_up")
                    and row["contact_id"]
                    and row["contact_id"] not in replayed
                )
            )
        ),
        rings_ms=tuple(row["ring_ms"] for row in offers if row["outcome"] == "accepted"),
        misses=_misses(offers),
        breaks_ms=tuple(
            (row["until_us"] - row["from_us"]) // 1000
            for row in intervals
            if row["kind"] == "presence" and row["value"] == "break" and row["reason"] in SYSTEM_REASONS
        ),
        real=_outcomes(own, replayed, intervals, from_us),
        left_out=dict(left_out),
    )
    targets = {row["queue"]: (row["target_ms"], row["short_ms"]) for row in own if row["kind"] == "queue"}
    return day, targets


def _why_not(contact: Row) -> str:
    if contact["channel"] != "voice":
        return f"contacts of the channel {contact['channel']}"
    if contact["start"] not in ("ivr", "queue", ""):
        return f"contacts that began as {contact['start']}"
    return "" if contact["queued"] else "callers who reached no queue"


def _arrival(contact: Row, segments: list[Row]) -> Arrival:
    talks: list[Talk] = []
    for n, segment in enumerate(segments):
        if segment["kind"] != "agent":
            continue
        later = segments[n + 1] if n + 1 < len(segments) else None
        sent_on = segment["outcome"] == "transferred" and later is not None and later["kind"] == "queue"
        # A conversation goes on with whoever was asked or took over: for the queues it is one.
        if talks and not talks[-1].then and segments[n - 1]["kind"] == "agent":
            talks[-1] = Talk(
                talks[-1].talk_ms + segment["talk_ms"],
                segment["wrap_up_ms"],
                later["queue"] if sent_on and later else "",
            )
        else:
            talks.append(
                Talk(segment["talk_ms"], segment["wrap_up_ms"], later["queue"] if sent_on and later else "")
            )
    return Arrival(
        contact_id=contact["contact_id"],
        at_us=contact["at_us"],
        queue=contact["first_queue"],
        # Recorded as name:level, which is how a caller asks for it, too.
        skills=tuple(contact["skills"]),
        priority=contact["priority"],
        service_class=contact["service_class"],
        entry_point=contact["entry_point"],
        language=contact["language"],
        ani=contact["ani"],
        wait_ms=contact["wait_ms"],
        left=contact["outcome"] == "abandoned",
        talks=tuple(talks),
    )


def _shifts(intervals: list[Row]) -> tuple[Shift, ...]:
    return tuple(
        Shift(row["agent_id"], row["value"], row["reason"], row["from_us"], row["until_us"])
        for row in intervals
        if row["kind"] == "presence"
    )


def _misses(offers: list[Row]) -> Mapping[str, tuple[float, tuple[int, ...]]]:
    rang: dict[str, list[int]] = defaultdict(list)
    for row in offers:
        if row["outcome"] in _MISSES:
            rang[row["outcome"]].append(row["ring_ms"])
    said = sum(row["outcome"] in ("accepted", *_MISSES) for row in offers)
    return {outcome: (len(times) / said, tuple(times)) for outcome, times in sorted(rang.items())}


def _outcomes(segments: list[Row], replayed: set[str], intervals: list[Row], from_us: int) -> Outcomes:
    times: dict[str, int] = defaultdict(int)
    for row in intervals:
        ms = (row["until_us"] - max(row["from_us"], from_us)) // 1000
        for name in _TIMES.get(row["value"], ()) if ms > 0 else ():
            times[name] += ms
    mine: list[dict[str, Any]] = [row for row in segments if row["contact_id"] in replayed]
    return Outcomes(
        stays=[
            Stay(row["contact_id"], row["queue"], row["began_us"], row["wait_ms"], row["outcome"])
            for row in mine
            if row["kind"] == "queue"
        ],
        handled=[
            Handled(
                row["contact_id"],
                row["queue"],
                row["agent_id"],
                row["began_us"],
                row["talk_ms"],
                row["wrap_up_ms"],
            )
            for row in mine
            if row["kind"] == "agent"
        ],
        times_ms=dict(times),
    )
