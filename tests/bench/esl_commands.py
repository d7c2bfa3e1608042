"""What an ``api`` command costs a client: `python -m tests.bench.esl_commands [--rounds N]`.

A process that answers every ``api`` at once plays FreeSWITCH. Commands a second of CPU time of the client's process (all its
threads: ours has two, and crosses from asyncio to gevent and back for each command, which greenswitch does not), the best of
some rounds, greenswitch 0.0.19 as published in the same run:

* ``per_s``: 64 callers, each awaiting its own command; ``single_per_s``: one caller, the next after the answer;
* ``pipelined_per_s``: fifty commands with one write (``SwitchClient.pipeline``), as the queue sends them; greenswitch has none.

``ratio`` and ``single_ratio`` compare like with like, ``pipelined_ratio`` with greenswitch's 64 callers. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import threading
import time
from typing import Any

from tests.bench.esl_events import in_process

COMMANDS = 6_400
AT_ONCE = 64
PIPELINED = 50
OK = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
ANSWER = b"Content-Type: api/response\nContent-Length: 5\n\ntrue\n"


def serve(port_to: Any) -> None:
    """Answer every ``api``, and say OK to the rest."""
    listener = socket.create_server(("127.0.0.1", 0))
    port_to.send(listener.getsockname()[1])

    def talk(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(b"Content-Type: auth/request\n\n")
        pending = b""
        while got := peer.recv(65536):
            *commands, pending = (pending + got).split(b"\n\n")
            out = [
                ANSWER if command.lstrip(b"\r\n").startswith(b"api ") else OK
                for command in commands
                if command.strip()
            ]
            if out:
                peer.sendall(b"".join(out))

    while True:
        threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def with_client(port: int) -> tuple[float, float, float]:
    """Commands a CPU second of the shipped client: one by one, many at once, pipelined."""
    from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
    from services.common.log import setup

    setup("bench", "1", level="error")

    async def run() -> tuple[float, float, float]:
        up = asyncio.Event()

        async def on_up() -> None:
            up.set()

        def on_event(event: Event) -> None:
            raise AssertionError(f"nobody asked for {event.name}")

        hub = GeventHub()
        hub.start()
        client = SwitchClient(
            hub,
            SwitchAddress("fs1", "127.0.0.1", port, "ClueCon"),
            events=[],
            on_event=on_event,
            on_up=on_up,
            on_down=print,
        )
        await client.start()
        await up.wait()

        began = time.process_time()
        for _ in range(COMMANDS):
            assert await client.api("uuid_exists u") == "true\n"
        single = COMMANDS / (time.process_time() - began)

        async def caller() -> None:
            for _ in range(COMMANDS // AT_ONCE):
                assert await client.api("uuid_exists u") == "true\n"

        began = time.process_time()
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        at_once = COMMANDS / (time.process_time() - began)

        lines = ["uuid_exists u"] * PIPELINED
        began = time.process_time()
        for _ in range(COMMANDS // PIPELINED):
            assert len(await client.pipeline(lines)) == PIPELINED
        pipelined = COMMANDS / (time.process_time() - began)
        await client.stop()
        hub.stop()
        return single, at_once, pipelined

    return asyncio.run(run())


def with_greenswitch(port: int) -> tuple[float, float]:
    """The same of greenswitch: one by one, and many greenlets at once."""
    import gevent
    from greenswitch import InboundESL

    client = InboundESL("127.0.0.1", port, "ClueCon")
    client.connect()

    def caller(count: int) -> None:
        for _ in range(count):
            assert client.send("api uuid_exists u").data == "true\n"

    began = time.process_time()
    caller(COMMANDS)
    single = COMMANDS / (time.process_time() - began)
    began = time.process_time()
    gevent.joinall([gevent.spawn(caller, COMMANDS // AT_ONCE) for _ in range(AT_ONCE)], raise_error=True)
    return single, COMMANDS / (time.process_time() - began)


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    here, there = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    ours = [0.0, 0.0, 0.0]
    theirs = [0.0, 0.0]
    try:
        for _ in range(rounds):
            ours = [max(pair) for pair in zip(ours, in_process(with_client, port), strict=True)]
            theirs = [max(pair) for pair in zip(theirs, in_process(with_greenswitch, port), strict=True)]
    finally:
        server.kill()
        server.join()
    print(
        json.dumps(
            {
                "name": "esl_commands",
                "per_s": round(ours[1]),
                "single_per_s": round(ours[0]),
                "pipelined_per_s": round(ours[2]),
                "greenswitch_per_s": round(theirs[1]),
                "greenswitch_single_per_s": round(theirs[0]),
                "ratio": round(ours[1] / theirs[1], 2),
                "single_ratio": round(ours[0] / theirs[0], 2),
                "pipelined_ratio": round(ours[2] / theirs[1], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
