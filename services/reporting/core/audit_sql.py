"""The SQL of the standing check: which messages of a stretch of a stream have their facts in ``facts``.

A message's facts are inserted together and numbered from 0 on without a gap, so a message is there as a whole, in part (rows were taken
away) or not at all.
"""

# ruff: noqa: S608 -- the one name in the text is this file's own; values are parameters

from __future__ import annotations

from typing import Any, Final

from services.reporting.core.sql import Statement

GAPS_MAX: Final = 1000
TORN_MAX: Final = 1000

_WITHIN: Final = (
    "stream = {stream:String} AND seq > {after:UInt64} AND seq <= {to:UInt64}"
    " AND at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')"
)


def counts(stream: str, after_seq: int, to_seq: int, since_us: int) -> Statement:
    """``facts`` and ``messages`` of the sequences after ``after_seq`` up to ``to_seq``, and ``torn``: those with a fact less than they had.

    Facts from before ``since_us`` are left out: that spares reading the months before.
    """
    sql = (
        f"SELECT sum(n) AS facts, count() AS messages, groupArrayIf({TORN_MAX})(seq, n != top + 1) AS torn"
        f" FROM (SELECT seq, uniqExact(idx) AS n, max(idx) AS top FROM facts WHERE {_WITHIN} GROUP BY seq)"
    )
    return Statement(sql, _params(stream, after_seq, to_seq, since_us))


def gaps(stream: str, after_seq: int, to_seq: int, since_us: int) -> Statement:
    """Pairs (``after``, ``before``): no fact has a sequence between the two; at most GAPS_MAX, in order."""
    sql = (
        "SELECT after, before FROM (SELECT seq AS before, lagInFrame(seq, 1, {after:UInt64}) OVER"
        " (ORDER BY seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS after"
        f" FROM (SELECT DISTINCT seq FROM facts WHERE {_WITHIN} UNION ALL SELECT {{to:UInt64}} + 1 AS seq))"
        f" WHERE before > after + 1 ORDER BY before LIMIT {GAPS_MAX}"
    )
    return Statement(sql, _params(stream, after_seq, to_seq, since_us))


def whole(stream: str, seqs: list[int]) -> Statement:
    """Which of these sequences have all facts, whenever they were."""
    sql = (
        "SELECT seq FROM facts WHERE stream = {stream:String} AND seq IN {seqs:Array(UInt64)}"
        " GROUP BY seq HAVING uniqExact(idx) = max(idx) + 1"
    )
    return Statement(sql, {"stream": stream, "seqs": seqs})


def _params(stream: str, after_seq: int, to_seq: int, since_us: int) -> dict[str, Any]:
    return {"stream": stream, "after": after_seq, "to": to_seq, "since_us": max(since_us, 0)}
