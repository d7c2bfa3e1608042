"""When nobody could see a node: as long as it really was, by the faults and by what the owners of the node told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.dev.chaos.audit import Span
from deploy.dev.chaos.faults import CRASH, HANG, KILL, PARTITION, Fault
from deploy.dev.chaos.sight import ELECTION_US, IN_HAND_US, Read, blind_spans, idle_spans, reads

S = 1_000_000
NODES = ("fs1", "fs2")
OWNED = [Read("queue", "fs1", 1 * S), Read("queue-2", "fs2", 1 * S)]


def test_node_of_a_killed_owner_is_unseen_until_the_next_one_has_read_it() -> None:
    kill = Fault("queue", KILL, 10 * S, 12 * S)
    read = [*OWNED, Read("queue-2", "fs1", 11 * S)]
    assert blind_spans([kill], read, NODES) == [Span("fs1", 10 * S - IN_HAND_US, 11 * S)]


def test_node_of_a_killed_owner_that_nobody_has_read_since_is_unseen_to_the_end() -> None:
    [span] = blind_spans([Fault("queue", KILL, 10 * S, 12 * S)], OWNED, NODES)
    assert (span.what, span.until_us > 1000 * S) == ("fs1", True)


def test_both_owners_at_once_leave_both_nodes_unseen() -> None:
    read = [*OWNED, Read("queue", "fs1", 13 * S), Read("queue", "fs2", 14 * S)]
    spans = blind_spans([Fault("queue, queue-2", KILL, 10 * S, 12 * S)], read, NODES)
    assert [(span.what, span.until_us) for span in spans] == [("fs1", 13 * S), ("fs2", 14 * S)]


@pytest.mark.parametrize("process", ["routing", "queue-2", "ivr", "nats n1", "switch fs2"])
def test_node_is_seen_while_others_are_away(process: str) -> None:
    read = [*OWNED, Read("queue", "fs1", 11 * S)]
    assert [
        span
        for span in blind_spans([Fault(process, KILL, 10 * S, 12 * S)], read, NODES)
        if span.what == "fs1"
    ] == []


@pytest.mark.parametrize(("read_s", "spans"), [(14, 1), (17, 0)])
def test_owner_that_hung_and_went_on_in_time_has_seen_everything(read_s: int, spans: int) -> None:
    """What is read long after it went on is read for another reason."""
    hang = Fault("queue", HANG, 10 * S, 12 * S)
    assert len(blind_spans([hang], [*OWNED, Read("queue-2", "fs1", read_s * S)], NODES)) == spans


def test_owner_that_hung_and_went_on_could_do_nothing_meanwhile() -> None:
    hang = Fault("queue", HANG, 10 * S, 12 * S)
    assert idle_spans([hang], OWNED, NODES) == [Span("fs1", 10 * S - IN_HAND_US, 12 * S + IN_HAND_US)]
    assert idle_spans([Fault("ivr", HANG, 10 * S, 12 * S)], OWNED, NODES) == []


@pytest.mark.parametrize("how", [CRASH, PARTITION])
def test_node_that_was_away_is_unseen_until_it_is_read_again(how: str) -> None:
    read = [*OWNED, Read("queue", "fs1", 15 * S)]
    [span] = blind_spans([Fault("switch fs1", how, 10 * S, 12 * S)], read, NODES)
    assert span == Span("fs1", 10 * S - IN_HAND_US, 15 * S)


@pytest.mark.parametrize(("killed_s", "since_s"), [(9, 5), (5 + 2 + ELECTION_US // S + 1, 0)])
def test_what_nobody_could_write_down_is_unseen_too(killed_s: int, since_s: int) -> None:
    """A server of NATS is lost at 5 s for two seconds; the owner, which has held its facts since, is killed before the election is over."""
    faults = [Fault("nats n1", KILL, 5 * S, 7 * S), Fault("queue", KILL, killed_s * S, (killed_s + 1) * S)]
    [span] = blind_spans(faults, [*OWNED, Read("queue-2", "fs1", (killed_s + 2) * S)], NODES)
    assert span.began_us == (since_s * S or killed_s * S - IN_HAND_US)


def test_readings_come_from_the_logs_of_queue(tmp_path: Path) -> None:
    for name in ("queue-2", "routing"):
        lines = [
            {"event": "node_read", "node": "fs1", "timestamp": "2026-11-22T09:00:01.500Z"},
            {"event": "node_owned", "node": "fs1", "timestamp": "2026-11-22T09:00:00Z"},
        ]
        (tmp_path / f"{name}.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    [read] = reads(sorted(tmp_path.glob("*.log")))
    assert (read.process, read.node, read.at_us % (60 * S)) == ("queue-2", "fs1", 1_500_000)
