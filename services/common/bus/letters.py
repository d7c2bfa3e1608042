"""Look at the dead letters, and send them back to the consumer that could not handle them.

    python -m services.common.bus.letters list   [--consumer reporting-*] [--type Offer*] [--tenant demo] [--contact 3f2a]
                                                 [--reason rejected] [--newer-than 2h] [--older-than 7d] [--json]
    python -m services.common.bus.letters show   12 13
    python -m services.common.bus.letters replay 12 13 | --all [filters] [--wait 10] [--dry-run]
    python -m services.common.bus.letters drop   12 13 | --all [filters] [--dry-run]

Theory of operation
  A letter is replayed to the one consumer that wrote it, over ``cc.replay.<consumer>``, never to its old subject: there every
  other consumer would get it a second time, the server would drop it silently within ten minutes of the first time (same
  id) and store it under a new sequence afterwards, and in a fenced log it would be an entry that no owner decided. The
  consumer's handler gets the message as it was, with its first id, stream and sequence, so what it writes is what it would
  have written then: reporting's rows are the same rows.
  First the message is sent (its id is the letter's, so sending twice sends once), then the letter is deleted. Who dies in
  between leaves both: the next replay is dropped as a repetition, or, after ten minutes, handled twice, which every consumer
  must bear. A message that fails again comes back as a letter that says how often it has been one.
  Order is lost: what stood behind the message has long been handled. That is for the person to judge who replays.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from google.protobuf import json_format

from services.common import log
from services.common.bus import Envelope, Letter, codec
from services.common.bus.access import from_environment
from services.common.bus.base import Unconfirmed, Unstored
from services.common.bus.headers import rfc3339
from services.common.bus.jetstream import ApiError, JetStream
from services.common.bus.nats import NatsBus
from services.common.bus.streams import DEAD_LETTERS, REPLAY
from services.common.clock import Clock, SystemClock
from services.common.errors import BusUnavailable, ConfigError, ContractError, DecodeError

_ALL = "cc.dlq.>"
_CONNECT_S = 10.0
_NO_MESSAGE = 10043
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# Letters of the version before this one say what they are about in their id and note only.
_OLD_ID = re.compile(r"(?P<consumer>[a-z0-9-]+):(?P<stream>\w+):(?P<seq>\d+)")
_OLD_NOTE = re.compile(r"\w+ \d+ (?P<subject>\S+): (?P<error>.*)", re.DOTALL)


def seconds(text: str) -> float:
    """A duration such as ``90s``, ``15m``, ``2h`` or ``7d``. Raises ConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise ConfigError(f"{text!r} is no duration: expected for example 90s, 15m, 2h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def about(dead: Envelope) -> Envelope:
    """The letter, whoever wrote it: with what the version before put into the note as parts of ``letter``."""
    named, noted = _OLD_ID.fullmatch(dead.id), _OLD_NOTE.fullmatch(dead.note)
    if dead.letter is not None or named is None or noted is None:
        return dead
    letter = Letter(
        consumer=named["consumer"],
        reason=dead.subject.rpartition(".")[2],
        error=noted["error"],
        subject=noted["subject"],
        stream=named["stream"],
        stream_seq=int(named["seq"]),
        id=dead.causation_id,
        source="",
        time_us=dead.time_us,
    )
    return msgspec.structs.replace(dead, letter=letter)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; all criteria that are given must hold. Names may hold ``*``; ages are in seconds."""

    consumer: str = ""
    reason: str = ""
    type: str = ""
    tenant: str = ""
    contact: str = ""
    newer_s: float | None = None
    older_s: float | None = None

    def wants(self, dead: Envelope, now_us: int) -> bool:
        """Whether a letter is meant."""
        letter = about(dead).letter
        consumer, reason = (letter.consumer, letter.reason) if letter is not None else ("", "")
        age_s = (now_us - dead.time_us) / 1e6
        kind = dead.type.rpartition(".")[2]
        return (
            _like(self.consumer, consumer)
            and _like(self.reason, reason)
            and (_like(self.type, kind) or _like(self.type, dead.type))
            and _like(self.tenant, dead.tenant)
            and dead.correlation_id.startswith(self.contact)
            and (self.newer_s is None or age_s <= self.newer_s)
            and (self.older_s is None or age_s >= self.older_s)
        )


def _like(pattern: str, text: str) -> bool:
    return not pattern or fnmatch.fnmatchcase(text.lower(), pattern.lower())


class Letters:
    """The dead letters on a server."""

    def __init__(self, bus: NatsBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._jetstream = JetStream(bus.connection)

    async def find(self, wanted: Filter, numbers: Sequence[int] = ()) -> list[Envelope]:
        """Letters in the order in which they were written; ``numbers`` are their sequences in the stream. Raises BusUnavailable."""
        now_us = self._clock.now_us()
        return [
            about(dead)
            async for dead in self._bus.read_log(_ALL, after_seq=0)
            if wanted.wants(dead, now_us) and (not numbers or dead.stream_seq in numbers)
        ]

    async def replay(self, dead: Envelope) -> int:
        """Send a letter to its consumer and delete it; return its sequence among the replays. Safe to repeat.

        Raises ContractError for a letter that cannot be sent, BusUnavailable.
        """
        sent = await self._bus.replay(dead)
        await self.drop(dead)
        return sent.seq

    async def drop(self, dead: Envelope) -> None:
        """Delete a letter; one that is gone is gone. Raises BusUnavailable."""
        try:
            await self._jetstream.api(
                f"STREAM.MSG.DELETE.{DEAD_LETTERS.name}", {"seq": dead.stream_seq, "no_erase": True}, 5.0
            )
        except ApiError as e:
            if e.err_code != _NO_MESSAGE and "no message" not in str(e):
                raise BusUnavailable(str(e)) from e
        except (Unstored, Unconfirmed) as e:
            raise BusUnavailable(f"letter {dead.stream_seq} could not be deleted: {e}") from e

    async def waits(self, number: int) -> bool:
        """Whether a replay was not handled yet. Raises BusUnavailable."""
        try:
            return await self._jetstream.get(REPLAY.name, {"seq": number}, 5.0) is not None
        except (Unstored, Unconfirmed) as e:
            raise BusUnavailable(f"{REPLAY.name} could not be read: {e}") from e

    async def outcome(self, dead: Envelope, number: int, timeout_s: float) -> str:
        """What became of a replay: ``handled``, ``came back as letter 17: ...``, or that it still waits."""
        letter = dead.letter
        assert letter is not None
        until = asyncio.get_running_loop().time() + timeout_s
        while await self.waits(number):
            if asyncio.get_running_loop().time() >= until:
                return f"waits for {letter.consumer}: is it running?"
            await asyncio.sleep(0.1)
        for newer in await self.find(Filter(consumer=letter.consumer)):
            again = newer.letter
            if (
                again is not None
                and newer.stream_seq > dead.stream_seq
                and (again.stream, again.stream_seq) == (letter.stream, letter.stream_seq)
                and again.times > letter.times
            ):
                return f"came back as letter {newer.stream_seq}: {again.error}"
        return "handled"

    async def state(self, stream: str) -> dict[str, Any]:
        """How full a stream is, in the server's words. Raises BusUnavailable."""
        try:
            info = await self._jetstream.api(f"STREAM.INFO.{stream}", {}, 5.0)
        except (Unstored, Unconfirmed, ApiError) as e:
            raise BusUnavailable(f"{stream}: {e}") from e
        return dict(info["state"])


# ----------------------------------------------------------------------------------------------------------------- showing
def as_json(dead: Envelope) -> dict[str, Any]:
    """A letter with its message decoded, for people and programs."""
    letter = dead.letter
    shown: dict[str, Any] = {
        "number": dead.stream_seq,
        "at": rfc3339(dead.time_us),
        "tenant": dead.tenant,
        "contact": dead.correlation_id,
        "type": dead.type,
    }
    if letter is not None:
        parts = msgspec.structs.asdict(letter)
        parts["first_at"] = rfc3339(parts.pop("time_us"))
        shown |= parts
    else:
        shown["note"] = dead.note
    try:
        shown["message"] = json_format.MessageToDict(codec.decode(dead), preserving_proto_field_name=True)
    except DecodeError as e:
        shown["unreadable"] = str(e)
        shown["data_hex"] = dead.data.hex()
    return shown


def plain(text: str, most: int = 0) -> str:
    """What a sender wrote, unable to drive the terminal; cut to ``most`` characters."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if not most or len(text) <= most else f"{text[: most - 1]}…"


_COLUMNS = ("number", "at", "consumer", "reason", "times", "tenant", "type", "contact", "error")


def rows(found: Sequence[Envelope]) -> list[str]:
    """Letters as a table, one line each."""
    cells = [_COLUMNS]
    for dead in found:
        letter = dead.letter
        cells.append(
            (
                str(dead.stream_seq),
                rfc3339(dead.time_us)[:19],
                letter.consumer if letter else "?",
                letter.reason if letter else "?",
                str(letter.times) if letter else "?",
                plain(dead.tenant, 20),
                plain(dead.type.rpartition(".")[2], 24),
                plain(dead.correlation_id, 13),
                plain(letter.error if letter else dead.note, 100),
            )
        )
    widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS) - 1)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in cells
    ]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# ---------------------------------------------------------------------------------------------------------------- commands
async def _list(letters: Letters, found: list[Envelope], args: argparse.Namespace) -> None:
    if args.json:
        for dead in found:
            _say(msgspec.json.encode(as_json(dead)).decode())
        return
    for row in rows(found) if found else []:
        _say(row)
    state, waiting = await letters.state(DEAD_LETTERS.name), await letters.state(REPLAY.name)
    full = 100 * state["bytes"] / DEAD_LETTERS.max_bytes
    _say(
        f"{len(found)} of {state['messages']} dead letters; the stream is {full:.1f} % full; {waiting['messages']} replays wait"
    )


async def _show(letters: Letters, found: list[Envelope], args: argparse.Namespace) -> None:
    for dead in found:
        _say(msgspec.json.format(msgspec.json.encode(as_json(dead)), indent=2).decode())


async def _replay(letters: Letters, found: list[Envelope], args: argparse.Namespace) -> None:
    sent: list[tuple[Envelope, int]] = []
    for dead in found:
        if dead.letter is None:
            _say(f"{dead.stream_seq}: not replayed, it does not say which consumer could not handle it")
        elif args.dry_run:
            _say(f"{dead.stream_seq}: would go to {dead.letter.consumer}")
        else:
            sent.append((dead, await letters.replay(dead)))
    until = asyncio.get_running_loop().time() + args.wait
    for dead, number in sent:
        left = max(0.0, until - asyncio.get_running_loop().time())
        _say(f"{dead.stream_seq}: {plain(await letters.outcome(dead, number, left))}")


async def _drop(letters: Letters, found: list[Envelope], args: argparse.Namespace) -> None:
    for dead in found:
        if not args.dry_run:
            await letters.drop(dead)
        _say(f"{dead.stream_seq}: {'would be dropped' if args.dry_run else 'dropped'}")


_COMMANDS = {"list": _list, "show": _show, "replay": _replay, "drop": _drop}


async def carry_out(args: argparse.Namespace) -> int:
    """Do what the command line says; return the exit code."""
    wanted = Filter(
        consumer=args.consumer,
        reason=args.reason,
        type=args.type,
        tenant=args.tenant,
        contact=args.contact,
        newer_s=seconds(args.newer_than) if args.newer_than else None,
        older_s=seconds(args.older_than) if args.older_than else None,
    )
    clock = SystemClock()
    bus = NatsBus(args.url, source=f"/letters/{os.getpid()}", clock=clock, access=from_environment())
    bus.start()
    try:
        try:
            await bus.connected(_CONNECT_S)
        except Unstored:
            raise BusUnavailable(
                f"NATS at {args.url.rpartition('@')[2]} did not answer for {_CONNECT_S:.0f} s (PEYVAND_NATS_URL)"
            ) from None
        letters = Letters(bus, clock)
        found = await letters.find(wanted, args.numbers)
        await _COMMANDS[args.command](letters, found, args)
    finally:
        await bus.stop()
    missing = sorted(set(args.numbers) - {dead.stream_seq for dead in found})
    if missing:
        sys.stderr.write(f"letters: there is no dead letter {', '.join(map(str, missing))}\n")
    return 1 if missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.common.bus.letters",
        description="Look at dead letters, and send them back to the consumer that could not handle them.",
    )
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument(
        "numbers", nargs="*", type=int, help="letters by number; without: those of the filters"
    )
    parser.add_argument("--url", default=os.environ.get("PEYVAND_NATS_URL", "nats://127.0.0.1:4222"))
    parser.add_argument("--consumer", default="", help="only letters of this consumer; may hold *")
    parser.add_argument("--reason", default="", help="rejected, undecodable or too-many-deliveries")
    parser.add_argument("--type", default="", help="only messages of this type, for example Offer*")
    parser.add_argument("--tenant", default="", help="only this tenant")
    parser.add_argument("--contact", default="", help="only contacts whose id begins with this")
    parser.add_argument("--newer-than", default="", metavar="AGE", help="for example 90s, 15m, 2h or 7d")
    parser.add_argument("--older-than", default="", metavar="AGE")
    parser.add_argument(
        "--all", action="store_true", help="replay or drop everything that the filters let through"
    )
    parser.add_argument(
        "--json", action="store_true", help="list: one object a line, with the message decoded"
    )
    parser.add_argument("--dry-run", action="store_true", help="replay, drop: only say what would be done")
    parser.add_argument(
        "--wait", type=float, default=10.0, metavar="SECONDS", help="replay: how long to wait for the outcome"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command in ("replay", "drop") and not args.numbers and not args.all:
        parser.error(f"{args.command} wants numbers of letters, or --all (with or without filters)")
    log.setup("letters", str(os.getpid()), fmt="console", level="error")
    try:
        return asyncio.run(carry_out(args))
    except (ConfigError, ContractError, BusUnavailable) as e:
        sys.stderr.write(f"letters: {e}\n")
        return 75 if isinstance(e, BusUnavailable) else 78


if __name__ == "__main__":
    sys.exit(main())
