"""When could nobody see what happened on a FreeSWITCH node?

Events of a node reach its owner alone. What happens between the moment in which an owner is killed, or hangs, and the moment in which the
next one has read the node, nobody sees: a leg that ends then has *ended unseen*, and a conversation that began and ended then leaves
no word. That is a fair account only for as long as it really lasted. So the spans come from what was done (the faults) and from what the
owners wrote into their logs (``node_read``), never from a flat allowance: an owner that is slow to read the node shows in the number of calls that
had to be excused.

What an owner had seen but not yet appended dies with it, too: a second's worth at most, or all since NATS stopped to take writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.dev.chaos.audit import Span
from deploy.dev.chaos.faults import CRASH, HANG, KILL, PARTITION, Fault

IN_HAND_US: Final = 1_000_000
"""So old a fact may be and not be appended yet, with everything in order."""
ELECTION_US: Final = 12_000_000
"""So long after the loss of a server NATS may take no writes (4 to 11 s)."""
LATER_US: Final = {KILL: 1 << 62, HANG: 4_000_000, CRASH: 15_000_000, PARTITION: 15_000_000}
"""So long after the end of a fault the node may still be read because of it: whoever hung past its lease loses it just after; a node that
comes back is connected with pauses of up to five seconds, and one that said nothing for eight counts as unknown."""


@dataclass(frozen=True)
class Read:
    """A process has read all channels of a node, which it owns."""

    process: str
    node: str
    at_us: int


def reads(logs: Iterable[Path]) -> list[Read]:
    """All readings that queue's processes tell of in their logs, in the order of time."""
    found = []
    for path in logs:
        if path.stem.partition("-")[0] != "queue":
            continue
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if '"node_read"' not in line:
                    continue
                said = json.loads(line)
                at_us = int(datetime.fromisoformat(said["timestamp"]).timestamp() * 1e6)
                found.append(Read(path.stem, said["node"], at_us))
    return sorted(found, key=lambda read: read.at_us)


def blind_spans(faults: Sequence[Fault], read: Sequence[Read], nodes: Sequence[str]) -> list[Span]:
    """The spans, each with its node as ``what``."""
    return [
        span for node in nodes for fault in faults if (span := _span(fault, node, faults, read)) is not None
    ]


def idle_spans(faults: Sequence[Fault], read: Sequence[Read], nodes: Sequence[str]) -> list[Span]:
    """When nobody could act on a node either: the blind spans, and those in which an owner hung and then went on."""
    hung = [
        Span(node, _in_hand_since(fault, faults), fault.until_us + IN_HAND_US)
        for node in nodes
        for fault in faults
        if fault.until_us and _concerns(fault, node, read)
    ]
    return [*blind_spans(faults, read, nodes), *hung]


def _concerns(fault: Fault, node: str, read: Sequence[Read]) -> bool:
    """Whether it hit the node, or its owner."""
    owner = next((r.process for r in reversed(read) if r.node == node and r.at_us <= fault.began_us), "")
    return owner in fault.names or f"switch {node}" in fault.names


def _span(fault: Fault, node: str, faults: Sequence[Fault], read: Sequence[Read]) -> Span | None:
    if not _concerns(fault, node, read):
        return None
    of_node = [r for r in read if r.node == node]
    latest_us = (fault.until_us or 1 << 62) + LATER_US[fault.how]
    next_read_us = next((r.at_us for r in of_node if fault.began_us < r.at_us <= latest_us), 0)
    if not next_read_us:
        # It went on in time and read what had come meanwhile; of one that was killed nobody has read the node since.
        return Span(node, fault.began_us, 1 << 62) if fault.how == KILL else None
    return Span(node, _in_hand_since(fault, faults), next_read_us)


def _in_hand_since(fault: Fault, faults: Sequence[Fault]) -> int:
    """Since when facts may not have been appended when the fault began."""
    elections = [
        other.began_us
        for other in faults
        if other.what.startswith("nats")
        and other.began_us < fault.began_us < (other.until_us or 1 << 62) + ELECTION_US
    ]
    return min([fault.began_us - IN_HAND_US, *elections])
