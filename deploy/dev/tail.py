"""Watch the bus: one line a fact, decoded.

    python -m deploy.dev.tail [--tenant demo] [--contact 3f2a] [--type 'Offer*'] [--since 10m] [--stop] [--json]

Without --since it shows what happens from now on; with it, stored facts come first, in the order in which they happened.
It disturbs nobody: it reads streams with consumers of its own that keep no state, and listens to live news. Requests and
presence probes are not shown: listening to them would make an asker believe that somebody answers.

Theory of operation
  Facts are in several streams, each in its own order, and a read of one runs ahead of the others. So rows wait in a heap
  until every stream has something later, or until they have waited a moment: the screen shows one order, by time, and
  news a fifth of a second late. A full heap holds its stream back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import itertools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from deploy.dev.tail_rows import KINDS, Criteria, Row, long, rows, short, to_json
from services.common import log
from services.common.bus import Envelope, subjects
from services.common.bus.access import from_environment
from services.common.bus.nats import NatsBus
from services.common.bus.streams import STREAMS, by_stream
from services.common.clock import SystemClock
from services.common.errors import ContractError, PeyvandError
from services.common.ids import is_token

Show = Callable[[Row], None]
Say = Callable[[str], None]

_DEAD = "cc.dlq.>"
_LATE_S = 0.2
_MOST_WAITING = 2000
# With --stop: nothing came for so long although the end was not reached, so what is left was older than --since.
_SILENT_S = 2.0
_BEGINNING = "not connected yet"  # the bus's first word; no trouble
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Start:
    """Where to begin: now, so many seconds ago, or after a sequence of one stream."""

    ago_s: float | None = None
    stream: str = ""
    after_seq: int = 0

    @property
    def is_now(self) -> bool:
        return self.ago_s is None and not self.stream


def read_start(text: str) -> Start:
    """``10m``, ``90s``, ``2h``, ``1d``, or ``CC_EVENTS:120`` (that message and what follows). Raises ArgumentTypeError."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return Start(ago_s=float(found[1]) * _UNITS_S[found[2]])
    stream, _, seq = text.partition(":")
    names = [spec.name for spec in STREAMS if _readable(spec.name)]
    if stream in names and seq.isdigit() and int(seq) > 0:
        return Start(stream=stream, after_seq=int(seq) - 1)
    raise argparse.ArgumentTypeError(
        f"{text!r}: expected a duration such as 10m, 90s, 2h or 1d, or STREAM:SEQUENCE, STREAM one of {', '.join(names)}"
    )


def read_where(text: str) -> tuple[str, str]:
    """``field=value``. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r}: expected FIELD=VALUE, for example outcome=no_answer")
    return name, value


def read_token(text: str) -> str:
    """A name that can be part of a subject. Raises ArgumentTypeError."""
    if not is_token(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name of a-z, 0-9 and '-'")
    return text


def patterns_of(wanted: Criteria) -> list[str]:
    """The stored subjects that may hold what is wanted."""
    found = []
    if "evt" in wanted.kinds:
        found.append(subjects.any_fact(tenant=wanted.tenant or "*", service=wanted.service or "*"))
    if "dead" in wanted.kinds:
        found.append(_DEAD)
    return found


def _readable(stream: str) -> bool:
    return stream in by_stream([subjects.any_fact(), _DEAD])


class Merge:
    """Rows of several streams in the order of their times."""

    def __init__(self, streams: list[str], show: Show) -> None:
        self._show = show
        self._streams = set(streams)
        self._waiting: list[tuple[int, int, float, str, Row]] = []
        self._held: Counter[str] = Counter()
        self._numbers = itertools.count()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.heard_at = asyncio.get_running_loop().time()

    async def put(self, stream: str, row: Row) -> None:
        """Take a row; waits while too many are here."""
        self.heard_at = now = asyncio.get_running_loop().time()
        heapq.heappush(self._waiting, (row.envelope.time_us, next(self._numbers), now, stream, row))
        self._held[stream] += 1
        self._changed.set()
        if len(self._waiting) >= _MOST_WAITING:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Show rows when their turn has come, until cancelled. Raises what ``show`` raises."""
        while True:
            self._changed.clear()
            left_s = self._release(asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._changed.wait()

    def flush(self) -> None:
        """Show all that is left."""
        while self._waiting:
            self._pop()

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def _release(self, now: float) -> float | None:
        while self._waiting:
            ripe_s = self._waiting[0][2] + _LATE_S - now
            if ripe_s > 0 and not all(self._held[s] for s in self._streams):
                return ripe_s
            self._pop()
        return None

    def _pop(self) -> None:
        *_, stream, row = heapq.heappop(self._waiting)
        self._held[stream] -= 1
        if len(self._waiting) < _MOST_WAITING / 2:
            self._room.set()
        self._show(row)


class Done(Exception):
    """Enough was shown."""


class Tail:
    """One watch over the bus."""

    def __init__(
        self,
        url: str,
        wanted: Criteria,
        show: Show,
        *,
        say: Say,
        start: Start | None = None,
        stop: bool = False,
        count: int = 0,
    ) -> None:
        """``stop`` ends it when everything stored was shown; ``count`` after so many rows (0: never)."""
        self._wanted = wanted
        self._show = show
        self._say = say
        self._start = start or Start()
        self._stop = stop
        self._left = count
        self._clock = SystemClock()
        self._up: bool | None = None
        self._said = {_BEGINNING}
        self._bus = NatsBus(
            url,
            source=f"/tail/{os.getpid()}",
            clock=self._clock,
            on_ready=self._ready,
            on_closed=say,
            access=from_environment(),
        )
        self._reached: dict[str, int] = {}

    def _ready(self, part: str, ok: bool, detail: str) -> None:
        if part != "nats" or detail in self._said:
            return
        if not ok:
            self._said.add(detail)  # each trouble once, until it is over
            self._say(f"{detail}; going on as soon as it is there")
        elif self._up is False:
            self._said = {_BEGINNING}
            self._say("connected")
        self._up = ok

    async def run(self) -> None:
        """Show wanted rows until there are no more, or until cancelled. Raises what ``show`` raises, ContractError."""
        groups = by_stream(patterns_of(self._wanted)) if patterns_of(self._wanted) else {}
        if self._start.stream:
            groups = {name: found for name, found in groups.items() if name == self._start.stream}
            if not groups:
                raise ContractError(f"{self._start.stream} holds nothing of what is asked for")
        merge = Merge(list(groups), self._counted)
        self._bus.start()
        tasks = [asyncio.create_task(merge.run())]
        try:
            await self._listen(groups, merge)
            if self._stop:
                tasks.append(asyncio.create_task(self._until_end(groups, merge)))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
            merge.flush()
        except Done:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._bus.stop()

    async def _listen(self, groups: dict[str, list[str]], merge: Merge) -> None:
        since_us = None
        if self._start.ago_s is not None:
            since_us = self._clock.now_us() - int(self._start.ago_s * 1e6)

        for stream, patterns in groups.items():

            async def on_stored(envelope: Envelope, stream: str = stream) -> None:
                for row in rows(envelope):
                    if self._wanted.wants(row):
                        await merge.put(stream, row)
                self._reached[stream] = envelope.stream_seq
                merge.heard_at = asyncio.get_running_loop().time()

            after_seq = self._start.after_seq if self._start.stream else (0 if self._is_from_first else None)
            await self._bus.follow(patterns, on_stored, after_seq=after_seq, since_us=since_us)

        async def on_live(envelope: Envelope) -> None:
            for row in rows(envelope):
                if self._wanted.wants(row):
                    await merge.put("", row)

        if "live" in self._wanted.kinds and not self._stop:
            live = subjects.any_live(tenant=self._wanted.tenant or "*", service=self._wanted.service or "*")
            await self._bus.subscribe_live([live], on_live)

    @property
    def _is_from_first(self) -> bool:
        return self._stop and self._start.is_now

    async def _until_end(self, groups: dict[str, list[str]], merge: Merge) -> None:
        ends: dict[str, int] = {}
        for stream, patterns in groups.items():
            newest = [await self._bus.last(pattern) for pattern in patterns]
            ends[stream] = max((e.stream_seq for e in newest if e is not None), default=0)
        merge.heard_at = asyncio.get_running_loop().time()
        while any(self._reached.get(stream, 0) < end for stream, end in ends.items()):
            if self._up and asyncio.get_running_loop().time() - merge.heard_at > _SILENT_S:
                return
            await asyncio.sleep(0.05)

    def _counted(self, row: Row) -> None:
        self._show(row)
        if self._left:
            self._left -= 1
            if not self._left:
                raise Done


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = _arguments(argv)
    log.setup("tail", "1", level="error")
    wanted = Criteria(
        tenant=args.tenant or "",
        contact=args.contact,
        agent=args.agent,
        queue=args.queue,
        service=args.service or "",
        kinds=tuple(args.kind or KINDS),
        types=tuple(args.type),
        where=tuple(args.where),
    )
    coloured = {"always": True, "never": False}.get(args.colour)
    out = Console(force_terminal=coloured, no_color=coloured is False, highlight=False)
    err = Console(stderr=True, highlight=False)

    def show(row: Row) -> None:
        if args.json:
            sys.stdout.write(to_json(row) + "\n")
            sys.stdout.flush()
        elif args.long:
            out.print(long(row), soft_wrap=True)
        else:
            # On a terminal a line is a line; into a file or a pipe nothing is cut.
            cut = out.is_terminal and not args.wide
            out.print(short(row), no_wrap=cut, overflow="ellipsis" if cut else None, soft_wrap=not cut)

    def say(text: str) -> None:
        err.print(f"· {text}", style="yellow", markup=False, soft_wrap=True)

    tail = Tail(args.url, wanted, show, say=say, start=args.since, stop=args.stop, count=args.count)
    try:
        asyncio.run(tail.run())
    except KeyboardInterrupt:
        return 130
    except PeyvandError as e:
        say(str(e))
        return 1
    except (
        BrokenPipeError
    ):  # head has seen enough; Python would complain once more when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dev.tail", description="Show the facts on the bus, decoded."
    )
    which = parser.add_argument_group("which (all that are given must hold)")
    which.add_argument("--tenant", type=read_token, help="of this tenant")
    which.add_argument("--contact", default="", metavar="ID", help="of contacts whose id begins with this")
    which.add_argument("--agent", default="", help="about this agent (id or extension, * and ? allowed)")
    which.add_argument("--queue", default="", help="about this queue (* and ? allowed)")
    which.add_argument("--service", type=read_token, help="said by this service")
    which.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="GLOB",
        help="facts of this name: Offer*, ContactClosed; without * or ? also a part of it; may be repeated",
    )
    which.add_argument(
        "--kind", action="append", choices=KINDS, help="facts (evt), live news, dead letters; default: all"
    )
    which.add_argument(
        "--where",
        action="append",
        type=read_where,
        default=[],
        metavar="FIELD=GLOB",
        help="with this in a field: outcome=no_answer, why.rule=*, skills=fa:*; may be repeated",
    )
    when = parser.add_argument_group("when")
    when.add_argument(
        "--since",
        type=read_start,
        metavar="TIME",
        help="stored facts first: of the last 90s, 10m, 2h, 1d, or from CC_EVENTS:120 on",
    )
    when.add_argument(
        "--stop", action="store_true", help="end after what is stored (without --since: all of it)"
    )
    when.add_argument("--count", type=int, default=0, metavar="N", help="end after N rows")
    how = parser.add_argument_group("how")
    how.add_argument("--json", action="store_true", help="one JSON object a row, for jq")
    how.add_argument("--long", action="store_true", help="every header and field on a line of its own")
    how.add_argument("--wide", action="store_true", help="do not cut lines at the terminal's width")
    how.add_argument("--colour", "--color", choices=("auto", "always", "never"), default="auto")
    how.add_argument("--url", default=os.environ.get("PEYVAND_NATS_URL", "nats://127.0.0.1:4222"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
