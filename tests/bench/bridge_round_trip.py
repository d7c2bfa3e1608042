"""What a trip from asyncio into the gevent thread and back costs: `python -m tests.bench.bridge_round_trip [--rounds N]`.

* ``bridge``: the shipped hub, ``post`` one way and ``deliver`` the other; one trip at a time (p50, p99), then 64 at once (per_s);
* ``call``: the same with a greenlet for each trip (``GeventHub.call``), for what may block;
* ``executor``: the plain way of the standard library, ``loop.run_in_executor`` with one thread, in the same run.

The best of some rounds. ``ratio`` is trips a second against the executor's. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from services.common.esl import GeventHub
from services.common.esl.hub import resolve
from services.common.log import setup

TRIPS = 5_000
AT_ONCE = 64

Trip = Callable[[], Awaitable[object]]


def nothing() -> None:
    """What is done on the other side."""


async def one_by_one(trip: Trip) -> list[float]:
    """Microseconds of each trip, sorted."""
    took = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        await trip()
        took.append((time.perf_counter() - began) * 1e6)
    return sorted(took)


async def at_once(trip: Trip) -> float:
    """Trips a second with so many under way."""

    async def some() -> None:
        for _ in range(TRIPS // AT_ONCE):
            await trip()

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return TRIPS // AT_ONCE * AT_ONCE / (time.perf_counter() - began)


async def measure(rounds: int) -> dict[str, dict[str, float]]:
    """p50, p99 and per_s of each way; the best of the rounds, which take turns."""
    hub = GeventHub()
    hub.start()
    pool = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()

    def bridge() -> Awaitable[object]:
        future: asyncio.Future[None] = loop.create_future()
        hub.post(hub.deliver, resolve, future, None)
        return future

    ways: dict[str, Trip] = {
        "bridge": bridge,
        "call": lambda: hub.call(nothing),
        "executor": lambda: loop.run_in_executor(pool, nothing),
    }
    best: dict[str, dict[str, float]] = {name: {"p50": 1e9, "p99": 1e9, "per_s": 0.0} for name in ways}
    for _ in range(rounds):
        for name, trip in ways.items():
            took = await one_by_one(trip)
            found = best[name]
            found["p50"] = min(found["p50"], took[len(took) // 2])
            found["p99"] = min(found["p99"], took[len(took) * 99 // 100])
            found["per_s"] = max(found["per_s"], await at_once(trip))
    pool.shutdown()
    hub.stop()
    return best


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    setup("bench", "1", level="error")
    best = asyncio.run(measure(parser.parse_args().rounds))
    bridge, call, executor = best["bridge"], best["call"], best["executor"]
    print(
        json.dumps(
            {
                "name": "bridge_round_trip",
                "per_s": round(bridge["per_s"]),
                "p50_us": round(bridge["p50"], 1),
                "p99_us": round(bridge["p99"], 1),
                "call_per_s": round(call["per_s"]),
                "call_p50_us": round(call["p50"], 1),
                "executor_per_s": round(executor["per_s"]),
                "executor_p50_us": round(executor["p50"], 1),
                "executor_p99_us": round(executor["p99"], 1),
                "ratio": round(bridge["per_s"] / executor["per_s"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
