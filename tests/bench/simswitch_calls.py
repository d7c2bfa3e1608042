"""How many queue calls a second the simulated switch carries on one core, the whole process measured as it ships.

A call is what a call to a queue does: the INVITE and the dialplan of this repository; the outbound socket, whose controller
takes the call, sets the queue and lets go; `peyvand::waiting`, music; the originate of an agent's leg, which rings and
answers; variables, `uuid_bridge`, a talk; the caller hangs up; both CDRs in the spool and three lines in the ledger. A light
client in this process drives it over one connection with JSON events, subscribed to the list of the queue service and to
BACKGROUND_JOB and CHANNEL_HANGUP_COMPLETE, and over one outbound connection a call.

Callers come at 200 a second, and the simulated switch has one core to itself, as far as the machine has two.
``placed_per_s`` is how many it took, ``most_late_ms`` by how much it was late for one of them at most: on a machine that
does something else as well it falls behind, and then `services.simswitch.people` lets callers go.

``per_s`` is calls a CPU second (user and system) of the simulated switch's process, from the first INVITE until the last
leg is gone. ``ratio`` sets it beside the plainest thing that could bring the same bytes to the same client: a process that
does nothing but `orjson.dumps` the very events of those calls, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import orjson

from services.common.auth import issue
from services.queue.adapters.switch import EVENTS, SUBCLASSES
from tests.bench.stack_cpu import cpu_ms

AGENTS = 250
RATE = 200.0
SECRET = "the bench's own secret, 32 bytes"
EVENT_LIST = (*EVENTS, "CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB", "CUSTOM", *SUBCLASSES)
SETS = "cc_tenant=bench;cc_queue=sales;cc_priority=0;cc_language=en;cc_customer=4711;cc_state=handover"
SCENARIO = """\
time_scale: 1
login: false
caller: {patience: {median: 60, sigma: 0}}
agent:
  {talk: {median: 0.4, sigma: 0}, caller_ends: 1, rings: {median: 0.15, sigma: 0}, misses: 0, declines: 0,
   keys_disposition: 0, dials_disposition: 0, break_every_s: 0}
"""


def center() -> str:
    """A center with one queue and enough agents."""
    names = ["sorry", "outage", "goodbye", "position-before", "position-after", "disposition", "caller-left"]
    names += ["logged-in", "logged-out", "on-break", "available", "saved", "not-possible"]
    document = {
        "tenant": "bench",
        "name": {"en": "Bench"},
        "timezone": "UTC",
        "languages": ["en"],
        "default_entry_point": "1000",
        "prompts_dir": "prompts",
        "prompts": {name: {"en": name} for name in names},
        "dispositions": [{"code": "1", "name": {"en": "Done"}}],
        "break_reasons": [{"code": "rest", "name": {"en": "Rest"}}],
        "skills": [],
        "queues": {"sales": {"name": {"en": "Sales"}, "ring_s": 20, "wrap_up_s": 1}},
        "agents": {
            f"a{n}": {"name": {"en": f"Agent {n}"}, "extension": str(n), "queues": ["sales"]}
            for n in range(1001, 1001 + AGENTS)
        },
        "entry_points": {
            "1000": {"name": {"en": "Sales"}, "flow": "main", "language": "en", "fallback_queue": "sales"}
        },
        "flows": {"main": {"start": "wait", "nodes": {"wait": {"queue": "sales"}}}},
    }
    return json.dumps(document)


class Driver(asyncio.Protocol):
    """The client: answers every waiting caller with the next free agent, bridges them when the agent's leg is there."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.idle = asyncio.Event()
        self.bodies: list[bytes] = []
        self.bytes = 0
        self.finished = 0
        self.lost: list[str] = []
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._agents = deque(str(1001 + n) for n in range(AGENTS))
        self._waiting: deque[str] = deque()
        self._calls: dict[str, tuple[str, str]] = {}
        self._numbers = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._write("auth ClueCon")
        self._write("event json " + " ".join(EVENT_LIST))

    def _write(self, command: str) -> None:
        assert self._transport is not None
        self._transport.write(command.encode() + b"\n\n")

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (end := buffer.find(b"\n\n")) >= 0:
            head = bytes(buffer[:end])
            length = 0
            at = head.find(b"Content-Length: ")
            if at >= 0:
                length = int(head[at + 16 :].split(b"\n", 1)[0])
            if len(buffer) < end + 2 + length:
                return
            body = bytes(buffer[end + 2 : end + 2 + length])
            del buffer[: end + 2 + length]
            if b"text/event-json" in head:
                self.bytes += end + 2 + length
                self.bodies.append(body)
                self._event(orjson.loads(body))
            elif b"event listener enabled" in head:
                self.ready.set()

    def _event(self, event: dict[str, Any]) -> None:
        name, leg = event["Event-Name"], event.get("Unique-ID", "")
        if name == "CUSTOM":
            self._waiting.append(leg)
            self._offer()
        elif name == "BACKGROUND_JOB" and event["Job-UUID"] in self._calls:
            agent_leg = event["Job-UUID"]
            caller = self._calls[agent_leg][0]
            if not event["_body"].startswith("+OK"):
                self.lost.append(event["_body"])
                self._over(agent_leg)
                return
            self._write(f"api uuid_setvar_multi {caller} park_after_bridge=true;cc_state=talking")
            self._write(f"api uuid_bridge {agent_leg} {caller}")
        elif name == "CHANNEL_HANGUP_COMPLETE" and leg in self._calls:
            if event.get("variable_last_bridge_to") is None:
                self.lost.append(f"the agent's leg ended unbridged: {event['Hangup-Cause']}")
            self._over(leg)

    def _over(self, leg: str) -> None:
        _, extension = self._calls.pop(leg)
        self.finished += 1
        self._agents.append(extension)
        self._offer()
        if not self._calls:
            self.idle.set()

    def _offer(self) -> None:
        while self._waiting and self._agents:
            caller, extension = self._waiting.popleft(), self._agents.popleft()
            leg = f"{next(self._numbers):08x}-0000-4000-8000-000000000000"
            self._calls[leg] = (caller, extension)
            self.idle.clear()
            given = (
                f"origination_uuid={leg},originate_timeout=20,ignore_early_media=true,cc_contact={caller},cc_offer={leg},"
                f"cc_tenant=bench,cc_agent=a{extension},cc_node=fs1,cc_role=agent,accountcode={caller},"
                f"presence_data=a/bench/{caller}/{leg}"
            )
            dial = f"originate {{{given}}}user/{extension}@peyvand.local &park()"
            self._write(f"bgapi {dial}\nJob-UUID: {leg}")


class Ivr(asyncio.Protocol):
    """The controller of one call: takes it, sets the queue, lets go."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"connect\n\nlinger\n\n")

    def data_received(self, data: bytes) -> None:
        if b"will linger" in data:
            text = f"sendmsg\ncall-command: execute\nexecute-app-name: multiset\nexecute-app-arg: ^^;{SETS}\nevent-lock: true\n\n"
            self._transport.write(text.encode() + b"exit\n\n")


async def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Run calls for so long and return the figures. Raises RuntimeError when a call was not what it should be."""
    loop = asyncio.get_running_loop()
    ivr = await loop.create_server(Ivr, "127.0.0.1", 0)
    (folder / "center.json").write_text(center())
    (folder / "scenario.yaml").write_text(SCENARIO)
    env = {
        **os.environ,
        "PEYVAND_AUTH_SECRET": SECRET,
        "PEYVAND_SIMSWITCH_HTTP_PORT": "0",
        "PEYVAND_SIMSWITCH_ESL_PORT": "0",
        "PEYVAND_SIMSWITCH_IVR": f"127.0.0.1:{ivr.sockets[0].getsockname()[1]}",
        "PEYVAND_SIMSWITCH_LEDGER": str(folder / "ledger.jsonl"),
        "PEYVAND_SIMSWITCH_CDR_SPOOL": str(folder / "cdr"),
        "PEYVAND_SIMSWITCH_SCENARIO": str(folder / "scenario.yaml"),
        "PEYVAND_SIMSWITCH_RATE": str(RATE),
        "PEYVAND_SIMSWITCH_SPS": str(round(4 * RATE)),
        "PEYVAND_SIMSWITCH_MAX_SESSIONS": "20000",
        "PEYVAND_SIMSWITCH_AUTOSTART": "false",
        "PEYVAND_SIMSWITCH_DURATION_S": str(seconds),
        "PEYVAND_CENTERS": str(folder / "center.json"),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.simswitch", env=env, stderr=asyncio.subprocess.PIPE
    )
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(child.pid, cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        assert child.stderr is not None
        said: dict[str, dict[str, Any]] = {}
        while "simswitch_started" not in said:
            line = await asyncio.wait_for(child.stderr.readline(), 60)
            if not line:
                raise RuntimeError(f"the simulated switch did not start: {said}")
            fact = orjson.loads(line)
            said[fact["event"]] = fact
        drain = asyncio.create_task(child.stderr.read())
        _, driver = await loop.create_connection(Driver, "127.0.0.1", said["simswitch_started"]["esl_port"])
        await asyncio.wait_for(driver.ready.wait(), 10)
        token = issue(SECRET, tenant="bench", role="service", subject="bench", ttl_s=600)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{said['http_listening']['port']}",
            headers={"Authorization": f"Bearer {token}"},
        ) as http:
            (await http.post("/v1/scenario/start")).raise_for_status()
        before, skipped = cpu_ms(child.pid), driver.finished
        await asyncio.sleep(seconds)
        await asyncio.wait_for(driver.idle.wait(), 60)
        used_s = (cpu_ms(child.pid) - before) / 1000
        if driver.lost or not driver.finished:
            raise RuntimeError(f"{len(driver.lost)} calls of {driver.finished} went wrong: {driver.lost[:3]}")
        per_s = (driver.finished - skipped) / used_s
        plain = plain_calls_per_s(driver.bodies, driver.finished)
        child.terminate()
        _, rest = await asyncio.gather(child.wait(), drain)
        for line in rest.splitlines():
            fact = orjson.loads(line)
            said[fact["event"]] = fact
        return {
            "name": "simswitch_calls",
            "per_s": round(per_s, 1),
            "placed_per_s": round(said["arrivals_ended"]["calls"] / seconds, 1),
            "most_late_ms": said["arrivals_ended"]["most_late_ms"],
            "calls": driver.finished,
            "cpu_ms_per_call": round(1000 / per_s, 2),
            "events_per_call": round(len(driver.bodies) / driver.finished, 1),
            "bytes_per_call": round(driver.bytes / driver.finished),
            "plain_per_s": round(plain, 1),
            "ratio": round(per_s / plain, 4),
        }
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        ivr.close()


def plain_calls_per_s(bodies: list[bytes], calls: int) -> float:
    """How many calls' events a CPU second encodes when nothing else is done."""
    events = [orjson.loads(body) for body in bodies]
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        for event in events:
            orjson.dumps(event)
        best = min(best, time.process_time() - began)
    return calls / best


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=12.0, help="how long calls come in")
    seconds = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(seconds, Path(folder)))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
