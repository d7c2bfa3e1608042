"""`make bench-freeswitch`: Peyvand beside mod_callcenter, on a real FreeSWITCH, with real SIP and real sound.

Theory of operation. Two FreeSWITCHes run at the same time on this machine, configured alike (``rivals``): Peyvand serves one,
mod_callcenter the other. The same SIPp phones are registered at both, one process that answers for all agents. SIPp callers come
at the same rate in rounds that take turns, ours and theirs, so that whatever else the machine does hits both; the order changes from
round to round. Agents ring for a fifth of a second, and hang up after ``--talk`` seconds. Gaps between calls are no multiple of mod_callcenter's
100 ms, so that its calls arrive anywhere in its interval.

What is measured, in milliseconds:

``enqueue_to_invite``   from the caller's last word to the switch (the ACK; with ``--menu`` the digit) to the agent's INVITE, both by
                        SIPp's timestamps (``-trace_msg``). SIPp notes when it reads and writes; its clock is the system's.
``enqueue_to_bridge``   from the agent's 200 (SIPp's timestamp) to sound both ways: the later of the first packets with the caller's voice at
                        the agent and with the agent's voice at the caller, by the kernel's time of arrival (``sound``).

One line of JSON each, for each ``--rate``: p50_ms and p99_ms, the same of mod_callcenter, and ``ratio`` and ``ratio_p99``, ours by
theirs. ``lost`` and ``mod_callcenter_lost`` are calls in which an agent was not invited, or one did not hear the other. ``stolen`` and
``mod_callcenter_stolen`` say which part of the processors' time the host gave to other guests while the calls of each were made
(``/proc/stat``): a call of ours passes through five processes, and each may wait for a processor that is not there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from deploy.dev.stack import Stack, find_shift, table
from services.common import log
from tests.bench_freeswitch import rivals
from tests.bench_freeswitch.sound import Phone, Phones
from tests.bench_freeswitch.traces import Message, Trace
from tests.freeswitch.sipp import Lab, Sipp, credentials
from tests.freeswitch.switch import DOMAIN, FreeSwitch, find_binary, free_port

GAP = 1 / 0.2143  # Calls a second: every 214.3 ms.
RING_MS = 150, 250  # At random, or the answer would always meet the same moment of FreeSWITCH's 20 ms.
WARM_UP = 6
WRAP_UP_S = 10
RTP_PORTS = 480


@dataclass
class Call:
    """One call: who called, and what was seen when (ms since the epoch; 0 is never)."""

    rival: str
    rate: float
    caller: Phone
    agent: Phone | None = None
    asked_ms: float = 0.0
    invited_ms: float = 0.0
    answered_ms: float = 0.0

    @property
    def to_invite_ms(self) -> float | None:
        return self.invited_ms - self.asked_ms if self.asked_ms and self.invited_ms else None

    @property
    def to_sound_ms(self) -> float | None:
        if self.agent is None:
            return None
        both = self.agent.heard_ms.get(self.caller.number), self.caller.heard_ms.get(self.agent.number)
        return max(both) - self.answered_ms if both[0] and both[1] else None  # type: ignore[type-var]


@dataclass
class Observer:
    """Reads the traces as they grow, lets the phones talk, and keeps the book of calls by the callers' numbers."""

    phones: Phones
    by_port: dict[int, Phone]
    last_word: str  # ACK, or INFO
    calls: dict[str, Call] = field(default_factory=dict)
    invites: dict[str, Message] = field(default_factory=dict)

    def caller_said(self, message: Message) -> None:
        call = self.calls.get(message.caller)
        if call is None:
            return
        if message.sent and message.start.startswith(self.last_word) and not call.asked_ms:
            call.asked_ms = message.at_ms
        elif not message.sent and message.start.startswith("SIP/2.0 200") and message.media is not None:
            self.phones.talk(call.caller, ("127.0.0.1", message.media[1]))

    def agent_said(self, message: Message) -> None:
        if message.start.startswith("INVITE") and not message.sent:
            call = self.calls.get(message.caller)
            if call is not None and not call.invited_ms:
                call.invited_ms = message.at_ms
            self.invites[message.call_id] = message
        elif message.sent and message.start.startswith("SIP/2.0 200") and message.media is not None:
            call = self.calls.get(message.caller)
            invite = self.invites.get(message.call_id)
            if call is not None and invite is not None and invite.media is not None:
                call.agent = self.by_port[message.media[1]]
                call.answered_ms = message.at_ms
                self.phones.talk(call.agent, ("127.0.0.1", invite.media[1]))
        elif message.start.startswith("BYE"):
            invite = self.invites.pop(message.call_id, None)
            call = self.calls.get(invite.caller) if invite is not None else None
            if call is not None:
                self.phones.hush(call.caller)
                if call.agent is not None:
                    self.phones.hush(call.agent)


class Bench:
    """Both installations, their phones, and the rounds."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        shift = find_shift(20_000)
        ivr_port = next(r for r in table() if r.name == "ivr").esl_port + shift
        self.ours = FreeSwitch(
            folder / "peyvand", ivr_port, conf=rivals.peyvand_conf(folder / "conf", options.agents)
        )
        self.theirs = FreeSwitch(folder / "callcenter", free_port())
        self.theirs.conf = rivals.callcenter_conf(
            folder / "callcenter-conf", options.agents, WRAP_UP_S, self.theirs.sounds
        )
        for number, switch in enumerate((self.ours, self.theirs)):
            switch.rtp_start += number * (RTP_PORTS + 20)
            switch.rtp_ports = RTP_PORTS
        center = folder / "center.yaml"
        center.write_text(rivals.center(options.agents, WRAP_UP_S))
        self.stack = Stack(
            folder / "stack",
            centers=center,
            switches=self.ours.address,
            shift=shift,
            sounds=self.ours.sounds,
            recordings=self.ours.recordings,
            cdr_spool=self.ours.cdr_spool,
        )
        self.labs = {
            "peyvand": Lab(self.ours, folder / "sipp-peyvand"),
            "callcenter": Lab(self.theirs, folder / "sipp-callcenter"),
        }
        self.phones = Phones()
        total = 2 * (options.calls * len(options.rate) + WARM_UP)
        self.time: dict[tuple[str, float], tuple[int, ...]] = dict.fromkeys(
            itertools.product(self.labs, options.rate), (0, 0)
        )  # All of it, and stolen.
        self.callers = [self.phones.add() for _ in range(total)]
        self.agents = [self.phones.add() for _ in range(total + 20)]
        self.observer = Observer(
            self.phones, {p.port: p for p in self.agents}, "INFO" if options.menu else "ACK"
        )
        self.reading: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.stack.prepare_prompts()
        shutil.copytree(self.ours.sounds, self.theirs.sounds, dirs_exist_ok=True)
        await asyncio.gather(self.ours.start(), self.theirs.start())
        await self.stack.start(120)
        self.phones.start()
        port = free_port(socket.SOCK_DGRAM)
        agents = await self.labs["peyvand"].agent(
            "",
            ring_ms=RING_MS,
            talk_ms=round(self.options.talk * 1000),
            calls=1_000_000,
            port=port,
            echo=False,
            inject=[str(phone.port) for phone in self.agents],
            media_port="[field0]",
            life_s=self.options.limit,
        )
        self._watch(agents, self.observer.agent_said)
        await asyncio.gather(*(self._register(lab, port) for lab in self.labs.values()))
        await self._log_in()

    async def _register(self, lab: Lab, port: int) -> None:
        names = rivals.extensions(self.options.agents)
        values = {
            "domain": DOMAIN,
            "from_user": "[field0]",
            "credentials": "[field1]",
            "contact_port": str(port),
        }
        sipp = await lab.run(
            "register",
            values,
            to=lab.switch.agents_port,
            calls=len(names),
            rate=100,
            inject=[f"{name};{credentials(name)}" for name in names],
        )
        counts = await sipp.done(120)
        if counts.successful != len(names):
            raise RuntimeError(f"{counts.failed} of {len(names)} phones were not registered: {sipp.errors()}")

    async def _log_in(self) -> None:
        """Make everybody available, and wait until Peyvand knows that all phones can be reached."""
        headers = {"Authorization": f"Bearer {self.stack.token('lab', 'admin')}"}
        names = iter(rivals.extensions(self.options.agents))
        async with httpx.AsyncClient(
            base_url=self.stack.http("routing"), headers=headers, trust_env=False, timeout=30
        ) as client:

            async def some() -> None:
                for extension in names:
                    answer = await client.post(
                        f"/v1/agents/a{extension}/presence", json={"presence": "available"}
                    )
                    answer.raise_for_status()

            await asyncio.gather(*(some() for _ in range(8)))
            async with asyncio.timeout(60):
                while True:
                    agents = (await client.get("/v1/agents")).json()
                    if sum(a["activity"] == "idle" for a in agents) == self.options.agents:
                        return
                    await asyncio.sleep(0.5)

    def _watch(self, sipp: Sipp, take: object) -> None:
        async def read() -> None:
            trace = Trace(sipp.folder / "messages.log")
            while True:
                for message in trace.more(ended=sipp.ended):
                    take(message)  # type: ignore[operator]
                await asyncio.sleep(0.005)

        self.reading.append(asyncio.get_running_loop().create_task(read()))

    async def round(self, rival: str, rate: float, count: int) -> list[Call]:
        """Some callers, one after the other; returns when all of them have hung up."""
        began = processor_time()
        phones = [self.callers.pop() for _ in range(count)]
        lines = []
        for phone in phones:
            number = f"21{phone.number:08}"
            lines.append(f"{phone.port};{number}")
            self.observer.calls[number] = Call(rival, rate, phone)
        lab = self.labs[rival]
        sipp = await lab.callers(
            rivals.MENU if self.options.menu else rivals.ENTRY,
            digits="1" if self.options.menu else "",
            calls=count,
            rate=rate,
            hz=0,
            ani="[field1]",
            inject=lines,
            media_port="[field0]",
        )
        self._watch(sipp, self.observer.caller_said)
        await sipp.done(100)
        await asyncio.sleep(0.1)  # The last lines of the trace.
        reading = self.reading.pop()
        reading.cancel()
        spent = zip(self.time[rival, rate], processor_time(), began, strict=True)
        self.time[rival, rate] = tuple(before + now - then for before, now, then in spent)
        return [self.observer.calls[line.partition(";")[2]] for line in lines]

    async def stop(self) -> None:
        for reading in self.reading:
            reading.cancel()
        for lab in self.labs.values():
            await lab.close()
        self.phones.stop()
        await self.stack.stop()
        self.stack.close()
        await asyncio.gather(self.ours.stop(), self.theirs.stop())


def processor_time() -> tuple[int, ...]:
    """Ticks of all processors since the start of the machine, and how many of them went to other guests of the host."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return user + nice + system + idle + iowait + irq + softirq + steal, steal


def line(name: str, bench: Bench, rate: float, calls: list[Call], pick: str) -> dict[str, object]:
    """The line of one figure."""
    found: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    for rival in ("peyvand", "callcenter"):
        values = [getattr(call, pick) for call in calls if (call.rival, call.rate) == (rival, rate)]
        found[rival] = sorted(value for value in values if value is not None)
        lost[rival] = values.count(None)

    def at(rival: str, share: float) -> float:
        values = found[rival]
        return round(values[round((len(values) - 1) * share)], 1) if values else float("nan")

    stolen = {rival: round(bench.time[rival, rate][1] / bench.time[rival, rate][0], 3) for rival in found}
    ours, theirs = (at("peyvand", 0.5), at("peyvand", 0.99)), (at("callcenter", 0.5), at("callcenter", 0.99))
    return {
        "name": name,
        "p50_ms": ours[0],
        "p99_ms": ours[1],
        "mod_callcenter_p50_ms": theirs[0],
        "mod_callcenter_p99_ms": theirs[1],
        "ratio": round(ours[0] / theirs[0], 2),
        "ratio_p99": round(ours[1] / theirs[1], 2),
        "calls": len(found["peyvand"]),
        "mod_callcenter_calls": len(found["callcenter"]),
        "lost": lost["peyvand"],
        "mod_callcenter_lost": lost["callcenter"],
        "agents": bench.options.agents,
        "calls_per_s": round(rate, 2),
        "talk_s": bench.options.talk,
        "last_word": "digit" if bench.options.menu else "ack",
        "stolen": stolen["peyvand"],
        "mod_callcenter_stolen": stolen["callcenter"],
    }


async def measure(options: argparse.Namespace, folder: Path) -> int:
    bench = Bench(options, folder)
    calls: list[Call] = []
    try:
        began = time.monotonic()
        await bench.start()
        sys.stderr.write(f"both installations are ready after {time.monotonic() - began:.0f} s\n")
        for rival in bench.labs:
            await bench.round(rival, options.rate[0], WARM_UP)
        for rate in options.rate:
            left = dict.fromkeys(bench.labs, options.calls)
            turn = 0
            while any(left.values()):
                for rival in sorted(left, reverse=bool(turn % 2)):
                    count = min(left[rival], options.round)
                    left[rival] -= count
                    if count:
                        calls += await bench.round(rival, rate, count)
                turn += 1
    finally:
        await bench.stop()
    for rate in options.rate:
        for name, pick in (("enqueue_to_invite", "to_invite_ms"), ("enqueue_to_bridge", "to_sound_ms")):
            print(json.dumps(line(name, bench, rate, calls, pick)), flush=True)
    return 0


def main() -> int:
    """Measure where there is something to measure; say why not where there is not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench_freeswitch", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--agents", type=int, default=1000, help="agents logged in on both sides")
    parser.add_argument("--calls", type=int, default=150, help="calls for each side")
    parser.add_argument("--round", type=int, default=25, help="calls until it is the other side's turn")
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[GAP], help="calls a second; several are measured in turn"
    )
    parser.add_argument("--talk", type=float, default=3.0, help="seconds until the agent hangs up")
    parser.add_argument("--menu", action="store_true", help="callers press a key first")
    parser.add_argument("--limit", type=int, default=900, help="seconds after which the phones give up")
    parser.add_argument("--folder", type=Path, help="keep configurations, traces and logs in this new folder")
    options = parser.parse_args()
    log.setup("bench", "1", level="error")
    binary = find_binary()
    missing = (
        "no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN"
        if binary is None
        else "no SIPp: install Debian's sip-tester"
        if shutil.which("sipp") is None
        else ""
        if rivals.has_callcenter(binary)
        else "this FreeSWITCH was built without mod_callcenter, there is nothing to compare with"
    )
    if missing:
        sys.stderr.write(f"bench-freeswitch skipped: {missing}\n")
        return 0
    if options.folder is not None:
        options.folder.mkdir(parents=True)
        return asyncio.run(measure(options, options.folder.resolve()))
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-freeswitch-"))
        return asyncio.run(measure(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
