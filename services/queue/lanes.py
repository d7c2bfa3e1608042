"""Commands on their way to one FreeSWITCH node, for as long as this process owns it.

Each contact has a lane: its commands are sent in the order in which they were decided, and contacts do not wait for each other. What stands in a
lane when it is sent goes out in one write. Who may send what without a confirmed lease is told in ``runner``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter

from services.common.errors import NotReady, UnsafeCommandError
from services.common.esl import command as refuse_unsafe
from services.queue.adapters import dialog, switch
from services.queue.adapters.line_desk import LineDesk
from services.queue.adapters.names import LegNames
from services.queue.core import inputs, outputs

log = structlog.get_logger()

# Commands that FreeSWITCH refused. Kills and probes of legs that are gone are normal; anything else wants a look.
REFUSED = Counter("peyvand_queue_commands_refused_total", "Commands FreeSWITCH refused", ["node", "command"])
# Commands that were not sent because the lease was over. More than a few: the node changes hands too often.
WITHHELD = Counter("peyvand_queue_commands_withheld_total", "Commands not sent for want of a lease", ["node"])

_DIALS = (outputs.Originate, outputs.CallCustomer, outputs.TakeLine)
JOB_EXTRA_S = 30.0


class Client(Protocol):
    """What is needed of ``SwitchClient``."""

    up: bool
    core_uuid: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def api(self, command_line: str, *, timeout_s: float = 5) -> str: ...
    async def pipeline(self, commands: Sequence[str], *, timeout_s: float = 5) -> list[str]: ...
    async def bgapi(self, command_line: str, *, job_id: str | None = None, timeout_s: float = 90) -> str: ...


class HeldLease(Protocol):
    """What is needed of the node's lease."""

    owner: str

    def valid(self) -> bool:
        """Whether the lease is confirmed now."""
        ...


class Lanes:
    """Sends commands, and feeds what FreeSWITCH says to them."""

    def __init__(
        self,
        node: str,
        client: Client,
        lease: HeldLease,
        *,
        names: LegNames,
        dialing: switch.Dialing,
        lines: LineDesk,
        feed: Callable[[inputs.Input], None],
        now_us: Callable[[], int],
    ) -> None:
        self._node = node
        self._client = client
        self._lease = lease
        self._names = names
        self._dialing = dialing
        self._lines = lines
        self._feed = feed
        self._now_us = now_us
        self._waiting: dict[str, list[outputs.Command]] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._beside: set[asyncio.Task[None]] = set()

    def put(self, command: outputs.Command) -> None:
        """Send a command after those of its contact that were put before."""
        if isinstance(command, outputs.SetVars) and command.leg == command.contact:
            command = outputs.SetVars(
                contact=command.contact,
                leg=command.leg,
                values=(*command.values, ("cc_keeper", self._lease.owner)),
            )
        elif isinstance(command, outputs.CallCustomer):
            keeper = (("cc_keeper", self._lease.owner),)
            command = msgspec.structs.replace(command, variables=command.variables + keeper)
        self._waiting.setdefault(command.contact, []).append(command)
        if command.contact not in self._sending:
            task = asyncio.get_running_loop().create_task(self._run(command.contact))
            self._sending[command.contact] = task

    async def sent(self, contacts: Collection[str], *, timeout_s: float | None = None) -> None:
        """Wait until what stands in the lanes of these contacts was sent, or for so long."""
        if tasks := [task for contact, task in self._sending.items() if contact in contacts]:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def stop(self) -> None:
        """Send nothing more. Jobs that FreeSWITCH has begun run on."""
        tasks = [*self._sending.values(), *self._beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sending.clear()
        self._waiting.clear()

    def _spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._beside.add(task)
        task.add_done_callback(self._spawned_done)

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("queue_task_failed", node=self._node, exc_info=error)

    async def _run(self, contact: str) -> None:
        try:
            while lane := self._waiting.get(contact):
                self._waiting[contact] = []
                await self._send(contact, lane)
        except Exception:
            log.exception("commands_failed", node=self._node, contact=contact)
        finally:
            self._waiting.pop(contact, None)
            self._sending.pop(contact, None)

    async def _send(self, contact: str, commands: list[outputs.Command]) -> None:
        if not self._lease.valid():
            commands = await self._allowed_without_lease(contact, commands)
        written: list[outputs.Command] = []
        texts: list[str] = []
        given_away = [command for command in commands if isinstance(command, outputs.SendLine)]
        for command in commands:
            if isinstance(command, outputs.SendLine):
                continue  # When the leg says so.
            try:
                if isinstance(command, _DIALS):
                    self._spawn(self._originate(command, self._dial_line(command)))
                    continue
                text = switch.api_line(self._names.addressed(command), self._dialing)
                # Here, where it costs one command and not all that go out with it.
                refuse_unsafe(f"api {text}")
            except UnsafeCommandError as e:
                log.error("command_unsafe", node=self._node, contact=contact, reason=str(e))
                self._refused(command, f"-ERR {e}")
            else:
                texts.append(text)
                written.append(command)
        try:
            answers = await self._client.pipeline(texts)
        except NotReady as e:
            # Whether they ran is not known: timers and the listing after the reconnection find out.
            log.warning("commands_unanswered", node=self._node, contact=contact, reason=str(e))
            return
        for command, answer in zip(written, answers, strict=True):
            if isinstance(command, outputs.Probe):
                self._feed(self._names.named(switch.probed(command.leg, answer, self._now_us())))
            elif answer.startswith("-"):
                self._refused(command, answer)
        for line_of in given_away:
            self._spawn(self._send_line(line_of))

    def _dial_line(self, command: outputs.Originate | outputs.CallCustomer | outputs.TakeLine) -> str:
        if isinstance(command, outputs.Originate):
            return switch.originate_line(command, self._node, self._dialing)
        if isinstance(command, outputs.CallCustomer):
            return switch.customer_line(command, self._node, self._dialing)
        return dialog.take_line(command, self._node)

    async def _send_line(self, command: outputs.SendLine) -> None:
        try:
            event = switch.dumped(await self._client.api(f"uuid_dump {self._names.uuid(command.leg)} json"))
        except NotReady:
            return  # It is offered again after a while.
        await self._lines.send(command, dialog.line_of(event) if event is not None else None)

    async def _allowed_without_lease(
        self, contact: str, commands: list[outputs.Command]
    ) -> list[outputs.Command]:
        """No new phone is rung; the rest is for a leg that nobody else has taken, and for agents' legs whose caller is gone."""
        try:
            keeper = (await self._client.api(f"uuid_getvar {self._names.uuid(contact)} cc_keeper")).strip()
        except NotReady:
            keeper = "unknown"
        if keeper == self._lease.owner:
            allowed = [c for c in commands if not isinstance(c, _DIALS)]
        elif keeper.startswith("-ERR"):
            allowed = [c for c in commands if isinstance(c, outputs.Kill | outputs.Probe)]
        else:
            allowed = []
        for command in commands:
            if command not in allowed:
                WITHHELD.labels(self._node).inc()
                if isinstance(command, _DIALS):
                    self._refused(command, "-ERR NO_LEASE")
        return allowed

    def _refused(self, command: outputs.Command, text: str) -> None:
        REFUSED.labels(self._node, type(command).__name__).inc()
        self._feed(inputs.CommandFailed(at_us=self._now_us(), command=command, text=text.strip()))
        if isinstance(command, _DIALS):
            self._feed(inputs.JobEnded(at_us=self._now_us(), offer=command.offer, ok=False, text=text))

    async def _originate(
        self, command: outputs.Originate | outputs.CallCustomer | outputs.TakeLine, line: str
    ) -> None:
        ok, text, known = False, "", False
        try:
            text = (await self._client.bgapi(line, timeout_s=command.ring_ms / 1000 + JOB_EXTRA_S)).strip()
            ok, known = text.startswith("+OK"), True
        except NotReady as e:
            log.warning("originate_unanswered", node=self._node, offer=command.offer, reason=str(e))
        except UnsafeCommandError as e:
            text, known = f"-ERR {e}", True
        self._feed(inputs.JobEnded(at_us=self._now_us(), offer=command.offer, ok=ok, text=text, known=known))
