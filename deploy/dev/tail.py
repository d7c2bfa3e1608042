"""Watch the bus: one line a fact, decoded.

    python -m deploy.dev.tail [--tenant demo] [--contact 3f2a] [--type Offer] [--since 10] [--url nats://...]

Without --since it shows what happens from now on; with it, stored facts of the last so many minutes come first.
Requests are not shown: listening to them would make an asker believe that somebody answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from google.protobuf.message import Message

from services.common.bus import Envelope, codec, subjects
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import DecodeError
from services.contracts.peyvand.routing.v1.log_pb2 import Decided

_LIVE = "cc.v1.live.>"
_DEAD = "cc.dlq.>"


class Filter:
    """Which lines are wanted. All criteria that are given must hold."""

    def __init__(self, *, tenant: str = "", contact: str = "", kind: str = "") -> None:
        self._tenant = tenant
        self._contact = contact
        self._kind = kind.lower()

    def wants(self, envelope: Envelope, name: str, message: Message | None) -> bool:
        """Whether a message, or a fact in it, is wanted."""
        if self._tenant and envelope.tenant != self._tenant:
            return False
        contact = getattr(message, "contact_id", "") or envelope.correlation_id
        if self._contact and not contact.startswith(self._contact):
            return False
        return self._kind in name.lower()


def lines(envelope: Envelope, wanted: Filter) -> Iterator[str]:
    """The lines of one message: one, or one a fact for an entry of a log."""
    try:
        message: Message | None = codec.decode(envelope)
        broken = ""
    except DecodeError as e:
        message, broken = None, f" UNDECODABLE {e}"
    at = _clock(envelope.time_us)
    where = (
        ".".join(envelope.subject.split(".")[4:]) if envelope.tenant else envelope.subject.removeprefix("cc.")
    )
    start = f"{at} {_plain(envelope.tenant) or '-':<10} {_plain(where):<28}"
    if isinstance(message, Decided):
        for fact in message.facts:
            chosen = fact.WhichOneof("fact")
            inner = getattr(fact, chosen) if chosen else fact
            name = inner.DESCRIPTOR.name
            if wanted.wants(envelope, name, inner):
                yield f"{start} {name} {fields(inner)} epoch={message.epoch} by={message.input_id or 'timer'}"
        if not message.facts and wanted.wants(envelope, "Decided", message):
            yield f"{start} Decided {fields(message)}"
        return
    name = _plain(envelope.type.rpartition(".")[2]) or "(no type)"
    if wanted.wants(envelope, name, message):
        note = f" DEAD LETTER {_plain(envelope.note)}" if envelope.note else ""
        yield f"{start} {name} {fields(message) if message is not None else ''}{broken}{note}"


def _clock(time_us: int) -> str:
    try:
        return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):  # a year that this machine has no calendar for
        return "--:--:--.---"


def _plain(text: str) -> str:
    """What a sender wrote, unable to drive the terminal."""
    return text if text.isprintable() else repr(text)


def fields(message: Message) -> str:
    """What is set in a message, as ``name=value``; messages inside in braces."""
    return " ".join(f"{field.name}={_value(value)}" for field, value in message.ListFields())


def _value(value: object) -> str:
    if isinstance(value, Message):
        return "{" + fields(value) + "}"
    if isinstance(value, (str, bytes, int, float)):
        text = value.hex() if isinstance(value, bytes) else str(value)
        return repr(text) if " " in text or not text.isprintable() else text
    return "[" + ", ".join(_value(item) for item in value) + "]"  # type: ignore[attr-defined]


async def watch(url: str, wanted: Filter, show: Callable[[str], None], *, since_min: float | None) -> None:
    """Show wanted lines until cancelled."""
    clock = SystemClock()
    bus = NatsBus(url, source=f"/tail/{os.getpid()}", clock=clock)
    bus.start()

    async def on_message(envelope: Envelope) -> None:
        for line in lines(envelope, wanted):
            show(line)

    try:
        since_us = None if since_min is None else clock.now_us() - int(since_min * 60e6)
        await bus.follow([subjects.any_fact(), _DEAD], on_message, after_seq=None, since_us=since_us)
        listening = await bus.subscribe_live([_LIVE], on_message)
        await listening.wait()
    finally:
        await bus.stop()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.dev.tail", description="Show the facts on the bus, decoded."
    )
    parser.add_argument("--url", default=os.environ.get("PEYVAND_NATS_URL", "nats://127.0.0.1:4222"))
    parser.add_argument("--tenant", default="", help="only this tenant")
    parser.add_argument("--contact", default="", help="only contacts whose id begins with this")
    parser.add_argument("--type", default="", help="only facts whose name contains this, for example Offer")
    parser.add_argument(
        "--since", type=float, default=None, metavar="MINUTES", help="stored facts of the last minutes first"
    )
    args = parser.parse_args(argv)
    wanted = Filter(tenant=args.tenant, contact=args.contact, kind=args.type)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(watch(args.url, wanted, lambda line: print(line, flush=True), since_min=args.since))
    return 0


if __name__ == "__main__":
    sys.exit(main())
