"""The recordings of one FreeSWITCH node in the hands of this process: events and sweeps in, facts and sidecars out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog
from prometheus_client import Counter

from services.common.bus import Bus, Envelope, Outgoing, codec, subjects
from services.common.clock import Clock
from services.common.errors import BusUnavailable, DecodeError, NotReady
from services.common.esl import Event
from services.common.parts import switch_part
from services.contracts.peyvand.queue.v1.events_pb2 import AgentBridged
from services.recording.adapters.files import Folder, sidecar_of
from services.recording.adapters.wave import BadRecording, examine
from services.recording.core import facts
from services.recording.core import lifecycle as c

log = structlog.get_logger()

# Recordings that ended, by how. Anything but "stored" wants a look at the folder and the node's disk.
FINISHED = Counter("peyvand_recording_finished_total", "Recordings that ended", ["node", "how"])
# Facts of queue that could not be read. Above zero: a newer queue (update recording), or a broken one.
UNREADABLE = Counter(
    "peyvand_recording_unreadable_total", "Facts left out because they could not be read", ["node"]
)

EVENTS = ("RECORD_START", "RECORD_STOP")
SWEEP_S = 60.0
AGENTS_BACK_US = 24 * 3600 * 1_000_000  # So far back agents are joined to files that nobody finished.
_WHAT: dict[type[facts.Fact], str] = {
    facts.RecordingStarted: "started",
    facts.RecordingStored: "stored",
    facts.RecordingFailed: "failed",
}


class Client(Protocol):
    """What is needed of ``SwitchClient``."""

    up: bool

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def api(self, command_line: str, *, timeout_s: float = 5) -> str: ...


ClientFactory = Callable[
    [Callable[[Event], None], Callable[[], Coroutine[Any, Any, None]], Callable[[str], None]], Client
]


class NodeRunner:
    """Runs the lifecycle of one node's recordings while this process owns the node."""

    def __init__(
        self,
        name: str,
        *,
        bus: Bus,
        clock: Clock,
        folder: Folder,
        make_client: ClientFactory,
        ready: Callable[[str, bool, str], None],
        sweep_s: float = SWEEP_S,
    ) -> None:
        self.name = name
        self._bus = bus
        self._clock = clock
        self._folder = folder
        self._make_client = make_client
        self._ready = ready
        self._sweep_s = sweep_s
        self._core = c.Lifecycle(name)
        self._client: Client | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._facts: asyncio.Queue[c.Report | c.Keep] = asyncio.Queue()
        self._sweep_at = 0.0  # By the event loop's clock.
        self._sweep_sooner = asyncio.Event()
        self._examining = asyncio.Lock()  # one file at a time: the disk is one, and so is the worker's memory

    async def own(self) -> None:
        """Serve the node until cancelled."""
        self._core = c.Lifecycle(self.name)
        self._facts = asyncio.Queue()
        self._sweep_at = asyncio.get_running_loop().time() + self._sweep_s
        self._ready(switch_part(self.name), False, "connecting")
        followed = await self._bus.follow(
            [subjects.any_fact(service="queue", entity="contact", what="bridged")],
            self._on_bridged,
            after_seq=None,
            since_us=self._now() - AGENTS_BACK_US,
        )
        client = self._client = self._make_client(self._on_event, self._on_up, self._on_down)
        try:
            await client.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._append_all())
                group.create_task(self._sweep_now_and_then())
                group.create_task(followed.wait())
        finally:
            await client.stop()
            await followed.stop()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ready(switch_part(self.name), True, "another process owns the node")

    def feed(self, event: c.Input) -> None:
        """Give the core one input and do what follows."""
        for output in self._core.handle(event):
            match output:
                case c.Report() | c.Keep():
                    self._facts.put_nowait(output)
                case c.Examine():
                    self._spawn(self._examine(output))
                case c.SweepAgain():
                    self._sweep_in(output.after_ms / 1000)
                case c.SetTimer():
                    asyncio.get_running_loop().call_later(
                        output.after_ms / 1000, self._fire, self._core, output.path
                    )

    def _fire(self, core: c.Lifecycle, path: str) -> None:
        if core is self._core:
            self.feed(c.TimerFired(at_us=self._now(), path=path))

    def _now(self) -> int:
        return self._clock.now_us()

    def _spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("recording_task_failed", node=self.name, exc_info=error)

    # --- inputs ------------------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        path = event.get("Record-File-Path")
        recording = self._folder.recording(path)
        if recording is None:
            log.info("recording_not_ours", node=self.name, path=path)
        elif event.name == "RECORD_START":
            caller = event.get("Caller-Caller-ID-Number") if recording.message_for else ""
            self.feed(c.Began(at_us=self._now(), recording=recording, caller=caller))
        else:
            self.feed(c.Stopped(at_us=self._now(), recording=recording))

    async def _on_up(self) -> None:
        self._ready(switch_part(self.name), True, "")
        await self._sweep()

    def _on_down(self, reason: str) -> None:
        self._ready(switch_part(self.name), False, reason)

    async def _on_bridged(self, envelope: Envelope) -> None:
        try:
            message = codec.decode(envelope)
        except DecodeError as e:
            # An error would end the following, and the same message end the next one: no recording would have its agent.
            UNREADABLE.labels(self.name).inc()
            log.error("fact_unreadable", node=self.name, id=envelope.id, type=envelope.type, reason=str(e))
            return
        if isinstance(message, AgentBridged):
            self.feed(
                c.Talking(
                    at_us=self._now(),
                    contact=message.contact_id,
                    agent=message.agent_id,
                    queue=message.queue,
                    bridged_at_us=message.at_us,
                )
            )

    def _sweep_in(self, after_s: float) -> None:
        """Let the next sweep be so early at the latest."""
        wake = asyncio.get_running_loop().time() + after_s
        if wake < self._sweep_at:
            self._sweep_at = wake
            self._sweep_sooner.set()

    async def _sweep_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            self._sweep_sooner.clear()
            try:
                await asyncio.wait_for(self._sweep_sooner.wait(), max(0.0, self._sweep_at - now()))
            except TimeoutError:
                self._sweep_at = now() + self._sweep_s
            else:
                continue
            if self._client is not None and self._client.up:
                try:
                    await self._sweep()
                except NotReady as e:
                    log.warning("recordings_not_swept", node=self.name, reason=str(e))

    async def _sweep(self) -> None:
        """Find what nobody finished: stopped while nobody listened, or left by a killed switch."""
        client = self._client
        if client is None:
            return
        for recording, resting_ms in await asyncio.to_thread(self._folder.unfinished, self._now()):
            # The leg that is recorded is the contact's first one: its UUID is the file's name.
            alive = (await client.api(f"uuid_exists {recording.contact}")).strip() == "true"
            self.feed(
                c.Unfinished(at_us=self._now(), recording=recording, leg_alive=alive, resting_ms=resting_ms)
            )

    # --- outputs -----------------------------------------------------------------------------------------------------

    async def _examine(self, order: c.Examine) -> None:
        recording = order.recording
        try:
            async with self._examining:
                found = await asyncio.to_thread(
                    examine, self._folder.file(recording.path), may_repair=order.may_repair
                )
        except BadRecording as e:
            log.warning(
                "recording_bad", node=self.name, path=recording.path, problem=e.problem, reason=str(e)
            )
            self.feed(c.Examined(at_us=self._now(), recording=recording, found=None, problem=e.problem))
        else:
            self.feed(c.Examined(at_us=self._now(), recording=recording, found=found))

    async def _append_all(self) -> None:
        while True:
            output = await self._facts.get()
            await self._append(output)
            if isinstance(output, c.Keep):
                await self._keep(output)

    async def _append(self, output: c.Report | c.Keep) -> None:
        outgoing = Outgoing(
            subject=subjects.fact(output.tenant, "recording", "file", _WHAT[type(output.fact)]),
            message=output.fact,
            id=output.fact_id,
            tenant=output.tenant,
            correlation_id=output.fact.contact_id,
            time_us=output.fact.at_us,
        )
        while True:
            try:
                await self._bus.append(outgoing)
            except BusUnavailable as e:
                log.warning("recording_fact_waits", node=self.name, fact=output.fact_id, reason=str(e))
            else:
                return

    async def _keep(self, output: c.Keep) -> None:
        sidecar = sidecar_of(output.tenant, output.fact)
        try:
            await asyncio.to_thread(self._folder.write, sidecar)
        except OSError as e:
            # Without its sidecar the file is found by the next sweep, and its fact repeated under the same id.
            log.error("sidecar_not_written", node=self.name, path=sidecar.path, reason=str(e))
        FINISHED.labels(self.name, sidecar.problem or "stored").inc()
        log.info(
            "recording_finished",
            node=self.name,
            contact=sidecar.contact,
            tenant=sidecar.tenant,
            path=sidecar.path,
            problem=sidecar.problem,
            duration_ms=sidecar.duration_ms,
            bytes=sidecar.bytes,
            agent=sidecar.agent,
            queue=sidecar.queue,
            repaired=sidecar.repaired,
        )
        self.feed(c.Kept(at_us=self._now(), path=sidecar.path))
