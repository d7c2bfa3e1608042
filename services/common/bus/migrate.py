"""Bring the streams to what streams.py declares. Services never do this: they only check.

    python -m services.common.bus.migrate [--url nats://...] [--replicas 3]

Safe to run at any time and twice at once. A stream that is missing is made; limits, descriptions and replicas are changed in
place. What would lose stored facts (another storage or retention, fewer subjects) is refused, with the stream's name: that
is a person's work.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from services.common.bus.access import from_environment
from services.common.bus.base import Pauses, Unconfirmed, Unstored
from services.common.bus.jetstream import ApiError, JetStream
from services.common.bus.nats import NatsBus
from services.common.bus.streams import STREAMS, StreamSpec
from services.common.clock import SystemClock
from services.common.errors import BusUnavailable, ConfigError

T = TypeVar("T")

_S = 1_000_000_000
_NOT_FOUND = 10059
_RETRY_S = 30.0
# Changing these would mean to delete the stream, or to stop storing some of its facts.
_FIXED = ("retention", "storage")


def desired(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    """A stream's configuration in the server's words."""
    return {
        "name": spec.name,
        "description": spec.description,
        "subjects": list(spec.subjects),
        "retention": "workqueue" if spec.work_queue else "limits",
        "storage": "file",
        "discard": spec.discard.value,
        "max_age": spec.max_age_s * _S,
        "max_bytes": spec.max_bytes or -1,
        "max_msgs": -1,
        "max_msgs_per_subject": spec.max_msgs_per_subject or -1,
        "duplicate_window": spec.duplicate_window_s * _S,
        "num_replicas": replicas,
        # Reads go to the leader: a follower may not have what was acknowledged a moment ago.
        "allow_direct": False,
    }


def plan(spec: StreamSpec, replicas: int, found: dict[str, Any] | None) -> str:
    """What to do about a stream: ``create``, ``update`` or ``keep``. Raises ConfigError for what must not be done."""
    if found is None:
        return "create"
    wanted = desired(spec, replicas)
    for name in _FIXED:
        if found.get(name) != wanted[name]:
            raise ConfigError(
                f"stream {spec.name} has {name} {found.get(name)!r}, expected {wanted[name]!r}: change it by hand"
            )
    if lost := sorted(set(found.get("subjects", [])) - set(wanted["subjects"])):
        raise ConfigError(
            f"stream {spec.name} stores {', '.join(lost)} too, which streams.py does not name: change it by hand"
        )
    same = all(
        found.get(name, _ABSENT.get(name)) == value for name, value in wanted.items() if name != "subjects"
    )
    return "keep" if same and set(found["subjects"]) == set(wanted["subjects"]) else "update"


# What the server leaves out of its answers when it is this.
_ABSENT: dict[str, Any] = {"max_age": 0, "allow_direct": False, "description": ""}


async def _patiently(attempt: Callable[[], Awaitable[T]], what: str) -> T:
    loop = asyncio.get_running_loop()
    until = loop.time() + _RETRY_S
    pauses = Pauses()
    while True:
        try:
            return await attempt()
        except (Unstored, Unconfirmed) as e:
            if loop.time() >= until:
                raise BusUnavailable(f"{what}: {e}") from e
            await pauses.wait(until)


async def apply(jetstream: JetStream, *, replicas: int) -> list[str]:
    """Make or change all streams; return one line each. Raises ConfigError, BusUnavailable (after 30 s)."""

    async def info(spec: StreamSpec) -> dict[str, Any] | None:
        try:
            return dict((await jetstream.api(f"STREAM.INFO.{spec.name}", {}, 3.0))["config"])
        except ApiError as e:
            if e.err_code == _NOT_FOUND:
                return None
            raise ConfigError(str(e)) from None

    lines = []
    for spec in STREAMS:

        async def one(spec: StreamSpec = spec) -> str:
            # Looked at anew in each attempt: the one before may have been carried out although nobody said so.
            action = plan(spec, replicas, await info(spec))
            if action != "keep":
                try:
                    await jetstream.api(f"STREAM.{action.upper()}.{spec.name}", desired(spec, replicas), 5.0)
                except ApiError as e:
                    raise ConfigError(f"stream {spec.name}: {e}") from None
            return action

        lines.append(f"{spec.name}: {await _patiently(one, f'stream {spec.name}')}")
    return lines


async def migrate(url: str, *, replicas: int) -> list[str]:
    """Connect, apply, disconnect."""
    bus = NatsBus(url, source="/migrate/1", clock=SystemClock(), access=from_environment())
    bus.start()
    try:
        try:
            await bus.connected(_RETRY_S)
        except Unstored:
            raise BusUnavailable(
                f"NATS at {url.rpartition('@')[2]} did not answer for {_RETRY_S} s (PEYVAND_NATS_URL)"
            ) from None
        return await apply(JetStream(bus.connection), replicas=replicas)
    finally:
        await bus.stop()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.common.bus.migrate", description="Make or change the streams."
    )
    parser.add_argument("--url", default=os.environ.get("PEYVAND_NATS_URL", "nats://127.0.0.1:4222"))
    parser.add_argument("--replicas", type=int, default=int(os.environ.get("PEYVAND_NATS_REPLICAS", "1")))
    args = parser.parse_args(argv)
    try:
        lines = asyncio.run(migrate(args.url, replicas=args.replicas))
    except (ConfigError, BusUnavailable) as e:
        sys.stderr.write(f"migrate: {e}\n")
        return 78 if isinstance(e, ConfigError) else 75
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
