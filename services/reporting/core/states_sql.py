"""The statements of the 15-minute states: segments, agents' intervals and offers in, one row a queue and one an agent out.

Places: ``tenants``, ``slots`` (the starts, seconds since the epoch), ``from_day`` and ``to_day`` (their days), ``now_us`` (what goes on
counts up to here) and ``version``, which ``NEXT_VERSION`` gives before anything is read.
"""

# ruff: noqa: S608 -- only names that this file writes itself become part of the text; values are parameters

from __future__ import annotations

from typing import Final

from services.reporting.core.settling_sql import SLOT_S, insert

# -- 15-minute states. One number orders the computations of a batch: it is taken before the records are read, and every change of
# records is followed by a computation, so the one with the greatest number has read everything.
_IN_SLOTS: Final = (
    "tenant IN {tenants:Array(String)} AND at IN (SELECT toDateTime(arrayJoin({slots:Array(UInt32)}), 'UTC'))"
)
NEXT_VERSION: Final = (
    "SELECT greatest(toUInt64(toUnixTimestamp64Micro(now64(6, 'UTC'))),"
    f" (SELECT 1 + max(version) FROM queue_15m WHERE {_IN_SLOTS}), (SELECT 1 + max(version) FROM agent_15m WHERE {_IN_SLOTS}))"
    " AS version"
)
_SLOT_OF: Final = f"toUInt32(intDiv(toUnixTimestamp({{}}), {SLOT_S}) * {SLOT_S})"
_DAYS: Final = "day >= {from_day:Date} AND day <= {to_day:Date}"
_SEGMENTS_IN_SLOTS: Final = (
    f"(SELECT *, {_SLOT_OF.format('started_at')} AS slot FROM segments FINAL WHERE tenant IN {{tenants:Array(String)}}"
    f" AND {_DAYS} AND slot IN {{slots:Array(UInt32)}})"
)


def _queue_15m() -> str:
    stays = "g.kind = 'queue'"
    talks = "g.kind = 'agent'"
    answered, abandoned = f"{stays} AND g.outcome = 'answered'", f"{stays} AND g.outcome = 'abandoned'"
    ended = "('answered', 'abandoned', 'overflowed', 'transferred', 'open')"
    tdigest = "quantilesTDigestStateIf(0.5, 0.9, 0.95)"
    return insert(
        "queue_15m",
        [
            ("tenant", "g.tenant"),
            ("at", "toDateTime(g.slot, 'UTC')"),
            ("day", "toDate(toDateTime(g.slot, 'UTC'), 'UTC')"),
            ("queue", "g.queue"),
            ("channel", "g.channel"),
            ("offered", f"countIf({stays})"),
            ("answered", f"countIf({answered})"),
            ("answered_within", f"countIf({answered} AND g.wait_ms <= g.target_ms)"),
            ("abandoned", f"countIf({abandoned})"),
            ("abandoned_within", f"countIf({abandoned} AND g.wait_ms <= g.target_ms)"),
            ("abandoned_short", f"countIf({abandoned} AND g.wait_ms < g.short_ms)"),
            ("overflowed", f"countIf({stays} AND g.outcome = 'overflowed')"),
            ("transferred_out", f"countIf({stays} AND g.outcome = 'transferred')"),
            ("other_ended", f"countIf({stays} AND g.outcome NOT IN {ended})"),
            ("still_open", f"countIf({stays} AND g.outcome = 'open')"),
            ("wait_answered_ms", f"sumIf(g.wait_ms, {answered})"),
            ("wait_abandoned_ms", f"sumIf(g.wait_ms, {abandoned})"),
            ("wait_max_ms", f"maxIf(g.wait_ms, {stays})"),
            ("handled", f"countIf({talks})"),
            ("talk_ms", f"sumIf(g.talk_ms, {talks})"),
            ("hold_ms", f"sumIf(g.hold_ms, {talks})"),
            ("wrap_up_ms", f"sumIf(g.wrap_up_ms, {talks})"),
            ("wait_state", f"{tdigest}(g.wait_ms, {answered})"),
            ("talk_state", f"{tdigest}(g.talk_ms, {talks})"),
            ("version", "{version:UInt64}"),
        ],
        f"{_SEGMENTS_IN_SLOTS} AS g WHERE {stays} OR {talks} GROUP BY g.tenant, g.slot, g.queue, g.channel",
    )


QUEUE_15M: Final = _queue_15m()

# Milliseconds of each row inside a slot; what goes on counts up to now.
_CUT: Final = (
    "(SELECT tenant, agent_id, team, kind, value, started_at, slot,"
    " greatest(started_at, toDateTime64(slot, 6, 'UTC')) AS begin,"
    f" least(over, toDateTime64(slot + {SLOT_S}, 6, 'UTC')) AS end FROM"
    " (SELECT *, ifNull(ended_at, greatest(started_at, fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))) AS over,"
    f" arrayJoin(range({_SLOT_OF.format('started_at')}, toUInt32(toUnixTimestamp(over) + 1), {SLOT_S})) AS slot"
    " FROM agent_intervals FINAL"
    f" WHERE tenant IN {{tenants:Array(String)}} AND {_DAYS} AND value != 'offline')"
    " WHERE slot IN {slots:Array(UInt32)})"
)
_MS: Final = (
    "toInt64(intDiv(toUnixTimestamp64Micro({end}), 1000) - intDiv(toUnixTimestamp64Micro({begin}), 1000))"
)


def _agent_15m() -> str:
    names: tuple[str, ...] = (
        "logged_in_ms",
        "available_ms",
        "break_ms",
        "idle_ms",
        "offered_ms",
        "talking_ms",
        "held_ms",
        "wrap_up_ms",
    )
    names += (
        "handling_ms",
        "closing_ms",
        "own_call_ms",
        "unreachable_ms",
        "handled",
        "talk_ms",
        "hold_ms",
        "acw_ms",
    )
    names += ("transfers", "offers", "offers_accepted", "offers_missed")
    whole = _MS.format(begin="begin", end="end")
    both = _MS.format(
        begin="greatest(a.begin, p.begin)", end="greatest(greatest(a.begin, p.begin), least(a.end, p.end))"
    )

    def part(terms: dict[str, str], source: str, by: str) -> str:
        columns = ", ".join(f"toInt64({terms.get(name, '0')}) AS {name}" for name in names)
        return f"SELECT {by}, {columns} FROM {source}"

    present = "value IN ('available', 'break')"
    presence = part(
        {
            "logged_in_ms": f"sumIf({whole}, {present})",
            "available_ms": f"sumIf({whole}, value = 'available')",
            "break_ms": f"sumIf({whole}, value = 'break')",
        },
        f"{_CUT} WHERE kind = 'presence' AND {present} AND end >= begin GROUP BY tenant, slot, agent_id",
        "tenant, slot, agent_id, argMin(team, started_at) AS team",
    )
    busy = {
        "offered_ms": ("offered", "ringing"),
        "talking_ms": ("talking",),
        "held_ms": ("held",),
        "wrap_up_ms": ("wrap_up",),
        "handling_ms": ("handling",),
        "closing_ms": ("closing",),
        "own_call_ms": ("own_call",),
    }
    values = ", ".join(f"'{value}'" for group in busy.values() for value in group)
    activity = part(
        {
            name: f"sumIf({whole}, value IN ({', '.join(repr(v) for v in group)}))"
            for name, group in busy.items()
        },
        f"{_CUT} WHERE kind = 'activity' AND value IN ({values}) AND end >= begin GROUP BY tenant, slot, agent_id",
        "tenant, slot, agent_id, argMin(team, started_at) AS team",
    )
    # A phone is idle or not to be reached at night, too: it counts while its agent is there.
    waiting = part(
        {
            "idle_ms": f"sumIf({both}, a.value = 'idle')",
            "unreachable_ms": f"sumIf({both}, a.value = 'unreachable')",
        },
        f"(SELECT * FROM {_CUT} WHERE kind = 'activity' AND value IN ('idle', 'unreachable')) AS a"
        f" INNER JOIN (SELECT * FROM {_CUT} WHERE kind = 'presence' AND {present}) AS p"
        " ON p.tenant = a.tenant AND p.agent_id = a.agent_id AND p.slot = a.slot"
        " WHERE a.begin < p.end AND p.begin < a.end GROUP BY a.tenant, a.slot, a.agent_id",
        "a.tenant AS tenant, a.slot AS slot, a.agent_id AS agent_id, argMin(a.team, a.started_at) AS team",
    )
    handled = part(
        {
            "handled": "count()",
            "talk_ms": "sum(g.talk_ms)",
            "hold_ms": "sum(g.hold_ms)",
            "acw_ms": "sum(g.wrap_up_ms)",
            "transfers": "countIf(g.outcome IN ('transferred', 'consulted'))",
        },
        f"{_SEGMENTS_IN_SLOTS} AS g WHERE g.kind = 'agent' AND g.agent_id != '' GROUP BY g.tenant, g.slot, g.agent_id",
        "g.tenant AS tenant, g.slot AS slot, g.agent_id AS agent_id, argMin(g.team, g.started_at) AS team",
    )
    offers = part(
        {
            "offers": "count()",
            "offers_accepted": "countIf(verdict = 'accepted')",
            "offers_missed": "countIf(verdict NOT IN ('', 'accepted', 'withdrawn'))",
        },
        "(SELECT tenant, offer_id, max(agent_id).2 AS agent_id, max(outcome).2 AS verdict,"
        f" toUInt32(intDiv(max(made_at_us).2, 1000000 * {SLOT_S}) * {SLOT_S}) AS slot FROM offers"
        " WHERE tenant IN {tenants:Array(String)} AND day BETWEEN {from_day:Date} AND {to_day:Date} + 3 GROUP BY tenant, offer_id)"
        " WHERE slot IN {slots:Array(UInt32)} AND agent_id != '' GROUP BY tenant, slot, agent_id",
        "tenant, slot, agent_id, '' AS team",
    )
    sums = [(name, f"sum(u.{name})") for name in names]
    return insert(
        "agent_15m",
        [
            ("tenant", "u.tenant"),
            ("at", "toDateTime(u.slot, 'UTC')"),
            ("day", "toDate(toDateTime(u.slot, 'UTC'), 'UTC')"),
            ("agent_id", "u.agent_id"),
            ("team", "max(u.team)"),
            *sums,
            ("version", "{version:UInt64}"),
        ],
        f"({presence} UNION ALL {activity} UNION ALL {waiting} UNION ALL {handled} UNION ALL {offers}) AS u"
        " GROUP BY u.tenant, u.slot, u.agent_id",
    )


AGENT_15M: Final = _agent_15m()

STATES_GONE: Final = tuple(
    f"INSERT INTO {table} ({key}, day, version, deleted) SELECT {key}, day, {{version:UInt64}}, 1 FROM {table} FINAL"
    f" WHERE {_IN_SLOTS} AND version < {{version:UInt64}}"
    for table, key in (("queue_15m", "tenant, at, queue, channel"), ("agent_15m", "tenant, at, agent_id"))
)
"""What this computation did not find any more."""
