"""Facts on their way to the bus: in order for each contact, repeated for as long as the bus is away.

Nothing waits for this: while NATS elects a leader, callers go on hearing music, agents go on ringing, and the facts follow.
"""

from __future__ import annotations

import asyncio
from binascii import crc32

import structlog
from prometheus_client import Counter, Gauge

from services.common.bus import Bus, Outgoing, subjects
from services.common.errors import BusUnavailable, ContractError
from services.queue.core import drain_facts, facts, outbound_facts, supervision_facts, trunk_facts
from services.queue.core.outputs import Report

log = structlog.get_logger()

# Facts that wait for the bus. Rises while NATS is away and must fall afterwards.
PENDING = Gauge("peyvand_queue_outbox_pending", "Facts that wait for the bus", ["node"])
# Facts that were lost. Anything above zero: the bus was away for longer than memory lasts, or a fact was malformed.
LOST = Counter("peyvand_queue_outbox_lost_total", "Facts that could not be appended", ["node", "reason"])

_SUBJECTS: dict[type[facts.Observation], tuple[str, str]] = {
    facts.ContactWaiting: ("contact", "waiting"),
    facts.TreatmentPlayed: ("contact", "treated"),
    facts.WhisperPlayed: ("offer", "whispered"),
    facts.OfferRinging: ("offer", "ringing"),
    facts.OfferFailed: ("offer", "failed"),
    facts.OfferAnswered: ("offer", "answered"),
    facts.AgentReleased: ("offer", "released"),
    facts.AgentBridged: ("contact", "bridged"),
    facts.ConversationEnded: ("contact", "ended"),
    facts.ContactGone: ("contact", "gone"),
    facts.DispositionKeyed: ("contact", "disposed"),
    facts.ContactHeld: ("contact", "held"),
    facts.ContactResumed: ("contact", "resumed"),
    facts.TransferRequested: ("contact", "transfer-requested"),
    facts.ConsultStarted: ("consult", "started"),
    facts.ConsultEnded: ("consult", "ended"),
    facts.ConferenceStarted: ("conference", "started"),
    facts.PartyJoined: ("conference", "joined"),
    facts.PartyLeft: ("conference", "left"),
    facts.KeyPressed: ("contact", "keyed"),
    facts.CallbackAccepted: ("callback", "accepted"),
    facts.CallbackAttempted: ("callback", "attempted"),
    outbound_facts.OutboundDialled: ("outbound", "dialled"),
    outbound_facts.OutboundAnswered: ("outbound", "answered"),
    outbound_facts.OutboundFailed: ("outbound", "failed"),
    trunk_facts.TrunkFull: ("trunk", "full"),
    trunk_facts.TrunkFailed: ("trunk", "failed"),
    trunk_facts.DialRefused: ("trunk", "refused"),
    drain_facts.NodeDrainChanged: ("node", "drain-changed"),
    drain_facts.NodeDrained: ("node", "drained"),
    supervision_facts.SupervisionStarted: ("supervision", "started"),
    supervision_facts.SupervisionChanged: ("supervision", "changed"),
    supervision_facts.SupervisionEnded: ("supervision", "ended"),
}
LANES = 8
LIMIT = 200_000


class Outbox:
    """Appends reports. ``failing`` is true from an append that was not confirmed until the next one that is."""

    def __init__(
        self,
        bus: Bus,
        node: str,
        *,
        attempt_s: float = 5.0,
        pause_s: float = 0.5,
    ) -> None:
        self._bus = bus
        self._node = node
        self._attempt_s = attempt_s
        self._pause_s = pause_s
        self._lanes: list[asyncio.Queue[tuple[Report, int]]] = [asyncio.Queue() for _ in range(LANES)]
        self._tasks: list[asyncio.Task[None]] = []
        self._pending = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.failing = False

    def start(self) -> None:
        self._tasks = [
            asyncio.get_running_loop().create_task(self._run(lane), name=f"outbox-{self._node}")
            for lane in self._lanes
        ]

    async def stop(self, grace_s: float = 3.0) -> None:
        """Give what is left a last chance, then stop."""
        try:
            await asyncio.wait_for(self._empty.wait(), grace_s)
        except TimeoutError:
            log.error("facts_left_behind", node=self._node, facts=self._pending)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drained(self) -> None:
        """Return when every fact so far is on the bus."""
        await self._empty.wait()

    def put(self, report: Report, at_us: int) -> None:
        """Take a fact; returns at once."""
        if self._pending >= LIMIT:
            LOST.labels(self._node, "full").inc()
            return
        self._pending += 1
        self._empty.clear()
        PENDING.labels(self._node).set(self._pending)
        self._lanes[crc32(report.fact.contact_id.encode()) % LANES].put_nowait((report, at_us))

    async def _run(self, lane: asyncio.Queue[tuple[Report, int]]) -> None:
        while True:
            report, at_us = await lane.get()
            await self._append(report, at_us)
            self._pending -= 1
            PENDING.labels(self._node).set(self._pending)
            if not self._pending:
                self._empty.set()

    async def _append(self, report: Report, at_us: int) -> None:
        entity, what = _SUBJECTS[type(report.fact)]
        try:
            outgoing = Outgoing(
                subject=subjects.fact(report.tenant, "queue", entity, what),
                message=report.fact,
                id=report.fact_id,
                tenant=report.tenant,
                correlation_id=report.fact.contact_id,
                time_us=at_us,
            )
            while True:
                try:
                    await self._bus.append(outgoing, timeout_s=self._attempt_s)
                except BusUnavailable:
                    self.failing = True
                    await asyncio.sleep(self._pause_s)
                else:
                    self.failing = False
                    return
        except ContractError as e:
            LOST.labels(self._node, "malformed").inc()
            log.error("fact_refused", node=self._node, fact=type(report.fact).__name__, reason=str(e))
