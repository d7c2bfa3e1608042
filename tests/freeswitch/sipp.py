"""SIPp as callers and agents' phones: scenarios filled in, processes bounded in calls and time, counts read back."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import itertools
import os
import re
import shutil
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.freeswitch.switch import AGENT_PASSWORD, DOMAIN, FreeSwitch, free_port

SCENARIOS = Path(__file__).with_name("sipp")
FIRST_MEDIA_PORT = 10_000  # 300 processes with 20 ports each end below the ports that FreeSWITCH may take.
_number = itertools.count(1)


def write_tone(path: Path, hz: float, seconds: float = 2.0) -> Path:
    """A raw A-law file with a sine of ``hz`` (ITU-T G.711), which SIPp's rtp_stream plays in a loop."""
    t = np.arange(int(8000 * seconds))
    path.write_bytes(a_law((6000 * np.sin(2 * np.pi * hz * t / 8000)).astype(np.int32)))
    return path


def a_law(linear: np.ndarray[Any, np.dtype[np.int32]]) -> bytes:
    """16 bit samples as ITU-T G.711 codes them."""
    magnitude = np.minimum(np.abs(linear) >> 3, 4095)
    exponent = np.where(magnitude < 32, 0, np.floor(np.log2(np.maximum(magnitude, 1))).astype(int) - 4)
    mantissa = np.where(exponent <= 1, (magnitude >> 1) & 15, (magnitude >> np.maximum(exponent, 1)) & 15)
    coded = (exponent << 4) | mantissa | np.where(linear >= 0, 0x80, 0)
    return (coded ^ 0x55).astype(np.uint8).tobytes()


@dataclass(frozen=True)
class Counts:
    """What a SIPp process says of its calls."""

    successful: int
    failed: int
    seconds: tuple[float, ...] = ()


class Sipp:
    """One SIPp process. ``await done()`` gives its counts; ``stop()`` ends it early."""

    def __init__(self, name: str, folder: Path, child: asyncio.subprocess.Process) -> None:
        self.name = name
        self.folder = folder
        self._child = child

    @property
    def ended(self) -> bool:
        """Whether the process is over, and its trace complete."""
        return self._child.returncode is not None

    async def done(self, timeout_s: float = 60) -> Counts:
        """Wait for the end. Raises AssertionError with SIPp's error log when it does not come in time."""
        try:
            await asyncio.wait_for(self._child.wait(), timeout_s)
        except TimeoutError:
            await self.stop()
            raise AssertionError(f"sipp {self.name} did not end in {timeout_s} s\n{self.errors()}") from None
        return self.counts()

    async def leave(self, timeout_s: float = 20) -> Counts:
        """Let it finish the calls that it has, take no more, and end (SIPp's SIGUSR1)."""
        if self._child.returncode is None:
            self._child.send_signal(signal.SIGUSR1)
        return await self.done(timeout_s)

    async def stop(self) -> Counts:
        if self._child.returncode is None:
            self._child.kill()
            await self._child.wait()
        return self.counts()

    def counts(self) -> Counts:
        try:
            with (self.folder / "stat.csv").open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter=";"))
        except OSError:
            return Counts(0, 0)
        if not rows:
            return Counts(0, 0)
        return Counts(int(rows[-1]["SuccessfulCall(C)"]), int(rows[-1]["FailedCall(C)"]))

    def requests(self) -> list[str]:
        """Methods of the requests that SIPp sent or received, in their order."""
        text = (self.folder / "messages.log").read_text(errors="replace")
        return re.findall(r"^([A-Z]+) sip:", text, re.MULTILINE)

    def errors(self) -> str:
        path = self.folder / "errors.log"
        return (path if path.exists() else self.folder / "screen.log").read_text(errors="replace")[-1200:]


def _media_port(number: int) -> int:
    """The first of 20 ports for the sound of one process; another run on the machine may have taken some of them."""
    for n in range(300):
        first = FIRST_MEDIA_PORT + (number + os.getpid() + n) % 300 * 20
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + 6):
                    probe = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise OSError("no free ports for SIPp's sound")


async def _bound(port: int, child: asyncio.subprocess.Process) -> None:
    """Until somebody listens on the UDP port, so that no INVITE comes too early, or has done so and ended."""
    async with asyncio.timeout(10):
        while child.returncode is None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return
            await asyncio.sleep(0.02)
    assert child.returncode in (0, 1), f"sipp did not start: it ended with {child.returncode}"


CALLER_PARTIES = """From: "@caller_name@" <sip:@from_user@@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:@number@@[remote_ip]:[remote_port]>[peer_tag_param]"""
CODE_PARTIES = """From: "@caller_name@" <sip:@from_user@@@domain@>;tag=[pid]c[call_number]
To: <sip:@number@@[remote_ip]:[remote_port]>[peer_tag_param]"""
AGENT_PARTIES = """From: <sip:agent@[local_ip]:[local_port]>;tag=[pid]a[call_number]
To:[$from]"""


def credentials(extension: str) -> str:
    """SIPp's words for the answer to a challenge, as the phone of ``extension``."""
    return f"[authentication username={extension} password={AGENT_PASSWORD}]"


def key_press(digit: str, parties: str, cseq: int, *, rest_ms: int = 400) -> str:
    """Scenario steps that press one key by SIP INFO (SIPp's own RFC 4733 sender needs raw sockets)."""
    rest = f'  <pause milliseconds="{rest_ms}"/>\n' if rest_ms else ""
    return f"""  <send retrans="500"><![CDATA[
INFO [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{parties}
Call-ID: [call_id]
CSeq: {cseq} INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal={digit}
Duration=160
]]></send>
  <recv response="200"/>
{rest}"""


def _speak(tone: Path) -> str:
    return f'  <nop><action><exec rtp_stream="{tone},-1,8"/></action></nop>\n'


def _notify(status: str) -> str:
    """Scenario steps that tell how the call went that a REFER asked for."""
    return f"""  <send retrans="500"><![CDATA[
NOTIFY [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{CALLER_PARTIES}
Call-ID: [call_id]
CSeq: 5 NOTIFY
Max-Forwards: 70
Event: refer
Subscription-State: terminated;reason=noresource
Contact: <sip:@from_user@@[local_ip]:[local_port]>
Content-Type: message/sipfrag
Content-Length: [len]

SIP/2.0 {status}
]]></send>
  <recv response="200"/>
"""


class Lab:
    """Starts SIPp processes against one switch and ends them all."""

    def __init__(self, switch: FreeSwitch, folder: Path) -> None:
        self.switch = switch
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.running: list[Sipp] = []
        self.phones: dict[str, int] = {}

    async def run(
        self,
        scenario: str,
        values: dict[str, str],
        *,
        port: int | None = None,
        to: int | None = None,
        calls: int = 1,
        rate: float = 5,
        echo: bool = False,
        limit: int | None = None,
        inject: Sequence[str] = (),
        media_port: str = "[media_port]",
        life_s: int = 120,
    ) -> Sipp:
        """Fill in ``sipp/<scenario>.xml`` (``@name@``) and start it; ``to`` is the switch's port, None for a phone.

        ``inject`` has a line for each call, whose parts between semicolons are [field0], [field1] ... in the values and
        in ``media_port``, where the SDP says that sound is to be sent to. After ``life_s`` seconds SIPp gives up.
        """
        number = next(_number)
        name = f"{number}-{scenario}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        text = text.replace("[media_port]", media_port)
        left = re.findall(r"@[a-z_]+@", text)
        assert not left, f"{scenario}: no value for {left}"
        (folder / "scenario.xml").write_text(text)
        port = port or free_port(socket.SOCK_DGRAM)
        argv = [
            shutil.which("sipp") or "sipp",
            "-sf",
            "scenario.xml",
            "-i",
            "127.0.0.1",
            "-p",
            str(port),
            "-m",
            str(calls),
            "-r",
            str(rate),
            "-nostdin",
            "-trace_err",
            "-error_file",
            "errors.log",
            "-trace_msg",
            "-message_file",
            "messages.log",
            "-trace_stat",
            "-stf",
            "stat.csv",
            "-fd",
            "1",
            "-timeout",
            f"{life_s}s",
            "-timeout_error",
            "-mp",
            str(_media_port(number)),
        ]
        if limit:
            argv += ["-l", str(limit)]
        if inject:
            (folder / "inject.csv").write_text("\n".join(("SEQUENTIAL", *inject)) + "\n")
            argv += ["-inf", "inject.csv"]
        if echo:
            argv.append("-rtp_echo")
        if to:
            argv.append(f"127.0.0.1:{to}")
        with (folder / "screen.log").open("wb") as out:
            child = await asyncio.create_subprocess_exec(
                *argv, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
            )
        process = Sipp(name, folder, child)
        self.running.append(process)
        await _bound(port, child)
        return process

    async def register(self, extension: str) -> int:
        """Register the phone of ``extension``; returns the port that its calls will come to."""
        contact = self.phones.setdefault(extension, free_port(socket.SOCK_DGRAM))
        values = {
            "domain": DOMAIN,
            "from_user": extension,
            "credentials": credentials(extension),
            "contact_port": str(contact),
        }
        counts = await (await self.run("register", values, to=self.switch.agents_port)).done(20)
        assert counts.successful == 1, f"{extension} could not register"
        return contact

    async def dial_code(self, extension: str, code: str, *, keys: str = "") -> Counts:
        """Let the phone dial a feature code, press ``keys`` a second later, and hear the answer."""
        return await (await self.dials(extension, code, keys=keys)).done(30)

    async def dials(self, extension: str, number: str, *, keys: str = "", hz: float = 0) -> Sipp:
        """Let the phone dial, press ``keys`` a second later, send a tone of ``hz`` (0: nothing), and wait to be hung up."""
        press = "".join(key_press(key, CODE_PARTIES, 3 + n, rest_ms=150) for n, key in enumerate(keys))
        values = {
            "press": f'  <pause milliseconds="1000"/>\n{press}' if keys else "",
            "domain": DOMAIN,
            "from_user": extension,
            "password": AGENT_PASSWORD,
            "number": number,
            "caller_name": extension,
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)) if hz else "",
        }
        return await self.run("dial_code", values, to=self.switch.agents_port)

    async def agent(
        self,
        extension: str,
        *,
        ring_ms: int | tuple[int, int] = 200,
        talk_ms: int = 60_000,
        calls: int = 1,
        hz: float = 0,
        keys: Sequence[tuple[int, str]] = (),
        port: int | None = None,
        echo: bool = True,
        rings: bool = True,
        **run: Any,
    ) -> Sipp:
        """Put an answering phone where ``extension`` is registered. It sends a tone of ``hz``, or echoes what it hears.

        ``ring_ms``: how long it rings, or between which two values each call does. ``keys``: (ms after the answer or the key
        before, digit). No BYE may come before the last one. ``rings``: whether it says so. ``run``: for ``run``.
        """
        press = "".join(
            f'  <pause milliseconds="{after_ms}"/>\n' + key_press(digit, AGENT_PARTIES, 2 + n, rest_ms=0)
            for n, (after_ms, digit) in enumerate(keys)
        )
        values = {
            "ring": f'milliseconds="{ring_ms}"'
            if isinstance(ring_ms, int)
            else f'distribution="uniform" min="{ring_ms[0]}" max="{ring_ms[1]}"',
            "status": "180 Ringing" if rings else "100 Trying",
            "talk_ms": str(talk_ms),
            "press": press,
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)) if hz else "",
        }
        at = port or self.phones[extension]
        return await self.run("agent_answers", values, port=at, calls=calls, echo=echo and not hz, **run)

    async def holding_agent(self, extension: str, *, talk_ms: int, hold_ms: int, hz: float) -> Sipp:
        """Put a phone where ``extension`` is registered that answers, and holds by its own key for a while."""
        values = {
            "ring_ms": "200",
            "talk_ms": str(talk_ms),
            "hold_ms": str(hold_ms),
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)),
        }
        return await self.run("agent_holds", values, port=self.phones[extension])

    async def customer(self, *, talk_ms: int, hz: float, keys: Sequence[tuple[int, str]] = ()) -> Sipp:
        """Answer the next call that the switch makes through the carrier; see ``agent``."""
        return await self.agent("", talk_ms=talk_ms, hz=hz, keys=keys, port=self.switch.carrier_port)

    async def absent_customer(self, calls: int = 1) -> Sipp:
        """Let the next call through the carrier ring unanswered."""
        return await self.run("agent_rings", {}, port=self.switch.carrier_port, calls=calls)

    async def silent_agent(self, extension: str, calls: int = 1) -> Sipp:
        """Put a phone that rings and is never answered where ``extension`` is registered."""
        return await self.run("agent_rings", {}, port=self.phones[extension], calls=calls)

    async def refusing_agent(self, extension: str, status: str, calls: int = 1) -> Sipp:
        """Put a phone that refuses with ``status`` (``486 Busy Here``) where ``extension`` is registered."""
        return await self.run("agent_refuses", {"status": status}, port=self.phones[extension], calls=calls)

    async def callers(
        self,
        number: str,
        *,
        digits: str = "",
        think_ms: int = 1500,
        patience_ms: int = 60_000,
        calls: int = 1,
        rate: float = 5,
        hz: float = 440,
        ani: str = "2188776655",
        **run: Any,
    ) -> Sipp:
        """Customers call ``number``, press ``digits`` after ``think_ms``, and send a tone of ``hz`` (0: nothing).

        ``run``: for ``run``.
        """
        press = "".join(key_press(digit, CALLER_PARTIES, 2 + n) for n, digit in enumerate(digits))
        if digits:
            press = f'  <pause milliseconds="{think_ms}"/>\n{press}'
        values = {
            "press": press,
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)) if hz else "",
            "number": number,
            "patience_ms": str(patience_ms),
            "from_user": ani,
            "caller_name": "Caller",
        }
        return await self.run(
            "caller", values, to=self.switch.trunk_port, calls=calls, rate=rate, limit=calls, **run
        )

    async def referred_caller(
        self, number: str, status: str, *, notified: str = "", hz: float = 440, patience_ms: int = 60_000
    ) -> Sipp:
        """A carrier's call that will be sent on: answers the REFER with ``status``, and tells ``notified`` (``200 OK``) of the new call."""
        values = {
            "status": status,
            "notify": _notify(notified) if notified else "",
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)) if hz else "",
            "number": number,
            "patience_ms": str(patience_ms),
            "from_user": "2188776655",
            "caller_name": "Caller",
        }
        return await self.run("caller_referred", values, to=self.switch.trunk_port)

    async def unmoved_caller(self, number: str, *, hz: float = 440, patience_ms: int = 60_000) -> Sipp:
        """A carrier's call that takes no notice of a re-INVITE from another node."""
        values = {
            "speak": _speak(write_tone(self.folder / f"{hz:.0f}.pcma", hz)) if hz else "",
            "number": number,
            "patience_ms": str(patience_ms),
            "from_user": "2188776655",
            "caller_name": "Caller",
        }
        return await self.run("caller_unmoved", values, to=self.switch.trunk_port)

    async def close(self) -> None:
        for process in self.running:
            await process.stop()
