"""Holds a recorded conversation again, with another switch.

Every command of the recording is sent as it was, with the identifiers of this run's legs in it, and only after the frames
have come that had come before it then. A frame that does not come is given up after nothing else came for `settle_s`.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.esl_transcripts import transcript
from tests.fidelity.compare import RECORDINGS, Difference, Legs, Result, compare
from tests.fidelity.conversation import Conversation, Frame, Frames, conversation
from tests.fidelity.lab import PASSWORD
from tests.fidelity.order import broken, learned, places
from tests.fidelity.scenarios import Scenario

_LONGEST_S: Final = 30.0
_THOUGHT_S: Final = 0.05
"""A longer pause before a command was the client's, and is kept: a hold of half a second is one of half a second again."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Lab:
    """A switch to talk to: where its event socket is, and how somebody calls an extension of it from outside."""

    port: int
    folder: Path
    call: Callable[[str, str, str], Awaitable[None]]
    """Number, caller's number, caller's name."""
    controllers: asyncio.Queue[Peer]
    """Connections that the switch opened to the controller of a call."""
    sip_port: str = "15080"
    """The port of the profile that the lab's phones are on."""


class Peer(asyncio.Protocol):
    """One connection to the switch that keeps every frame."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.closed = False
        self.transport: asyncio.Transport | None = None
        self._reader = Frames()
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.frames.extend(self._reader.feed(data))
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._news.set()

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self.closed:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def until(self, condition: Callable[[], bool], settle_s: float) -> bool:
        """Wait for it; False when nothing came for ``settle_s`` or the connection is closed."""
        async with asyncio.timeout(_LONGEST_S):
            while not condition():
                if self.closed:
                    return False
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), settle_s)
                except TimeoutError:
                    return condition()
        return True

    async def ask(self, command: str) -> str:
        """Send a command and return its reply."""

        def replies() -> list[Frame]:
            return [f for f in self.frames if f.event is None and f.answers]

        had = len(replies())
        self.send(command.encode("utf-8", "surrogateescape") + b"\n\n")
        await self.until(lambda: len(replies()) > had, _LONGEST_S)
        return replies()[-1].reply


async def connect(port: int, source: str = "127.0.0.1") -> Peer:
    """Open a connection to the event socket; it has said its first word."""
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(Peer, "127.0.0.1", port, local_addr=(source, 0))
    await peer.until(lambda: bool(peer.frames), _LONGEST_S)
    return peer


class _Play:
    """One scenario under way."""

    def __init__(
        self,
        scenario: Scenario,
        lab: Lab,
        recorded: Conversation,
        peer: Peer,
        beside: Peer,
        watchers: list[Peer],
    ) -> None:
        self._scenario = scenario
        self._lab = lab
        self._recorded = recorded
        self._peer = peer
        self._beside = beside
        self._watchers = watchers
        self._given_up: Counter[tuple[str, str]] = Counter()
        self._made: list[str] = []

    async def run(self) -> None:
        awaited: list[Frame] = []
        for number, turn in enumerate(self._recorded.turns):
            answers = [f for f in awaited + turn.before if f.answers]
            await self._come(answers)
            for line in self._scenario.beside.get(number, ()):
                await self.do(line)
            awaited += turn.before
            await self._come(awaited)
            await asyncio.sleep(turn.pause_s if self._scenario.pauses and turn.pause_s > _THOUGHT_S else 0)
            text = self._with_ids(turn.command.decode("utf-8", "surrogateescape"))
            self._peer.send(text.encode("utf-8", "surrogateescape"))
        awaited += self._recorded.after
        await self._come(awaited)
        for line in self._scenario.beside.get(len(self._recorded.turns), ()):
            await self.do(line)
        await self._peer.until(lambda: False, self._scenario.settle_s)

    async def do(self, line: str) -> None:
        """Do what a line of the scenario says."""
        word, _, rest = line.partition(" ")
        if word == "call":
            number, caller, name = rest.split(" ")
            await self._lab.call(number, caller, name)
        elif word == "quiet":
            await asyncio.gather(*(peer.until(lambda: False, 0.3) for peer in (self._peer, *self._watchers)))
        elif word == "await":
            count, label = 1, rest
            if rest[0].isdigit():
                count, label = int(rest.partition(" ")[0]), rest.partition(" ")[2]
            await self._peer.until(
                lambda: (
                    sum(f.event is not None and f.label.startswith(label) for f in self._peer.frames) >= count
                ),
                max(2.0, self._scenario.settle_s),
            )
        elif word == "raw":
            await self._beside.ask(self._named(rest))
        else:
            jobs = self._jobs()
            reply = await self._beside.ask(f"{word} {self._named(rest)}")
            if word == "api" and (found := _UUID.search(reply)):
                self._made.append(found[0])
            if word == "bgapi":
                await self._beside.until(lambda: self._jobs() > jobs, _LONGEST_S)

    def _jobs(self) -> int:
        return sum(frame.name == "BACKGROUND_JOB" for frame in self._beside.frames)

    def _named(self, text: str) -> str:
        frames = [frame for peer in (self._peer, *self._watchers) for frame in peer.frames]
        legs = Legs(frames, self._scenario.view)
        text = text.replace("<folder>", str(self._lab.folder)).replace("15080", self._lab.sip_port)

        def named(m: re.Match[str]) -> str:
            if m[1].startswith("made "):
                return self._made[int(m[1][5:]) - 1]
            return legs.found(m[1]) or m[0]

        return re.sub(r"<([^<>]+)>", named, text)

    async def _come(self, awaited: list[Frame]) -> None:
        """Wait for as many frames of each kind and leg as these are; what does not come is not waited for again."""
        wanted = self._tally(awaited)

        def lacks() -> Counter[tuple[str, str]]:
            return wanted - self._tally(self._peer.frames) - self._given_up

        if not await self._peer.until(lambda: not lacks(), self._scenario.settle_s):
            self._given_up += lacks()

    def _tally(self, frames: list[Frame]) -> Counter[tuple[str, str]]:
        legs = Legs(frames, self._scenario.view)
        out: Counter[tuple[str, str]] = Counter()
        for frame in frames:
            if frame.event is None or frame.answers:
                out["", frame.kind] += 1
            elif legs.counts(frame):
                out[legs.roles.get(frame.leg, ""), frame.name] += 1
        return out

    def _with_ids(self, command: str) -> str:
        """The command with this run's identifiers: legs by their names, others by the same reply or job."""
        phones = self._scenario.view
        theirs = Legs(self._recorded.frames, phones).roles
        ours = {role: leg for leg, role in Legs(self._peer.frames, phones).roles.items()}
        known = {leg: ours[role] for leg, role in theirs.items() if role in ours}
        pairs = zip(_answers(self._recorded.frames), _answers(self._peer.frames), strict=True)
        for was, now in (pair for kind in pairs for pair in zip(*kind, strict=False)):
            for a, b in zip(_UUID.findall(was), _UUID.findall(now), strict=False):
                known.setdefault(a, b)
        command = _UUID.sub(lambda m: known.get(m[0], m[0]), command.replace("15080", self._lab.sip_port))
        return command.replace(RECORDINGS, str(self._lab.folder))


def _answers(frames: list[Frame]) -> tuple[list[str], list[str]]:
    """Replies, and the results of background jobs."""
    replies = [f.reply for f in frames if f.event is None and f.answers]
    return replies, [str((f.event or {})["_body"]) for f in frames if f.name == "BACKGROUND_JOB"]


async def play(scenario: Scenario, lab: Lab) -> dict[str, Result]:
    """Hold the conversation with the lab's switch and compare; one result a recorded connection."""
    recorded = conversation(transcript(scenario.name))
    beside = await connect(lab.port)
    peers = [beside]
    try:
        await beside.ask(f"auth {PASSWORD}")
        await beside.ask("event json BACKGROUND_JOB")
        pairs: list[tuple[str, Conversation, Peer]] = []
        for name in scenario.watched_by:
            watched = conversation(transcript(name))
            watcher = await connect(lab.port)
            peers.append(watcher)
            pairs.append((name, watched, watcher))
            for number, turn in enumerate(t for t in watched.turns if not t.command.startswith(b"exit")):
                await watcher.until(lambda n=number, w=watcher: len(w.frames) > n, _LONGEST_S)  # type: ignore[misc]
                watcher.send(turn.command)
            await watcher.until(lambda w=watcher: len(w.frames) > 2, _LONGEST_S)  # type: ignore[misc]
        if scenario.call:
            word, _, rest = scenario.call.partition(" ")
            await (lab.call(*rest.split(" ")) if word == "call" else beside.ask(scenario.call))
            peer = await asyncio.wait_for(lab.controllers.get(), _LONGEST_S)
        else:
            peer = await connect(lab.port, scenario.source)
        peers.append(peer)
        await _Play(scenario, lab, recorded, peer, beside, [watcher for _, _, watcher in pairs]).run()
        await beside.ask("api hupall")
        for _, _, watcher in pairs:
            await watcher.until(lambda: False, scenario.settle_s)
        for _, watched, watcher in pairs:
            if watched.turns[-1].command.startswith(b"exit"):
                watcher.send(watched.turns[-1].command)
                await watcher.until(lambda: False, scenario.settle_s)
    finally:
        for one in peers:
            one.close()
    pairs.append((scenario.name, recorded, peer))
    return {name: _compared(scenario, lab, name, conv, one) for name, conv, one in pairs}


def _compared(scenario: Scenario, lab: Lab, name: str, recorded: Conversation, peer: Peer) -> Result:
    legs = Legs(recorded.frames, scenario.view)
    commands = [legs.normal(t.command.decode("utf-8", "replace").split("\n")[0]) for t in recorded.turns]
    result = compare(name, recorded.frames, peer.frames, commands, scenario.view, str(lab.folder))
    result.found = peer.frames
    run = places(peer.frames, Legs(peer.frames, scenario.view, str(lab.folder)))
    pairs = learned().get(name, [])
    result.pairs = len(pairs)
    for first, second in broken(pairs, run):
        result.differences[
            Difference(name, "order_between_legs", f"{first[0]} {first[1]} > {second[0]} {second[1]}")
        ] += 1
    return result
