"""The live projection: what each fact does to the board."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from services.reporting.core import live_facts as f
from services.reporting.core.live import LiveProjection, day_start
from services.reporting.core.live_agents import MAX_AGENT_ROWS
from services.reporting.core.live_board import Board

S = 1_000_000
NOON = 1_795_249_800 * S  # 2026-11-21 12:00 in Tehran


def center(*queues: str, agents: dict[str, tuple[str, ...]] | None = None, **targets: float) -> f.CenterInfo:
    return f.CenterInfo(
        tenant="demo",
        names={"en": "Demo"},
        zone=ZoneInfo("Asia/Tehran"),
        zone_name="Asia/Tehran",
        revision="r1",
        languages=("fa", "en"),
        queues=tuple(f.QueueInfo(q, {"en": q}, f.QueueTargets(**targets)) for q in queues or ("sales",)),
        agents=tuple(f.AgentInfo(a, {"en": a}, q) for a, q in (agents or {}).items()),
        break_reasons=(f.BreakReason("lunch", {"en": "Lunch"}, limit_s=1800),),
    )


class Story:
    """Facts told one after the other; ``at`` is seconds after noon."""

    def __init__(self, info: f.CenterInfo) -> None:
        self.projection = LiveProjection(info)
        self.seq = 0

    def tell(self, at: float, *facts: f.LiveFact) -> None:
        for fact in facts:
            self.seq += 1
            source: f.Source = "ivr" if isinstance(fact, f.IVR_FACTS) else "routing"
            self.projection.handle(source, f.Position(self.seq), fact, int(NOON + at * S))

    def board(self, at: float) -> Board:
        return self.projection.snapshot(int(NOON + at * S))

    def queued(self, at: float, contact: str, queue: str = "sales") -> None:
        self.tell(at, f.ContactQueued(contact, queue, int(NOON + at * S)))

    def answered(self, at: float, contact: str, wait_s: float, queue: str = "sales") -> None:
        self.queued(at - wait_s, contact, queue)
        self.tell(at, f.ContactConnected(contact, queue, int(wait_s * 1000)))
        self.tell(at + 60, f.ContactClosed(contact, queue, "completed", int(wait_s * 1000)))

    def abandoned(self, at: float, contact: str, wait_s: float, queue: str = "sales") -> None:
        self.queued(at - wait_s, contact, queue)
        self.tell(at, f.ContactClosed(contact, queue, "abandoned", int(wait_s * 1000)))

    def login(self, at: float, *agents: str) -> None:
        for agent in agents:
            self.tell(at, f.AgentPresenceChanged(agent, "available"), f.AgentActivityChanged(agent, "idle"))


def test_a_contact_goes_from_menu_to_waiting_to_talking_to_done() -> None:
    story = Story(center())
    story.tell(0, f.ContactStarted("c", NOON))
    assert story.board(1).tiles.waiting.in_menu == 1
    story.tell(5, f.ContactHandedOver("c", "sales"))
    story.queued(5, "c")
    board = story.board(12)
    assert (board.tiles.waiting.value, board.tiles.waiting.in_menu) == (1, 0)
    assert board.tiles.longest.since_us == NOON + 5 * S
    assert board.books.open == 1
    story.tell(15, f.ContactConnected("c", "sales", 10_000))
    board = story.board(16)
    assert (board.queues[0].waiting, board.queues[0].talking) == (0, 1)
    assert board.books.answered == 1
    story.tell(90, f.ContactClosed("c", "sales", "completed", 10_000))
    board = story.board(91)
    assert board.queues[0].talking == 0
    assert (board.books.offered, board.books.answered, board.books.open) == (1, 1, 0)


def test_service_level_is_answered_in_time_over_answered_and_abandoned() -> None:
    story = Story(center())
    for n in range(6):
        story.answered(10 + n, f"in-time-{n}", 20.0)
    story.answered(20, "late", 20.001)
    story.abandoned(30, "gone", 90)
    story.abandoned(31, "gone-at-once", 2)
    tile = story.board(40).tiles.service_level
    assert (tile.answered_in_time, tile.answered, tile.abandoned) == (6, 7, 2)
    assert tile.value_pct == pytest.approx(100 * 6 / 8)  # who was gone at once is left out
    abandoned = story.board(40).tiles.abandoned
    assert (abandoned.abandoned, abandoned.short, abandoned.offered) == (2, 1, 9)


def test_the_window_forgets_after_half_an_hour_and_today_does_not() -> None:
    story = Story(center())
    story.answered(10, "c", 5)
    assert story.board(29 * 60).tiles.service_level.answered == 1
    later = story.board(31 * 60)
    assert later.tiles.service_level.value_pct is None
    assert later.tiles.service_level.before_pct == 100.0
    assert later.books.answered == 1


def test_today_begins_at_midnight_of_the_centers_time_zone() -> None:
    info = center()
    midnight = day_start(NOON, info)
    assert midnight == NOON - 12 * 3600 * S
    story = Story(info)
    story.answered(-12 * 3600 - 1, "yesterday", 5)
    story.answered(-12 * 3600, "today", 5)
    assert story.board(0).books.answered == 1


@pytest.mark.parametrize(
    ("zone", "utc_s", "hours"),
    [("Asia/Kathmandu", 1_795_249_800, 14.25), ("Europe/Berlin", 1_792_908_000, 8.0)],
    ids=["offset of 5:45", "seven in the morning of the day with 25 hours"],
)
def test_midnight_in_other_zones(zone: str, utc_s: int, hours: float) -> None:
    info = f.CenterInfo("t", {}, ZoneInfo(zone), zone, "r", (), (), ())
    assert (utc_s * S - day_start(utc_s * S, info)) / (3600 * S) == hours


def test_callers_who_hang_up_in_the_menu_are_counted_apart() -> None:
    story = Story(center())
    story.tell(0, f.ContactStarted("a", NOON), f.ContactStarted("b", NOON))
    story.tell(9, f.IvrEnded("a", "hung_up"), f.IvrEnded("b", "closed"))
    board = story.board(10)
    assert board.tiles.abandoned.left_menu == 1
    assert board.tiles.abandoned.abandoned == 0
    assert (board.books.abandoned_menu, board.books.other, board.books.offered) == (1, 1, 2)
    assert board.quarters[-1].abandoned == 1


def test_an_overflow_moves_the_contact_and_counts_it_once() -> None:
    story = Story(center("sales", "support"))
    story.queued(0, "c", "sales")
    story.tell(60, f.ContactOverflowed("c", "sales", "queue"), f.ContactQueued("c", "support", NOON))
    sales, support = story.board(61).queues
    assert (sales.waiting, support.waiting) == (0, 1)
    assert support.longest_since_us == NOON
    story.tell(
        80, f.ContactConnected("c", "support", 80_000), f.ContactClosed("c", "support", "completed", 80_000)
    )
    board = story.board(81)
    assert (board.books.offered, board.books.answered) == (1, 1)


def test_a_contact_that_leaves_to_outside_is_neither_answered_nor_abandoned() -> None:
    story = Story(center())
    story.queued(0, "c")
    story.tell(60, f.ContactOverflowed("c", "sales", "transfer"))
    assert story.board(61).tiles.waiting.value == 0
    story.tell(62, f.ContactClosed("c", "sales", "overflowed", 60_000))
    board = story.board(63)
    assert (board.books.other, board.books.answered, board.books.abandoned_queue) == (1, 0, 0)


def test_a_contact_whose_agent_vanished_waits_again_and_is_answered_once() -> None:
    story = Story(center())
    story.queued(0, "c")
    story.tell(5, f.ContactConnected("c", "sales", 5000))
    story.queued(50, "c")
    assert story.board(51).tiles.waiting.value == 1
    story.tell(60, f.ContactConnected("c", "sales", 60_000))
    story.tell(90, f.ContactClosed("c", "sales", "completed", 60_000))
    assert story.board(91).books.answered == 1


def test_a_contact_found_alive_after_it_was_given_up_keeps_its_one_outcome() -> None:
    story = Story(center())
    story.queued(0, "c")
    story.tell(10, f.ContactClosed("c", "sales", "ended_unseen", 10_000))
    story.queued(20, "c")
    story.tell(
        30, f.ContactConnected("c", "sales", 30_000), f.ContactClosed("c", "sales", "completed", 30_000)
    )
    board = story.board(40)
    assert (board.books.offered, board.books.other, board.books.answered) == (1, 1, 0)


def test_agents_states_join_presence_and_activity() -> None:
    story = Story(center(agents={"ann": ("sales",), "bob": ("sales",), "cem": (), "dua": ()}))
    story.login(0, "ann", "bob", "cem")
    story.tell(1, f.AgentPresenceChanged("dua", "offline"))
    story.tell(10, f.AgentActivityChanged("ann", "talking", "sales"))
    story.tell(20, f.AgentPresenceChanged("ann", "offline"))  # logs out in the call: still talking
    story.tell(30, f.AgentPresenceChanged("bob", "break", "lunch"))
    story.tell(40, f.AgentActivityChanged("cem", "unreachable"))
    rows = {r.id: r for r in story.board(50).agents}
    assert {a: (r.state, (r.since_us - NOON) // S) for a, r in rows.items()} == {
        "ann": ("talking", 10),
        "bob": ("break", 30),
        "cem": ("unreachable", 40),
    }
    assert rows["bob"].reason_names == {"en": "Lunch"}
    story.tell(60, f.AgentActivityChanged("ann", "idle"))
    assert "ann" not in {r.id for r in story.board(61).agents}


def test_a_break_chosen_in_a_call_counts_from_the_end_of_the_call() -> None:
    story = Story(center(agents={"ann": ("sales",)}))
    story.login(0, "ann")
    story.tell(10, f.AgentActivityChanged("ann", "talking", "sales"))
    story.tell(20, f.AgentPresenceChanged("ann", "break", "lunch"))
    story.tell(90, f.AgentActivityChanged("ann", "idle"))
    (row,) = story.board(91).agents
    assert (row.state, row.since_us) == ("break", NOON + 90 * S)


def test_wrap_up_belongs_to_the_queue_of_the_call() -> None:
    story = Story(center("sales", "support", agents={"ann": ("sales", "support")}))
    story.login(0, "ann")
    story.tell(10, f.AgentActivityChanged("ann", "talking", "support"))
    story.tell(20, f.AgentActivityChanged("ann", "wrap_up"))
    assert [q.wrap_up for q in story.board(21).queues] == [0, 1]


def alarms(board: Board) -> list[tuple[str, str, str]]:
    return [(a.code, a.level, a.subject) for a in board.alarms]


def test_a_queue_without_idle_agent_raises_when_somebody_has_waited_so_long() -> None:
    story = Story(center(agents={"ann": ("sales",)}, longest_warn_s=9_000, longest_crit_s=9_000))
    story.login(-500, "ann")
    story.tell(-400, f.AgentActivityChanged("ann", "talking", "sales"))
    assert alarms(story.board(0)) == []  # busy, but nobody waits
    story.queued(0, "c")
    assert alarms(story.board(59)) == []
    assert alarms(story.board(60)) == [("no_idle", "warn", "sales")]
    assert alarms(story.board(180)) == [("no_idle", "crit", "sales")]
    story.tell(190, f.AgentActivityChanged("ann", "idle"))
    assert alarms(story.board(191)) == []


def test_a_queue_with_callers_and_nobody_logged_in_is_critical_at_once() -> None:
    story = Story(center(agents={"ann": ("sales",)}))
    story.queued(0, "c")
    assert alarms(story.board(1)) == [("unstaffed", "crit", "sales")]


def test_a_level_falls_only_below_ninety_percent_of_its_bound() -> None:
    story = Story(center(waiting_warn=10, waiting_crit=20))
    for n in range(10):
        story.queued(n, f"c{n}")
    assert story.board(20).queues[0].waiting_level == "warn"
    story.tell(21, f.ContactClosed("c0", "sales", "abandoned", 21_000))
    assert story.board(22).queues[0].waiting_level == "warn"  # nine are 90 %
    story.tell(23, f.ContactClosed("c1", "sales", "abandoned", 22_000))
    assert story.board(24).queues[0].waiting_level == "ok"
    story.queued(25, "d")
    assert story.board(26).queues[0].waiting_level == "ok"  # nine again, coming from below


def test_few_contacts_are_no_service_level_alarm() -> None:
    story = Story(center())
    for n in range(4):
        story.abandoned(10 + n, f"c{n}", 9)
    assert story.board(20).queues[0].service_level == "none"
    story.abandoned(21, "c4", 9)
    board = story.board(22)
    assert board.queues[0].service_level == "crit"
    assert ("service_level", "crit", "sales") in alarms(board)


def test_long_breaks_missed_calls_and_lost_phones_are_shown() -> None:
    story = Story(center(agents={"ann": (), "bob": (), "cem": (), "dua": ()}))
    story.login(0, "ann", "bob", "cem", "dua")
    story.tell(1, f.AgentPresenceChanged("ann", "break", "lunch"), f.AgentPresenceChanged("bob", "break", ""))
    story.tell(1700, f.AgentPresenceChanged("cem", "break", "no_answer"))
    story.tell(1701, f.AgentActivityChanged("dua", "unreachable"))
    assert alarms(story.board(1702)) == [  # lunch may last 30 minutes, other breaks 15
        ("break_over", "warn", "bob"),
        ("missed_offer", "warn", "cem"),
        ("unreachable", "warn", "dua"),
    ]


def test_a_lost_node_is_critical_until_it_is_back() -> None:
    story = Story(center())
    story.tell(0, f.NodeChanged("fs1", up=False))
    assert alarms(story.board(1)) == [("node_down", "crit", "fs1")]
    story.tell(2, f.NodeChanged("fs1", up=True))
    assert alarms(story.board(3)) == []


def test_trend_carries_those_who_wait_over_quiet_quarter_hours() -> None:
    story = Story(center())
    story.queued(0, "a")
    story.queued(1, "b")
    story.tell(2, f.ContactClosed("b", "sales", "abandoned", 1000))
    assert story.board(50 * 60).queues[0].trend == (0, 0, 0, 0, 2, 1, 1, 1)


def test_a_new_revision_changes_names_and_targets_but_not_counts() -> None:
    story = Story(center())
    story.answered(0, "c", 30)
    story.projection.reconfigure(center("sales", "support", service_level_s=60))
    board = story.board(70)
    assert [q.id for q in board.queues] == ["sales", "support"]
    assert board.queues[0].answered_in_time == 0
    story.answered(80, "d", 30)
    assert story.board(141).queues[0].answered_in_time == 1


def test_a_removed_queue_is_shown_until_it_is_empty() -> None:
    story = Story(center("sales", "old"))
    story.queued(0, "c", "old")
    story.projection.reconfigure(center("sales"))
    assert [q.id for q in story.board(1).queues] == ["sales", "old"]
    story.tell(2, f.ContactClosed("c", "old", "abandoned", 2000))
    assert [q.id for q in story.board(3).queues] == ["sales"]


def test_the_list_of_agents_is_bounded_and_the_counts_are_not() -> None:
    names = {f"a{n}": ("sales",) for n in range(MAX_AGENT_ROWS + 7)}
    story = Story(center(agents=names))
    story.login(0, *names)
    board = story.board(1)
    assert len(board.agents) == MAX_AGENT_ROWS
    assert sum(s.count for s in board.agent_states) == len(names)


def test_a_center_level_pools_the_targets_of_its_queues() -> None:
    info = f.CenterInfo(
        "demo", {}, ZoneInfo("UTC"), "UTC", "r", (),
        (
            f.QueueInfo("a", {}, f.QueueTargets(service_level_pct=90, service_level_s=10)),
            f.QueueInfo("b", {}, f.QueueTargets(service_level_pct=70, service_level_s=30)),
        ),
        (),
    )  # fmt: skip
    story = Story(info)
    for n in range(3):
        story.answered(n, f"a{n}", 5, "a")
    story.answered(5, "b", 5, "b")
    tile = story.board(70).tiles.service_level
    assert (tile.target_pct, tile.target_s) == (85.0, None)


def test_calls_that_agents_place_are_told_from_talks_with_callers() -> None:
    story = Story(center(agents={"sara": ("sales",), "reza": ("sales",)}))
    story.login(0, "sara", "reza")

    def shown(at: float) -> dict[str, str]:
        return {a.id: a.state for a in story.board(at).agents}

    story.tell(
        1,
        f.ContactQueued("out", "sales", NOON + S, kind="outbound"),
        f.AgentActivityChanged("sara", "offered", "sales", "out"),
        f.AgentActivityChanged("reza", "own_call"),
    )
    assert shown(2) == {"sara": "outbound", "reza": "own_call"}
    story.tell(
        5, f.ContactConnected("out", "sales"), f.AgentActivityChanged("sara", "talking", "sales", "out")
    )
    board = story.board(6)
    assert (shown(6)["sara"], board.queues[0].talking, board.tiles.idle.value) == ("outbound", 0, 0)
    assert {s.state: s.count for s in board.agent_states}["talking"] == 0
    story.tell(
        7,
        f.AgentActivityChanged("reza", "idle"),
        f.AgentActivityChanged("reza", "offered", "sales", "out"),
    )
    assert shown(8) == {"sara": "outbound", "reza": "ringing"}, "who is asked about it has not placed it"
    story.tell(
        9, f.ContactClosed("out", "sales", "completed"), f.AgentActivityChanged("sara", "wrap_up", "sales", "out")
    )  # fmt: skip
    assert shown(10)["sara"] == "wrap_up"
    story.queued(11, "in")
    story.tell(
        12, f.ContactConnected("in", "sales"), f.AgentActivityChanged("sara", "talking", "sales", "in")
    )
    assert (shown(13)["sara"], story.board(13).queues[0].talking) == ("talking", 1)


def test_other_channels_are_in_no_number_of_calls_and_shown_at_their_agents() -> None:
    story = Story(center(agents={"sara": ("sales",)}))
    story.login(0, "sara")
    story.tell(1, f.ContactQueued("chat", "sales", NOON, channel="chat"))
    assert (story.board(2).tiles.waiting.value, story.board(2).queues[0].waiting) == (0, 0)
    story.tell(
        3,
        f.ContactConnected("chat", "sales", 3_000, channel="chat"),
        f.AgentActivityChanged("sara", "handling"),
    )
    board = story.board(4)
    assert (board.queues[0].talking, board.tiles.service_level.answered) == (0, 0)
    assert (board.tiles.idle.value, [a.state for a in board.agents]) == (0, ["handling"])
    story.tell(5, f.ContactQueued("moved", "sales", NOON, channel="email"))
    story.tell(6, f.ContactOverflowed("moved", "sales", "queue"))
    story.tell(9, f.ContactClosed("chat", "sales", "completed", 3_000, channel="chat"))
    story.tell(9, f.ContactClosed("moved", "sales", "abandoned", 3_000, channel="email"))
    books = story.board(10).books
    assert (books.offered, books.answered, books.abandoned_queue, books.open) == (0, 0, 0, 0)
