"""The streams, as data: ``migrate.py`` applies them, services only verify that they are there.

One writer a subject (services/README.md has the table). State streams (CC_ROUTING, CC_CENTER, CC_SNAPSHOT, CC_LEASE) refuse new
entries when they are full rather than drop old ones: a log with a hole is worse than a queue that stands still.

A new version of the contracts is one more subject here: a wildcard for the version would take ``cc.lease.evt.x`` too, and the
server refuses streams whose subjects overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from services.common.bus import subjects
from services.common.errors import ContractError

_DAY_S = 86_400
_MIB = 1 << 20

# One window for every stream: writers repeat for at most some minutes, and a window costs memory.
DUPLICATE_WINDOW_S = 600


class Discard(Enum):
    """What a full stream does."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream. Limits of 0 mean none; ``max_bytes`` is on each replica."""

    name: str
    subjects: tuple[str, ...]
    description: str
    discard: Discard
    max_age_s: int = 0
    max_bytes: int = 0
    max_msgs_per_subject: int = 0
    duplicate_window_s: int = DUPLICATE_WINDOW_S
    # True: a message is gone as soon as it is acknowledged.
    work_queue: bool = False

    def holds(self, pattern: str) -> bool:
        """Whether every subject under ``pattern`` is stored here."""
        return any(subjects.covers(mine, pattern) for mine in self.subjects)


EVENTS = StreamSpec(
    name="CC_EVENTS",
    subjects=(
        "cc.v1.evt.*.ivr.>",
        "cc.v1.evt.*.queue.>",
        "cc.v1.evt.*.recording.>",
        "cc.v1.evt.*.reporting.>",
    ),
    description="What ivr, queue and recording saw, and what reporting was told and sent",
    discard=Discard.OLD,
    max_age_s=7 * _DAY_S,
    max_bytes=4096 * _MIB,
)
ROUTING = StreamSpec(
    name="CC_ROUTING",
    subjects=("cc.v1.evt.*.routing.>",),
    description="Fenced logs: what routing decided, one subject a tenant",
    discard=Discard.NEW,
    # A month is far beyond any consumer's backlog and any snapshot's age; without a limit the log would fill the disk
    # and then, refusing new entries, stop the center.
    max_age_s=30 * _DAY_S,
    max_bytes=4096 * _MIB,
)
CENTER = StreamSpec(
    name="CC_CENTER",
    subjects=("cc.v1.evt.*.center.>",),
    description="Revisions of the tenants' center documents; the last hundred of each",
    # The oldest revision of a tenant gives way to its newest; a full stream refuses new ones, for what it holds is what runs.
    discard=Discard.NEW,
    max_bytes=512 * _MIB,
    max_msgs_per_subject=100,
)
SNAPSHOT = StreamSpec(
    name="CC_SNAPSHOT",
    subjects=("cc.v1.snap.>",),
    description="Snapshots of the logs' states, in chunks; the last of each subject",
    discard=Discard.NEW,
    max_bytes=512 * _MIB,
    max_msgs_per_subject=1,
)
LEASE = StreamSpec(
    name="CC_LEASE",
    subjects=("cc.lease.>",),
    description="Who should write for a shard; the last of each subject",
    discard=Discard.NEW,
    max_bytes=16 * _MIB,
    max_msgs_per_subject=1,
    # Every renewal has an id of its own that is never repeated for longer than the lease lasts.
    duplicate_window_s=60,
)
DEAD_LETTERS = StreamSpec(
    name="CC_DLQ",
    subjects=("cc.dlq.>",),
    description="Messages that a consumer could not handle, for people",
    # The oldest letter gives way: a letter is a copy, and a center that stands still because nobody reads its dead letters
    # would be worse. Counted for each service and reason, so that one defect does not push out another's letters.
    discard=Discard.OLD,
    max_age_s=30 * _DAY_S,
    max_bytes=256 * _MIB,
    max_msgs_per_subject=10_000,
)
REPLAY = StreamSpec(
    name="CC_REPLAY",
    subjects=("cc.replay.>",),
    description="Dead letters on their way back to the consumer that could not handle them",
    discard=Discard.NEW,
    max_age_s=7 * _DAY_S,
    max_bytes=256 * _MIB,
    work_queue=True,
)

STREAMS: tuple[StreamSpec, ...] = (EVENTS, ROUTING, CENTER, SNAPSHOT, LEASE, DEAD_LETTERS, REPLAY)


@lru_cache(maxsize=4096)
def stream_of(pattern: str) -> StreamSpec:
    """The stream that stores ``pattern`` (a subject or wildcard). Raises ContractError when none or no single one does."""
    for spec in STREAMS:
        if spec.holds(pattern):
            return spec
    raise ContractError(
        f"{pattern!r} is in no stream as a whole; the streams are declared in services/common/bus/streams.py"
    )


def by_stream(patterns: Sequence[str]) -> dict[str, list[str]]:
    """The names of the streams that hold ``patterns``, each with the part of them that it stores.

    Raises ContractError for a pattern that no stream stores anything of.
    """
    groups: dict[str, list[str]] = {}
    for pattern in patterns:
        found = False
        for spec in STREAMS:
            for mine in spec.subjects:
                if common := subjects.intersection(mine, pattern):
                    found = True
                    if common not in groups.setdefault(spec.name, []):
                        groups[spec.name].append(common)
        if not found:
            raise ContractError(
                f"{pattern!r} is stored by no stream; they are declared in services/common/bus/streams.py"
            )
    return groups
