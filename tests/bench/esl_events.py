"""How much CPU an event costs here and in greenswitch: `python tests/bench/esl_events.py [--rounds N]`.

The bytes of 100 bridged SIP calls, recorded from a real FreeSWITCH 1.10.12 (10 002 events, 4.6 KB on average), are sent by
one process and read by another over loopback:

* ``client``: the shipped client, JSON, its ordered and bounded dispatch, an asyncio handler that reads two headers;
* ``lazy``: the same with a handler that reads four more headers, three of them not in every event;
* ``greenswitch``: greenswitch 0.0.19 as published, plain form, a handler that reads two headers.

CPU time of the reading process (all its threads), the least of some rounds, from the subscription to the last event. Prints
one line of JSON. The process that sends is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import lzma
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
REPEAT = 3
CHANNELS = 401  # 400 legs, and the events that belong to none
OK = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"


def serve(recording: str, port_to: Any) -> None:
    """Be a FreeSWITCH that has one thing to tell, to whoever subscribes to CHANNEL_CREATE."""
    data = lzma.decompress((DATA / recording).read_bytes()) * REPEAT
    listener = socket.create_server(("127.0.0.1", 0))
    port_to.send(listener.getsockname()[1])

    def talk(peer: socket.socket) -> None:
        peer.sendall(b"Content-Type: auth/request\n\n")
        pending = b""
        while got := peer.recv(65536):
            pending += got
            while b"\n\n" in pending:
                command, _, pending = pending.partition(b"\n\n")
                command = command.strip()
                if command.startswith(b"api "):
                    peer.sendall(b"Content-Type: api/response\nContent-Length: 4\n\nfs-1")
                elif command:
                    peer.sendall(OK)
                if b"CHANNEL_CREATE" in command:
                    peer.sendall(data)

    while True:
        threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def read_with_client(port: int, total: int, lazy: bool) -> float:
    """CPU seconds of the shipped client for ``total`` events."""
    from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
    from services.common.log import setup

    setup("bench", "1", level="error")

    async def run() -> float:
        done = asyncio.Event()
        names: dict[str, int] = {}
        channels: set[str] = set()
        count = 0

        def on_event(event: Event) -> None:
            nonlocal count
            count += 1
            names[event.name] = names.get(event.name, 0) + 1
            channels.add(event.unique_id)
            if lazy:
                for header in (
                    "Channel-Call-UUID",
                    "Hangup-Cause",
                    "variable_cc_offer",
                    "Caller-Caller-ID-Name",
                ):
                    event.get(header)
            if count == total:
                done.set()

        async def on_up() -> None:
            return

        hub = GeventHub()
        hub.start()
        client = SwitchClient(
            hub,
            SwitchAddress("fs1", "127.0.0.1", port, "ClueCon"),
            events=["CHANNEL_CREATE", "HEARTBEAT"],  # all that was recorded
            on_event=on_event,
            on_up=on_up,
            on_down=print,
            max_backlog=10 * total,
        )
        began = time.process_time()
        await client.start()
        await done.wait()
        took = time.process_time() - began
        assert len(names) > 10
        assert len(channels) == CHANNELS
        await client.stop()
        hub.stop()
        return took

    return asyncio.run(run())


def read_with_greenswitch(port: int, total: int) -> float:
    """CPU seconds of greenswitch for ``total`` events."""
    import gevent.event
    from greenswitch import InboundESL

    done = gevent.event.Event()
    names: dict[str, int] = {}
    channels: set[str] = set()
    count = 0

    def on_event(event: Any) -> None:
        nonlocal count
        count += 1
        name = event.headers["Event-Name"]
        names[name] = names.get(name, 0) + 1
        channels.add(event.headers.get("Unique-ID"))
        if count == total:
            done.set()

    client = InboundESL("127.0.0.1", port, "ClueCon")
    client.register_handle("*", on_event)
    began = time.process_time()
    client.connect()
    client.send("event plain CHANNEL_CREATE")
    done.wait()
    took = time.process_time() - began
    assert len(names) > 10
    assert len(channels) == CHANNELS
    return took


def in_process(fn: Callable[..., float], *args: object) -> float:
    """Run ``fn`` in a fresh process, so that one reader's memory is not another's cache."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_send_result, args=(there, fn, *args))
    process.start()
    there.close()
    try:
        result: float = here.recv()
        return result
    finally:
        process.join(5)


def _send_result(there: Any, fn: Callable[..., float], *args: object) -> None:
    there.send(fn(*args))


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    servers = []
    ports = {}
    for form in ("json", "plain"):
        here, there = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(f"sip_{form}.bin.xz", there), daemon=True
        )
        process.start()
        servers.append(process)
        ports[form] = here.recv()
    total = 10_002 * REPEAT
    best: dict[str, float] = {}
    try:
        for _ in range(rounds):
            for name, fn, args in (
                ("client", read_with_client, (ports["json"], total, False)),
                ("lazy", read_with_client, (ports["json"], total, True)),
                ("greenswitch", read_with_greenswitch, (ports["plain"], total)),
            ):
                best[name] = min(best.get(name, 1e9), in_process(fn, *args))
    finally:
        for process in servers:
            process.kill()
            process.join()
    per_s = {name: total / took for name, took in best.items()}
    print(
        json.dumps(
            {
                "name": "esl_events",
                "per_s": round(per_s["client"]),
                "lazy_per_s": round(per_s["lazy"]),
                "greenswitch_per_s": round(per_s["greenswitch"]),
                "ratio": round(per_s["client"] / per_s["greenswitch"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
