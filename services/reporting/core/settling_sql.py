"""The statements of settling, as text: cards and facts in, records and 15-minute states out. ``settling`` says when and why.

Places of the statements: ``tenants`` and ``ids`` (contacts or agents), ``from_day`` and ``to_day`` (nothing older or newer is read), or
``from_us``, ``to_us`` and ``since_us`` (of agents); ``slots`` (15 minutes, by their start in seconds since the epoch). More contacts than asked for
(two tenants with the same id) do no harm: what is settled twice is settled.
"""

# ruff: noqa: S608 -- only names that this file writes itself become part of the text; values are parameters

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.reporting.core import contact_sql
from services.reporting.core.imports.records import MOST_VERSION

DEFAULT_TARGET_MS: Final = 20_000
DEFAULT_SHORT_MS: Final = 5_000
SLOT_S: Final = 900

_OF_IDS: Final = "tenant IN {tenants:Array(String)} AND contact_id IN {ids:Array(String)}"
_OF_CELLS: Final = (
    "tenant IN {tenants:Array(String)} AND day BETWEEN {from_day:Date} AND {to_day:Date}"
    " AND contact_id.2 IN {ids:Array(String)}"
)
_IN_TIME: Final = (
    "at BETWEEN toDateTime64({from_day:Date}, 6, 'UTC') AND toDateTime64({to_day:Date}, 6, 'UTC')"
)
_FACTS: Final = f"facts WHERE {_OF_IDS} AND {_IN_TIME}"
# A record may lie before the days of its facts: by the time in ivr, when only queue's word of the start is known.
_RECORDS: Final = f"{_OF_IDS} AND day >= {{from_day:Date}} - 2"

# How much was known stands above when it was looked at: who read more wins, and of two who read as much the one who looked later. 2020 is
# where the milliseconds begin, so that they fit 40 bits until 2054.
_VERSION: Final = (
    "bitShiftLeft(toUInt64({known}), 40) + toUInt64(toUnixTimestamp64Milli(now64(3, 'UTC')) - 1577836800000)"
)
# Rows of the center document only ever become more.
_REVISIONS: Final = (
    "(SELECT tenant, count() AS rows FROM (SELECT DISTINCT tenant, 'a', agent_id, valid_from FROM center_agents"
    " WHERE tenant IN {tenants:Array(String)} UNION ALL SELECT DISTINCT tenant, 'q', queue, valid_from FROM center_queues"
    " WHERE tenant IN {tenants:Array(String)}) GROUP BY tenant)"
)
_QUEUES: Final = "(SELECT tenant, queue, valid_from, target_ms, short_ms FROM center_queues FINAL WHERE tenant IN {tenants:Array(String)})"
_AGENTS: Final = "(SELECT tenant, agent_id, valid_from, team FROM center_agents FINAL WHERE tenant IN {tenants:Array(String)})"
_LEGS: Final = (
    "(SELECT tenant, leg_id, max(contact_id).2 AS of_contact, max(offer_id).2 AS of_offer, max(role).2 AS leg_role,"
    " max(billed_ms).2 AS billed, max(mos_milli).2 AS mos, max(jitter_us).2 AS jitter, max(packet_loss_ppm).2 AS loss,"
    " max(duration_ms).2 AS lasted,"
    " max(from_socket).2 + max(from_spool).2"
    " + (max(ended_at_us).2 + 10000000 < toUnixTimestamp64Micro(now64(6, 'UTC'))) AS known"
    f" FROM legs WHERE {_OF_CELLS} GROUP BY tenant, leg_id)"
)
_OFFERS: Final = (
    "(SELECT tenant, offer_id, max(contact_id).2 AS of_contact, max(outcome).2 AS verdict, max(ring_ms).2 AS rang_ms,"
    " max(talk_ms).2 AS talked_ms, max(hold_ms).2 AS held_ms, max(ended_by).2 AS ender, max(agent_leg_id).2 AS leg,"
    " max(disposition).2 AS keyed, max(made_at_us).2 AS made_us"
    " FROM offers WHERE tenant IN {tenants:Array(String)} AND day BETWEEN {from_day:Date} AND {to_day:Date} AND offer_id IN"
    f" (SELECT offer_id FROM offers WHERE {_OF_CELLS}) GROUP BY tenant, offer_id)"
)

# Columns of v_contacts_between that a record takes over as they are.
_TAKEN: Final = (
    "tenant", "contact_id", "started_at", "counted", "start", "entry_point", "node", "ani", "caller_name", "language", "customer",
    "flow", "revision", "steps", "ivr_node", "ivr_ms", "handed_over_at", "first_queue", "queue", "priority", "queued",
    "waiting_since", "outcome", "result", "transfers", "state", "connected_at", "wait_ms", "talk_ms", "hold_ms", "wrap_up_ms",
    "ended_at", "total_ms", "agent_id", "offer_id", "offers", "overflow_reason", "overflow_action", "overflow_target",
    "ended_by", "cause", "disposition", "disposition_by", "recording_path",
)  # fmt: skip


def insert(table: str, select: Sequence[tuple[str, str]], source: str, after: str = "") -> str:
    names = ", ".join(name for name, _ in select)
    terms = ", ".join(f"{term} AS {name}" for name, term in select)
    return f"INSERT INTO {table} ({names}) {after}SELECT {terms} FROM {source}"


PARTIAL: Final = (
    "SELECT contact_id FROM contacts"
    f" WHERE {_OF_IDS} AND day BETWEEN {{from_day:Date}} AND {{to_day:Date}} GROUP BY contact_id HAVING max(start).2 = ''"
    " OR arrayExists(at_us -> at_us > 0 AND at_us < toUnixTimestamp64Micro(toDateTime64({from_day:Date}, 6, 'UTC')),"
    " [max(started_at_us).2, max(waiting_since_us).2])"
)
"""Contacts whose start is not in the days that are read: for them everything has to be."""

# How much is known of a contact, of facts and of legs.
_FACTS_KNOWN: Final = f"SELECT tenant, contact_id AS of_contact, uniqExact(id) AS known FROM {_FACTS} GROUP BY tenant, contact_id"

_ASKED: Final = "Tuple(skills Array(String), service_class String, callback_id String)"
_NOTHING_BESIDE: Final = {
    "known": "toUInt64(0)",
    "asked": f"CAST(([], '', '') AS {_ASKED})",
    "missed": "toUInt64(0)",
    "billed": "toInt64(0)",
    "voice": "CAST((0, 0, 0) AS Tuple(Int64, Int64, Int64))",
    "five": "toUInt64(0)",
    "highest": "toUInt64(0)",
    "ten": "toUInt64(0)",
    "promoted": "toInt64(0)",
}


def _beside() -> str:
    """What is told of contacts beside their cards, a row a contact: one join of a narrow table in place of four (adr/0066)."""

    def part(source: str, by: str, **terms: str) -> str:
        columns = ", ".join(f"{term} AS {name}" for name, term in (_NOTHING_BESIDE | terms).items())
        return f"SELECT tenant, {by} AS of_contact, {columns} FROM {source} GROUP BY tenant, {by}"

    parts = (
        part(_FACTS, "contact_id", known="uniqExact(id)"),
        part(
            f"{_FACTS} AND type = 'peyvand.routing.v1.ContactQueued'",
            "contact_id",
            asked=f"argMin(JSONExtract(payload, '{_ASKED}'), (seq, idx))",
        ),
        part(_OFFERS, "of_contact", missed="countIf(verdict NOT IN ('', 'accepted', 'withdrawn'))"),
        part(
            _LEGS,
            "of_contact",
            known="toUInt64(sum(known))",
            billed="toInt64(sum(billed))",
            voice="argMaxIf((mos, jitter, loss), (lasted, leg_id), leg_role = 'caller')",
        ),
        part(
            f"survey_answers FINAL WHERE {_OF_IDS} AND {_IN_TIME} AND kind = 'score'",
            "contact_id",
            five="countIf(most = 5)",
            highest="countIf(most = 5 AND score >= 4)",
            ten="countIf(least = 0 AND most = 10)",
            promoted="toInt64(argMaxIf(score, (at, id), least = 0 AND most = 10))",
        ),
    )
    # Each is told by one part at most, except what is known, and the others say the least value there is. A score is never below zero.
    sums = ", ".join(f"{'sum' if name == 'known' else 'max'}({name}) AS {name}" for name in _NOTHING_BESIDE)
    return (
        f"(SELECT tenant, of_contact, {sums} FROM ({' UNION ALL '.join(parts)}) GROUP BY tenant, of_contact)"
    )


def _contact_records() -> str:
    # The settled columns are named apart: a term named like a column of its source would be taken for it.
    cards = contact_sql.contacts(f"{_OF_IDS} AND day BETWEEN {{from_day:Date}} AND {{to_day:Date}}")
    source = (
        "(SELECT *, ifNull(waiting_since, started_at) AS since, ifNull(connected_at, started_at) AS with_agent_at"
        f" FROM ({cards})) AS c"
        f" LEFT JOIN {_beside()} AS b ON b.tenant = c.tenant AND b.of_contact = c.contact_id"
        f" LEFT JOIN {_REVISIONS} AS r ON r.tenant = c.tenant"
        f" ASOF LEFT JOIN {_QUEUES} AS cq ON cq.tenant = c.tenant AND cq.queue = c.queue AND c.since >= cq.valid_from"
        f" ASOF LEFT JOIN {_AGENTS} AS ca ON ca.tenant = c.tenant AND ca.agent_id = c.agent_id"
        " AND c.with_agent_at >= ca.valid_from"
    )
    taken = [(name, f"c.{name}") for name in _TAKEN]
    return insert(
        "contact_records",
        [
            *taken,
            ("day", "toDate(c.started_at, 'UTC')"),
            (
                "channel",
                "if(c.start IN ('', 'ivr', 'queue', 'switch', 'callback', 'outbound'), 'voice', c.start)",
            ),
            ("skills", "b.asked.skills"),
            ("service_class", "b.asked.service_class"),
            ("related_contact_id", "b.asked.callback_id"),
            ("offers_missed", "b.missed"),
            ("team", "ca.team"),
            ("target_ms", f"if(cq.queue = '', {DEFAULT_TARGET_MS}, cq.target_ms)"),
            ("short_ms", f"if(cq.queue = '', {DEFAULT_SHORT_MS}, cq.short_ms)"),
            ("mos_milli", "b.voice.1"),
            ("jitter_us", "b.voice.2"),
            ("packet_loss_ppm", "b.voice.3"),
            ("billed_ms", "b.billed"),
            ("csat", "if(b.five = 0, NULL, b.highest / b.five)"),
            ("nps", "multiIf(b.ten = 0, NULL, b.promoted >= 9, 1, b.promoted <= 6, -1, 0)"),
            ("version", _VERSION.format(known="b.known + r.rows")),
        ],
        source,
    )


CONTACT_RECORDS: Final = _contact_records()

# -- segments. Borders are those facts of routing's log that end one stretch of a contact's life or begin the next.
_BORDERS: Final = (
    "borders AS (SELECT tenant, contact_id, seq, idx, toUnixTimestamp64Micro(at) AS at_us, transform(type,"
    " ['peyvand.routing.v1.ContactQueued', 'peyvand.routing.v1.ContactConnected', 'peyvand.routing.v1.ContactOverflowed',"
    " 'peyvand.routing.v1.ContactTransferred', 'peyvand.routing.v1.ContactClosed', 'peyvand.routing.v1.WrapUpEnded'],"
    " ['queued', 'connected', 'overflowed', 'transferred', 'closed', 'wrapped'], '') AS border,"
    " JSONExtract(payload, 'Tuple(queue String, agent_id String, offer_id String, waiting_since_us Int64, connected_at_us Int64,"
    " wait_ms Int64, requeued Bool, kind String, callback_id String, action String, target_kind String, outcome String,"
    " talk_ms Int64, hold_ms Int64, ended_by String, wrap_up_ms Int64, disposition String, by String)') AS p"
    f" FROM (SELECT * FROM {_FACTS} AND type IN ('peyvand.routing.v1.ContactQueued', 'peyvand.routing.v1.ContactConnected',"
    " 'peyvand.routing.v1.ContactOverflowed', 'peyvand.routing.v1.ContactTransferred', 'peyvand.routing.v1.ContactClosed',"
    " 'peyvand.routing.v1.WrapUpEnded') LIMIT 1 BY tenant, contact_id, id))"
)
_ALL_ROWS: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
_SO_FAR: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
_BY_CONTACT: Final = "PARTITION BY tenant, contact_id ORDER BY seq, idx"


def _stretches() -> str:
    """CTEs up to ``stretches``: a row a stretch with the border that begins it, the one before it and the one that ends it."""
    return (
        f"{_BORDERS}, "
        # Queued again into the same queue with nothing in between (a bridge failed, a process started again): the stay goes on. A caller who is
        # asked whether to be called back waits on.
        "told AS (SELECT * FROM (SELECT *, lagInFrame(border) OVER w AS before, lagInFrame(p) OVER w AS before_p FROM borders"
        " WHERE border != 'wrapped' AND NOT (border = 'overflowed' AND p.action = 'callback')"
        f" WINDOW w AS ({_BY_CONTACT} {_ALL_ROWS}))"
        " WHERE NOT (border = 'queued' AND before = 'queued' AND before_p.queue = p.queue)), "
        "opened AS (SELECT tenant, contact_id, seq, idx, at_us, border, p, before, before_p,"
        " leadInFrame(border) OVER w AS after, leadInFrame(at_us) OVER w AS after_us, leadInFrame(p) OVER w AS after_p,"
        " multiIf(border = 'connected', if(before = 'connected', 'consult', ''), p.kind = 'outbound', 'outbound',"
        " p.callback_id != '' AND before = '', 'callback', before = 'overflowed', 'overflow', before = 'transferred', 'transfer',"
        " before = 'connected', 'return', p.callback_id != '', 'callback', 'arrived') AS why,"
        " if(border = 'queued' AND NOT p.requeued AND p.callback_id = '' AND p.waiting_since_us > 0, p.waiting_since_us,"
        " if(border = 'connected' AND p.connected_at_us > 0, p.connected_at_us, at_us)) AS began_us"
        f" FROM told WINDOW w AS ({_BY_CONTACT} {_ALL_ROWS})), "
        "stretches AS (SELECT *, row_number() OVER w AS no, count() OVER whole AS many,"
        # Without a reason of its own a conversation has that of the stay before it.
        " if(why = '', lagInFrame(why, 1, 'arrived') OVER w, why) AS reason,"
        " lagInFrame(p.waiting_since_us) OVER w AS place_us,"
        " row_number() OVER (PARTITION BY tenant, contact_id, p.agent_id, border ORDER BY seq, idx) AS turn,"
        " countIf(border = 'connected') OVER w AS talks"
        " FROM opened WHERE border IN ('queued', 'connected')"
        f" WINDOW w AS ({_BY_CONTACT}), whole AS ({_BY_CONTACT} {_ALL_ROWS})), "
        "wraps AS (SELECT tenant, contact_id, agent_id, turn, sum(p.wrap_up_ms) AS wrap_up_ms,"
        " argMax(p.disposition, (p.by != 'timeout', seq, idx)) AS code, argMax(p.by, (p.by != 'timeout', seq, idx)) AS by"
        " FROM (SELECT *, p.agent_id AS agent_id, countIf(border = 'connected') OVER"
        f" (PARTITION BY tenant, contact_id, p.agent_id ORDER BY seq, idx {_SO_FAR}) AS turn FROM borders"
        " WHERE border IN ('connected', 'wrapped')) WHERE border = 'wrapped' GROUP BY tenant, contact_id, agent_id, turn)"
    )


def _segments() -> str:
    # Each term is a column of a query below the one that uses it: written into each other they took 120 ms to understand.
    paired = (
        "SELECT t.tenant AS tenant, t.contact_id AS contact_id, t.no AS no, t.many AS many, t.border = 'connected' AS talk,"
        " multiIf(t.border = 'connected', 'agent', t.p.kind != '' OR t.p.callback_id != ''"
        " OR (t.before = 'transferred' AND t.before_p.target_kind = 'agent'), 'direct', 'queue') AS kind,"
        " t.p.queue AS queue, t.p.agent_id AS agent_id, t.p.offer_id AS offer_id, t.turn AS turn, t.reason AS reason,"
        " t.began_us AS began_us, t.p.waiting_since_us AS since_us, t.after AS after, t.after_us AS after_us,"
        " t.after_p.connected_at_us AS after_connected_us, t.after_p.wait_ms AS after_wait_ms,"
        " t.after_p.talk_ms AS after_talk_ms, t.after_p.hold_ms AS after_hold_ms, t.after_p.outcome AS after_outcome,"
        " t.after_p.ended_by AS after_ended_by,"
        # Routing's talk and hold are those of the whole contact: of a conversation whose own end is not known they tell when it was the only one.
        " t.after = 'closed' AND t.talks = 1 AND t.after_p.offer_id = t.p.offer_id AS sole,"
        " c.state = 'closed' AS closed, c.outcome AS result,"
        " toUnixTimestamp64Micro(ifNull(c.ended_at, c.started_at)) AS left_us, c.channel AS channel,"
        " c.related_contact_id AS related, o.talked_ms AS talked_ms, o.held_ms AS held_ms, o.rang_ms AS ring_ms,"
        " o.leg AS agent_leg_id, o.ender AS ender, o.keyed AS keyed"
        " FROM stretches AS t"
        " INNER JOIN (SELECT tenant, contact_id, state, outcome, started_at, ended_at, channel, related_contact_id"
        f" FROM contact_records FINAL WHERE {_RECORDS} ORDER BY version DESC LIMIT 1 BY tenant, contact_id) AS c"
        " ON c.tenant = t.tenant AND c.contact_id = t.contact_id"
        f" LEFT JOIN {_OFFERS} AS o ON o.tenant = t.tenant AND o.offer_id = t.p.offer_id"
    )
    # Who left while nobody looked is told by the leg alone; the contact's record has weighed that.
    waited_out = (
        "multiIf(after = 'connected', 'answered', after IN ('overflowed', 'transferred'), after,"
        " after = 'queued', 'transferred',"
        " after = 'closed', if(after_outcome IN ('ended_unseen', 'completed'), result, after_outcome),"
        " closed, result, 'open')"
    )
    talked_out = (
        "multiIf(after = 'connected', 'consulted', after = 'transferred', 'transferred',"
        " after IN ('queued', 'overflowed'), 'returned',"
        " after = 'closed', if(after_outcome = 'ended_unseen', 'ended_unseen', 'completed'),"
        " closed, 'ended_unseen', 'open')"
    )
    # Queue measured how long the caller waited; routing hears of the end a little later.
    waited_us = (
        "multiIf(after = 'connected' AND after_connected_us > 0, after_connected_us,"
        " after = 'closed' AND after_wait_ms > 0 AND since_us > 0,"
        " least(since_us + after_wait_ms * 1000, after_us), after != '', after_us, closed, left_us, 0)"
    )
    talked_us = (
        "multiIf(talked_ms > 0, began_us + talked_ms * 1000, after = 'connected' AND after_connected_us > 0, after_connected_us,"
        " sole AND after_talk_ms > 0, began_us + after_talk_ms * 1000, after != '', after_us, closed, left_us, 0)"
    )
    told = (
        "SELECT tenant, contact_id, no, many, talk, kind, queue, agent_id, offer_id, turn, reason, began_us,"
        f" if(talk, {talked_us}, {waited_us}) AS over_us, if(talk, {talked_out}, {waited_out}) AS outcome,"
        " channel, related, talked_ms, ring_ms,"
        " if(talk AND sole AND talked_ms = 0 AND held_ms = 0, after_hold_ms, held_ms) AS hold_ms, agent_leg_id,"
        f" multiIf(ender != '', ender, after = 'closed', after_ended_by, '') AS ended_by, keyed FROM ({paired})"
    )
    # A caller who was lost between ivr and routing, or is on the way, stands in a queue all the same.
    untold = (
        "SELECT tenant, contact_id, 1 AS no, 1 AS many, 0 AS talk, 'queue' AS kind, first_queue AS queue, '' AS agent_id,"
        " '' AS offer_id, 0 AS turn, 'arrived' AS reason,"
        " toUnixTimestamp64Micro(coalesce(waiting_since, handed_over_at, started_at)) AS began_us,"
        " if(ended_at IS NULL OR state != 'closed', 0, toUnixTimestamp64Micro(assumeNotNull(ended_at))) AS over_us,"
        " if(state = 'closed', outcome, 'open') AS outcome,"
        " channel, related_contact_id AS related, 0 AS talked_ms, 0 AS ring_ms, 0 AS hold_ms, '' AS agent_leg_id,"
        " ended_by, '' AS keyed"
        " FROM (SELECT tenant, contact_id, first_queue, waiting_since, handed_over_at, started_at, ended_at, state, outcome, channel,"
        f" related_contact_id, ended_by, version FROM contact_records FINAL WHERE {_RECORDS} ORDER BY version DESC LIMIT 1 BY tenant, contact_id)"
        # The segments of an imported contact were imported with it.
        f" WHERE first_queue != '' AND version > {MOST_VERSION}"
        " AND (tenant, contact_id) NOT IN (SELECT tenant, contact_id"
        f" FROM {_FACTS} AND type IN ('peyvand.routing.v1.ContactQueued', 'peyvand.routing.v1.ContactConnected'))"
    )
    source = (
        "(SELECT *, fromUnixTimestamp64Micro(began_us, 'UTC') AS began, if(over_us > 0, greatest(over_us, began_us), 0) AS ended_us"
        f" FROM ({told} UNION ALL {untold})) AS g"
        " LEFT JOIN wraps AS w ON w.tenant = g.tenant AND w.contact_id = g.contact_id AND w.agent_id = g.agent_id"
        " AND w.turn = g.turn"
        " LEFT JOIN (SELECT tenant, of_offer, argMax((mos, jitter, loss), (lasted, leg_id)) AS voice"
        f" FROM {_LEGS} WHERE of_offer != '' GROUP BY tenant, of_offer) AS l"
        " ON l.tenant = g.tenant AND l.of_offer = g.offer_id"
        " LEFT JOIN (SELECT tenant, of_contact, sum(known) AS known FROM"
        f" ({_FACTS_KNOWN} UNION ALL SELECT tenant, of_contact, toUInt64(sum(known)) AS known FROM {_LEGS}"
        " GROUP BY tenant, of_contact) GROUP BY tenant, of_contact) AS k"
        " ON k.tenant = g.tenant AND k.of_contact = g.contact_id"
        f" LEFT JOIN {_REVISIONS} AS r ON r.tenant = g.tenant"
        f" ASOF LEFT JOIN {_QUEUES} AS cq ON cq.tenant = g.tenant AND cq.queue = g.queue AND g.began >= cq.valid_from"
        f" ASOF LEFT JOIN {_AGENTS} AS ca ON ca.tenant = g.tenant AND ca.agent_id = g.agent_id AND g.began >= ca.valid_from"
    )
    return insert(
        "segments",
        [
            ("tenant", "g.tenant"),
            ("day", "toDate(g.began, 'UTC')"),
            ("contact_id", "g.contact_id"),
            ("segment_no", "g.no"),
            ("segment_id", "concat(g.contact_id, '-', toString(g.no))"),
            ("initial_segment_id", "concat(g.contact_id, '-1')"),
            ("previous_segment_id", "if(g.no > 1, concat(g.contact_id, '-', toString(g.no - 1)), '')"),
            ("next_segment_id", "if(g.no < g.many, concat(g.contact_id, '-', toString(g.no + 1)), '')"),
            ("related_contact_id", "g.related"),
            ("kind", "g.kind"),
            ("queue", "g.queue"),
            ("agent_id", "g.agent_id"),
            ("team", "ca.team"),
            ("offer_id", "g.offer_id"),
            ("agent_leg_id", "g.agent_leg_id"),
            ("channel", "g.channel"),
            ("reason", "g.reason"),
            ("started_at", "g.began"),
            ("ended_at", "if(g.ended_us = 0, NULL, fromUnixTimestamp64Micro(g.ended_us, 'UTC'))"),
            ("wait_ms", "if(g.talk OR g.ended_us = 0, 0, intDiv(g.ended_us - g.began_us, 1000))"),
            ("ring_ms", "g.ring_ms"),
            (
                "talk_ms",
                "multiIf(NOT g.talk, 0, g.talked_ms > 0, g.talked_ms, g.ended_us > 0, intDiv(g.ended_us - g.began_us, 1000), 0)",
            ),
            ("hold_ms", "g.hold_ms"),
            ("wrap_up_ms", "w.wrap_up_ms"),
            ("outcome", "g.outcome"),
            ("ended_by", "g.ended_by"),
            ("target_ms", f"if(cq.queue = '', {DEFAULT_TARGET_MS}, cq.target_ms)"),
            ("short_ms", f"if(cq.queue = '', {DEFAULT_SHORT_MS}, cq.short_ms)"),
            (
                "disposition",
                "multiIf(w.code != '' AND w.by != 'timeout', w.code, g.keyed != '', g.keyed, w.code)",
            ),
            ("mos_milli", "l.voice.1"),
            ("jitter_us", "l.voice.2"),
            ("packet_loss_ppm", "l.voice.3"),
            ("version", _VERSION.format(known="k.known + r.rows")),
        ],
        source,
        after=f"WITH {_stretches()} ",
    )


SEGMENTS: Final = _segments()

SUPERSEDED: Final = tuple(
    f"INSERT INTO {table} ({key}, version, deleted) SELECT {key}, newest, 1 FROM"
    f" (SELECT {key}, version, max(version) OVER (PARTITION BY tenant, contact_id) AS newest FROM {table} FINAL"
    f" WHERE {_RECORDS}) WHERE version < newest"
    for table, key in (
        ("contact_records", "tenant, day, contact_id"),
        ("segments", "tenant, day, contact_id, segment_no"),
    )
)
"""All rows of a contact are written under one version: those with a lesser one tell of a time when less was known."""

SLOTS_OF_CONTACTS: Final = (
    f"SELECT DISTINCT tenant, toUInt32(intDiv(toUnixTimestamp(started_at), {SLOT_S}) * {SLOT_S}) AS slot FROM segments FINAL"
    f" WHERE {_RECORDS} UNION DISTINCT"
    f" SELECT DISTINCT tenant, toUInt32(intDiv(made_us, 1000000 * {SLOT_S}) * {SLOT_S}) AS slot FROM {_OFFERS} WHERE made_us > 0"
)
"""The 15 minutes in which contacts count: of their segments, and of the offers of them."""

# -- agents. An interval is told by the change that begins it and ends with the next one; what passes midnight (UTC) goes on in a row of the
# next day, so that a day's rows are all there is to know of the day. Who is offline has one row, and nothing that
# has no end yet goes on for more than a month.
_CHANGES: Final = (
    "SELECT *, bitShiftLeft(seq, 12) + least(idx, 4095) AS place FROM agent_changes"
    " WHERE tenant IN {tenants:Array(String)} AND agent_id IN {ids:Array(String)} AND kind IN {kinds:Array(String)}"
    " AND at BETWEEN fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({to_us:Int64}, 'UTC') LIMIT 1 BY tenant, agent_id, kind, id"
)
MOST_DAYS: Final = 31


def _agent_intervals() -> str:
    spans = (
        "SELECT tenant, agent_id, kind, at, place, value, reason, contact_id, queue,"
        " leadInFrame(at) OVER w AS next_at, leadInFrame(place) OVER w AS next_place"
        f" FROM ({_CHANGES}) WINDOW w AS (PARTITION BY tenant, agent_id, kind ORDER BY seq, idx {_ALL_ROWS})"
    )
    cut = (
        f"SELECT *, next_place > 0 AS closed, if(closed, greatest(next_at, at), greatest(at, fromUnixTimestamp64Micro({{now_us:Int64}}, 'UTC'))) AS until,"
        " toDate(at, 'UTC') AS first_day, toDate(greatest(until, at), 'UTC') AS last_day,"
        " arrayJoin(range(toUInt32(1 + if(value = 'offline', 0, if(closed, last_day - first_day,"
        f" least(last_day - first_day, {MOST_DAYS})))))) AS nth, first_day + nth AS of_day,"
        " nth = if(value = 'offline', 0, last_day - first_day) AS last"
        f" FROM ({spans})"
    )
    source = (
        "(SELECT *, if(nth = 0, at, toDateTime64(of_day, 6, 'UTC')) AS began,"
        " if(last, until, toDateTime64(of_day + 1, 6, 'UTC')) AS over"
        f" FROM ({cut})) AS g"
        # An interval that ends at midnight sharp has nothing to go on with.
        f" LEFT JOIN {_REVISIONS} AS r ON r.tenant = g.tenant"
        f" ASOF LEFT JOIN {_AGENTS} AS ca ON ca.tenant = g.tenant AND ca.agent_id = g.agent_id AND g.began >= ca.valid_from"
        " WHERE g.nth = 0 OR g.over > g.began OR NOT g.closed"
    )
    return insert(
        "agent_intervals",
        [
            ("tenant", "g.tenant"),
            ("day", "g.of_day"),
            ("agent_id", "g.agent_id"),
            ("kind", "g.kind"),
            ("started_at", "g.began"),
            ("place", "g.place"),
            ("continued", "g.nth > 0"),
            ("team", "ca.team"),
            ("value", "g.value"),
            ("reason", "g.reason"),
            ("contact_id", "g.contact_id"),
            ("queue", "g.queue"),
            ("ended_at", "if(g.last AND NOT g.closed, NULL, g.over)"),
            (
                "ms",
                "if(g.last AND NOT g.closed, 0, toInt64(intDiv(toUnixTimestamp64Micro(g.over), 1000)"
                " - intDiv(toUnixTimestamp64Micro(g.began), 1000)))",
            ),
            # The next change can only come nearer as more is known, days only go by, and revisions only become more.
            (
                "version",
                "if(g.closed, toUInt64(pow(2, 52)) - least(g.next_place, toUInt64(pow(2, 52)) - 1), 0) * 64"
                " + (g.last_day - g.first_day) + r.rows",
            ),
        ],
        source,
    )


AGENT_INTERVALS: Final = _agent_intervals()

AGENTS_PARTIAL: Final = (
    "SELECT kind, agent_id FROM agent_changes WHERE tenant IN {tenants:Array(String)} AND agent_id IN {ids:Array(String)}"
    " AND kind IN {kinds:Array(String)} AND at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC') GROUP BY kind, agent_id"
    " HAVING countIf(at < fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')) = 0"
)
"""Agents whose interval before the touched one began before what is read: for them everything has to be."""

_TOUCHED_INTERVALS: Final = (
    "agent_intervals FINAL WHERE tenant IN {tenants:Array(String)} AND agent_id IN {ids:Array(String)}"
    " AND kind IN {kinds:Array(String)} AND day >= toDate(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')) - 1"
)
AGENTS_SUPERSEDED: Final = (
    "INSERT INTO agent_intervals (tenant, day, agent_id, kind, started_at, place, version, deleted)"
    " SELECT tenant, day, agent_id, kind, started_at, place, newest, 1 FROM (SELECT *, max(version) OVER"
    f" (PARTITION BY tenant, agent_id, kind, place) AS newest FROM {_TOUCHED_INTERVALS}) WHERE version < newest"
)
SLOTS_OF_AGENTS: Final = (
    "SELECT DISTINCT tenant, arrayJoin(range(toUInt32(intDiv(toUnixTimestamp(started_at), 900) * 900),"
    " toUInt32(greatest(toUnixTimestamp(ifNull(ended_at, fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))),"
    f" toUnixTimestamp(started_at)) + 1), 900)) AS slot FROM {_TOUCHED_INTERVALS} AND value != 'offline'"
    " AND ifNull(ended_at, fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')) >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')"
)
OPEN_AGENTS: Final = (
    "SELECT tenant, kind, agent_id, min(day) AS of_day FROM agent_intervals FINAL WHERE day >= {from_day:Date} AND ended_at IS NULL"
    " AND value != 'offline' GROUP BY tenant, kind, agent_id"
)
"""Agents whose last interval goes on: their 15 minutes fill, and at midnight their next day begins."""

# -- the list of work
_OPEN: Final = (
    "SELECT kind, tenant, id, since, due, touch FROM touched WHERE kind IN {kinds:Array(String)}"
    " AND due <= now64(6, 'UTC') + toIntervalMillisecond({ahead_ms:Int64})"
    " GROUP BY kind, tenant, id, since, due, touch HAVING sum(sign) > 0"
)
# Days of before there were records come last, however old they are.
TOUCHED: Final = f"{_OPEN} ORDER BY kind = 'day', toDate(since), tenant, id LIMIT {{most:UInt32}}"
BACKLOG: Final = (
    "SELECT count() AS touches, ifNull(dateDiff('millisecond', minOrNull(due), now64(6, 'UTC')), 0) AS lag_ms"
    f" FROM ({_OPEN})"
)
TOUCHED_COLUMNS: Final = ("kind", "tenant", "id", "since", "due", "touch", "sign")

# -- records of what was there before there were records
SEED: Final = (
    "INSERT INTO touched (kind, tenant, id, since, due, touch, sign)"
    " SELECT 'day', '', toString(day), toDateTime64(day, 6, 'UTC'), now64(6, 'UTC'), rand64(), 1"
    " FROM (SELECT DISTINCT day FROM contacts UNION DISTINCT SELECT DISTINCT toStartOfMonth(at) AS day FROM agent_changes)"
    " WHERE (SELECT count() FROM contact_records) = 0 AND (SELECT count() FROM agent_intervals) = 0"
    " AND (SELECT count() FROM touched WHERE kind = 'day') = 0"
)
CONTACTS_OF_DAY: Final = (
    "SELECT DISTINCT tenant, contact_id FROM contacts WHERE day = {from_day:Date}"
    " AND (tenant, contact_id) > ({tenant:String}, {after:String}) ORDER BY tenant, contact_id LIMIT {most:UInt32}"
)
AGENTS_OF_MONTH: Final = (
    "SELECT DISTINCT tenant, kind, agent_id FROM agent_changes"
    " WHERE toStartOfMonth(at) = {from_day:Date} ORDER BY tenant, kind, agent_id"
)
