"""Do the books agree with the switch? A pure comparison of two accounts of the same calls, call by call.

One account is the ledger of the simulated switch, which knows only what the switch and the people on the phones did. The other
is read back from ClickHouse. Nothing here reads or writes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ANSWERED = "answered"
ABANDONED = "abandoned"
OTHER = "other"
SOUND_RMS = 0.001
"""A channel below this share of full scale holds no sound (a G.711 line at rest is under 0.0005)."""


@dataclass(frozen=True)
class Call:
    """A caller's call as the switch saw it. ``outcome``: answered, abandoned, or other (the services ended it).

    ``told``: between the answer and the bridge something was played to the agent, as the queue wants it.
    """

    contact_id: str
    outcome: str
    agent_id: str = ""
    answer_latency_ms: float | None = None
    told: bool = False


@dataclass(frozen=True)
class Contact:
    """The same call as ClickHouse has it. ``outcome``: answered, abandoned, or the name of another end."""

    contact_id: str
    outcome: str
    agent_id: str = ""


@dataclass(frozen=True)
class Recording:
    contact_id: str
    duration_ms: int
    rms: tuple[float, ...]

    @property
    def has_sound(self) -> bool:
        return self.duration_ms > 0 and len(self.rms) == 2 and all(r > SOUND_RMS for r in self.rms)


@dataclass(frozen=True)
class Account:
    """One side of the comparison: rows as they were found, duplicates included."""

    calls: Sequence[Call] = ()
    legs: Sequence[str] = ()


@dataclass(frozen=True)
class Books:
    """The other side."""

    contacts: Sequence[Contact] = ()
    legs: Sequence[str] = ()
    recordings: Sequence[Recording] = ()
    facts: Sequence[str] = ()


@dataclass(frozen=True)
class Balance:
    """The result. ``findings`` has one line for everything that does not agree.

    ``answer_latency_ms``: from the agent's answer to the bridge, of calls that are bridged at once; ``told_latency_ms`` of those before which
    the agent is told something, whose length is in it.
    """

    calls_offered: int
    answered: int
    abandoned: int
    other: Mapping[str, int]
    recordings: int
    legs: int
    cdr_rows: int
    facts: int
    lost: int
    duplicated: int
    mismatched: int
    answer_latency_ms: Mapping[str, float | None]
    told_latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    findings: tuple[str, ...] = field(default=())

    @property
    def balanced(self) -> bool:
        """Whether everything agrees, and under 1 % of the calls ended in neither of the two ordinary ways."""
        return not (self.lost or self.duplicated or self.mismatched) and sum(self.other.values()) * 100 < max(
            self.calls_offered, 1
        )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99)}


def _compare_sets(
    what: str, wanted: Iterable[str], found: Iterable[str]
) -> tuple[list[str], list[str], list[str]]:
    """(lost, duplicated, foreign) as lines."""
    there = Counter(found)
    want = set(wanted)
    lost = [f"lost: {what} {x} is not in ClickHouse" for x in sorted(want - there.keys())]
    doubled = [f"duplicated: {what} {x} is there {n} times" for x, n in sorted(there.items()) if n > 1]
    foreign = [
        f"mismatched: {what} {x} is in ClickHouse but not in the ledger" for x in sorted(there.keys() - want)
    ]
    return lost, doubled, foreign


def balance(account: Account, books: Books, stream_facts: Sequence[str]) -> Balance:
    """Compare the switch's account with the books; ``stream_facts`` are the ids of all facts in the bus's streams."""
    lost: list[str] = []
    doubled: list[str] = []
    wrong: list[str] = []
    for what, wanted, found in (
        ("call", [c.contact_id for c in account.calls], [c.contact_id for c in books.contacts]),
        ("leg", account.legs, books.legs),
        ("fact", stream_facts, books.facts),
        (
            "recording of",
            [c.contact_id for c in account.calls if c.outcome == ANSWERED],
            [r.contact_id for r in books.recordings],
        ),
    ):
        a, b, c = _compare_sets(what, wanted, found)
        lost += a
        doubled += b
        wrong += c
    by_contact = {c.contact_id: c for c in books.contacts}
    for call in account.calls:
        row = by_contact.get(call.contact_id)
        if row is None:
            continue
        kind = row.outcome if row.outcome in (ANSWERED, ABANDONED) else OTHER
        if kind != call.outcome:
            wrong.append(
                f"mismatched: call {call.contact_id} was {call.outcome}, the books say {row.outcome}"
            )
        elif row.agent_id != call.agent_id:
            wrong.append(
                f"mismatched: call {call.contact_id} was answered by {call.agent_id!r}, the books say {row.agent_id!r}"
            )
    wrong += [
        f"mismatched: recording of {r.contact_id} has no sound: {r}"
        for r in books.recordings
        if not r.has_sound
    ]
    outcomes = Counter(c.outcome for c in books.contacts)
    latencies: dict[bool, list[float]] = {False: [], True: []}
    for call in account.calls:
        if call.answer_latency_ms is not None:
            latencies[call.told].append(call.answer_latency_ms)
    return Balance(
        calls_offered=len(account.calls),
        answered=outcomes.pop(ANSWERED, 0),
        abandoned=outcomes.pop(ABANDONED, 0),
        other=dict(sorted(outcomes.items())),
        recordings=len(books.recordings),
        legs=len(account.legs),
        cdr_rows=len(books.legs),
        facts=len(books.facts),
        lost=len(lost),
        duplicated=len(doubled),
        mismatched=len(wrong),
        answer_latency_ms=_percentiles(latencies[False]),
        told_latency_ms=_percentiles(latencies[True]),
        findings=(*lost, *doubled, *wrong),
    )
