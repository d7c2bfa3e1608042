"""The live board against a naive recount, under repetition and any interleaving of its two streams."""

from __future__ import annotations

from collections import Counter
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.core import live_facts as f
from services.reporting.core.live import LiveProjection
from services.reporting.core.live_board import Board
from services.reporting.core.live_counts import QUARTER_US, Peaks, Slots
from services.reporting.core.live_levels import rise

S = 1_000_000
START = 1_795_249_800 * S
QUEUES = ("sales", "support")
CENTER = f.CenterInfo(
    tenant="demo",
    names={},
    zone=ZoneInfo("Asia/Tehran"),
    zone_name="Asia/Tehran",
    revision="r",
    languages=(),
    queues=tuple(f.QueueInfo(q, {}) for q in QUEUES),
    agents=(f.AgentInfo("ann", {}, QUEUES), f.AgentInfo("bob", {}, ("sales",))),
)

Entry = tuple[f.Source, f.Position, f.LiveFact, int]


class Life(msgspec.Struct):
    """How one contact goes: seconds in the menu, waiting and talking, and its end."""

    start_s: int
    menu_s: int
    ending: str  # menu, closed, answered, abandoned, overflowed, open
    queue: str
    moved: bool
    wait_s: int
    talk_s: int


lives = st.builds(
    Life,
    start_s=st.integers(0, 3000),
    menu_s=st.integers(1, 60),
    ending=st.sampled_from(["menu", "closed", "answered", "abandoned", "overflowed", "open", "talking"]),
    queue=st.sampled_from(QUEUES),
    moved=st.booleans(),
    wait_s=st.integers(2, 400),
    talk_s=st.integers(1, 400),
)


def facts_of(n: int, life: Life) -> list[tuple[int, f.LiveFact]]:
    contact, queue = f"c{n}", life.queue
    at = START + life.start_s * S
    facts: list[tuple[int, f.LiveFact]] = [(at, f.ContactStarted(contact, at))]
    at += life.menu_s * S
    if life.ending in ("menu", "closed"):
        return [*facts, (at, f.IvrEnded(contact, "hung_up" if life.ending == "menu" else "closed"))]
    since = at
    facts += [(at, f.ContactHandedOver(contact, queue)), (at, f.ContactQueued(contact, queue, since))]
    if life.moved:
        at += life.wait_s * S // 2
        other = QUEUES[1 - QUEUES.index(queue)]
        facts += [
            (at, f.ContactOverflowed(contact, queue, "queue")),
            (at, f.ContactQueued(contact, other, since)),
        ]
        queue = other
    at = since + life.wait_s * S
    wait_ms = life.wait_s * 1000
    if life.ending in ("answered", "talking"):
        facts.append((at, f.ContactConnected(contact, queue, wait_ms)))
        if life.ending == "answered":
            facts.append((at + life.talk_s * S, f.ContactClosed(contact, queue, "completed", wait_ms)))
    elif life.ending == "overflowed":
        facts += [
            (at, f.ContactOverflowed(contact, queue, "hangup")),
            (at + S, f.ContactClosed(contact, queue, "overflowed", wait_ms)),
        ]
    elif life.ending == "abandoned":
        facts.append((at, f.ContactClosed(contact, queue, "abandoned", wait_ms)))
    return facts


def agent_facts(moves: list[tuple[int, str, str]]) -> list[tuple[int, f.LiveFact]]:
    facts: list[tuple[int, f.LiveFact]] = []
    for at_s, agent, word in moves:
        at = START + at_s * S
        if word in ("available", "break", "offline"):
            facts.append((at, f.AgentPresenceChanged(agent, word)))
        else:
            facts.append((at, f.AgentActivityChanged(agent, word, "sales")))
    return facts


moves = st.lists(
    st.tuples(
        st.integers(0, 3600),
        st.sampled_from(["ann", "bob", "gone"]),
        st.sampled_from(
            ["available", "break", "offline", "idle", "offered", "talking", "wrap_up", "unreachable"]
        ),
    ),
    max_size=20,
)


def streams(all_lives: list[Life], agent_moves: list[tuple[int, str, str]]) -> dict[f.Source, list[Entry]]:
    told = [x for n, life in enumerate(all_lives) for x in facts_of(n, life)] + agent_facts(agent_moves)
    told.sort(key=lambda x: x[0])
    by_source: dict[f.Source, list[Entry]] = {"ivr": [], "routing": []}
    for seq, (at, fact) in enumerate(told, start=1):
        source: f.Source = "ivr" if isinstance(fact, f.IVR_FACTS) else "routing"
        by_source[source].append((source, f.Position(seq), fact, at))
    return by_source


def board_of(entries: list[Entry], now_us: int) -> Board:
    projection = LiveProjection(CENTER)
    for source, position, fact, at in entries:
        projection.handle(source, position, fact, at)
    return projection.snapshot(now_us)


NOW = START + 5000 * S
END_OF_WINDOW = (NOW // (60 * S) + 1) * 60 * S


@given(st.lists(lives, max_size=25), moves)
@settings(max_examples=150, deadline=None)
def test_the_board_equals_a_naive_recount(
    all_lives: list[Life], agent_moves: list[tuple[int, str, str]]
) -> None:
    by_source = streams(all_lives, agent_moves)
    board = board_of(by_source["ivr"] + by_source["routing"], NOW)

    ends = Counter(life.ending for life in all_lives)
    books = board.books
    assert books.offered == len(all_lives)
    assert books.answered == ends["answered"] + ends["talking"]
    assert books.abandoned_queue == ends["abandoned"]
    assert books.abandoned_menu == ends["menu"]
    assert books.other == ends["closed"] + ends["overflowed"]
    assert books.open == ends["open"]
    assert books.offered == (
        books.answered + books.abandoned_queue + books.abandoned_menu + books.other + books.open
    )
    assert sum(q.talking for q in board.queues) == ends["talking"]
    assert board.tiles.waiting.value == sum(q.waiting for q in board.queues) == ends["open"]
    waiting = [START + (x.start_s + x.menu_s) * S for x in all_lives if x.ending == "open"]
    assert board.tiles.longest.since_us == min(waiting, default=0)

    def last_queue(life: Life) -> str:
        return QUEUES[(QUEUES.index(life.queue) + life.moved) % 2]

    def outcome_at(life: Life) -> int:
        return START + (life.start_s + life.menu_s + life.wait_s) * S

    window = [x for x in all_lives if END_OF_WINDOW - 1800 * S <= outcome_at(x) < END_OF_WINDOW]
    for row in board.queues:
        mine = [x for x in window if last_queue(x) == row.id]
        answered = [x for x in mine if x.ending in ("answered", "talking")]
        assert row.answered == len(answered)
        assert row.answered_in_time == sum(x.wait_s <= 20 for x in answered)
        assert row.abandoned == sum(x.ending == "abandoned" for x in mine)
    bars = Counter(outcome_at(x) // QUARTER_US for x in all_lives if x.ending in ("answered", "talking"))
    assert {q.start_us // QUARTER_US: q.answered for q in board.quarters if q.answered} == bars


@given(st.lists(lives, max_size=15), moves, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_interleaving_and_repetition_change_nothing(
    all_lives: list[Life], agent_moves: list[tuple[int, str, str]], chance: object
) -> None:
    by_source = streams(all_lives, agent_moves)
    plain = board_of(by_source["ivr"] + by_source["routing"], NOW)

    # Each stream goes on in order, now and then from an earlier place again; which one is ahead is left to chance.
    cursor: dict[f.Source, int] = {"ivr": 0, "routing": 0}
    entries: list[Entry] = []
    rolls = 0
    while any(cursor[s] < len(by_source[s]) for s in cursor):
        source: f.Source = chance.choice(["ivr", "routing"])  # type: ignore[attr-defined]
        if rolls < 40 and chance.random() < 0.15:  # type: ignore[attr-defined]
            rolls += 1
            cursor[source] = chance.randint(0, cursor[source])  # type: ignore[attr-defined]
        if cursor[source] < len(by_source[source]):
            entries.append(by_source[source][cursor[source]])
            cursor[source] += 1
    assert board_of(entries, NOW) == plain


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, (list, tuple)):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-100, 7200), st.integers(0, 11)), max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_number_is_ever_negative_whatever_is_told(steps: list[tuple[int, int, int]]) -> None:
    """Facts in an order that cannot be: ends without beginnings, doubles, times that go back."""
    projection = LiveProjection(CENTER)
    for seq, (who, at_s, kind) in enumerate(steps, start=1):
        contact, at = f"c{who % 7}", START + at_s * S
        queue = QUEUES[who % 2]
        facts: list[f.LiveFact] = [
            f.ContactStarted(contact, at),
            f.ContactHandedOver(contact, queue),
            f.IvrEnded(contact, "hung_up"),
            f.ContactQueued(contact, queue, at),
            f.ContactConnected(contact, queue, 100),
            f.ContactOverflowed(contact, queue, "queue"),
            f.ContactOverflowed(contact, queue, "transfer"),
            f.ContactClosed(contact, queue, "abandoned", 100),
            f.ContactClosed(contact, queue, "completed", 100),
            f.AgentPresenceChanged("ann", "available"),
            f.AgentActivityChanged("ann", "talking", queue),
            f.NodeChanged("fs1", who % 2 == 0),
        ]
        source: f.Source = "ivr" if kind < 3 else "routing"
        projection.handle(source, f.Position(seq), facts[kind], at)
        board = projection.snapshot(START + 7300 * S)
        assert min(numbers(msgspec.to_builtins(board))) >= 0


@given(st.lists(st.tuples(st.integers(0, 20 * 96), st.sampled_from(QUEUES)), max_size=300))
@settings(deadline=None)
def test_memory_does_not_grow_with_the_days(hits: list[tuple[int, str]]) -> None:
    slots = Slots(QUARTER_US, 108)
    for quarter, queue in hits:
        slots.at(START + quarter * QUARTER_US, queue).answered += 1
        assert len(slots) <= 108


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9)), max_size=40))
@settings(deadline=None)
def test_peaks_equal_a_naive_look_at_every_second(changes: list[tuple[int, int]]) -> None:
    width, slots = 60, 4
    changes.sort(key=lambda c: c[0])
    peaks = Peaks(width, slots)
    values, at = [0] * 480, 0
    seen: dict[int, int] = {}
    for second, number in changes:
        peaks.set(second, number)
        values[second:] = [number] * (480 - second)
        seen[second // width] = max(seen.get(second // width, 0), number)
        at = second
    now = at + 30
    end = now // width
    naive = []
    for slot in range(end - slots + 1, end + 1):
        inside = [values[s] for s in range(max(slot * width, 0), min((slot + 1) * width, now + 1))]
        # A number that was replaced within the same second was still there for a moment.
        naive.append(max([0, *inside, seen.get(slot, 0)]))
    if changes:
        first = changes[0][0] // width
        # What came in at the border of a slot counts there too: the last value of the slot before lasted into it.
        for i, slot in enumerate(range(end - slots + 1, end + 1)):
            if slot > first and slot * width - 1 >= 0:
                naive[i] = max(naive[i], values[slot * width - 1])
    assert peaks.series(now, slots) == tuple(naive)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=30), st.floats(1, 10), st.floats(1, 10))
def test_a_level_never_falls_at_or_above_ninety_percent_of_its_bound(
    values: list[float], warn: float, step: float
) -> None:
    level, crit = rise(0, warn=warn, crit=warn + step, before="ok"), warn + step
    for value in values:
        before, level = level, rise(value, warn=warn, crit=crit, before=level)
        if value >= crit:
            assert level == "crit"
        if before in ("warn", "crit") and value >= warn * 0.9:
            assert level in ("warn", "crit")
        if value < warn * 0.9:
            assert level == "ok"
