"""Parts that several services are wired of in the same way: the bus, the event socket's thread, the addresses of switches."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import structlog
from pydantic import Field, field_validator

from services.common.bus import ReadyHook
from services.common.bus.access import from_environment
from services.common.bus.nats import NatsBus
from services.common.config import Settings
from services.common.errors import ConfigError
from services.common.esl import GeventHub, SwitchAddress
from services.common.runtime import Runtime

_log = structlog.get_logger(__name__)


class SwitchSettings(Settings):
    """For services that connect to FreeSWITCH's event socket."""

    switches: str = Field(
        ..., description="FreeSWITCH nodes: name=esl://:PASSWORD@HOST:PORT, separated by commas.", repr=False
    )

    switch_silence_s: float = Field(
        8.0,
        description="Seconds for which a FreeSWITCH node that was asked may say nothing before it counts as unknown.",
        ge=1,
        le=300,
    )
    switch_heartbeat_s: float = Field(
        20.0,
        description="The nodes' event-heartbeat-interval in seconds; after three missed ones a node counts as unknown. "
        "0: HEARTBEAT is not judged.",
        ge=0,
        le=3600,
    )

    @field_validator("switches")
    @classmethod
    def _well_formed(cls, text: str) -> str:
        try:
            addresses = SwitchAddress.parse_all(text)
        except ConfigError as e:
            raise ValueError(str(e)) from None
        if not addresses and cls.model_fields["switches"].is_required():
            raise ValueError("expected at least one node")
        return text

    def addresses(self) -> list[SwitchAddress]:
        """The nodes."""
        return [
            replace(address, silence_s=self.switch_silence_s, heartbeat_s=self.switch_heartbeat_s)
            for address in SwitchAddress.parse_all(self.switches)
        ]


def switch_part(node: str) -> str:
    """The name under which ``/readyz`` speaks of the connection to a node."""
    return f"switch:{node}"


def start_bus(settings: Settings, rt: Runtime, *, on_ready: ReadyHook | None = None) -> NatsBus:
    """Connect to NATS in the background; ended with the process. ``on_ready`` instead of the runtime's own.

    Raises ConfigError for a login that cannot be.
    """
    bus = NatsBus(
        settings.nats_url,
        source=f"/{rt.name}/{settings.instance}",
        clock=rt.clock,
        on_ready=on_ready or rt.ready,
        on_closed=rt.fail,
        access=from_environment(),
    )
    rt.add(bus, "nats")
    bus.start()
    return bus


class _Thread:
    """A hub and who watches it, as one component; what uses it is added later and so stopped before."""

    def __init__(self, hub: GeventHub, watch: asyncio.Task[None]) -> None:
        self._hub = hub
        self._watch = watch

    async def stop(self) -> None:
        self._watch.cancel()  # before the thread ends: a thread that was told to end is not stuck
        await asyncio.wait([self._watch])
        await asyncio.to_thread(self._hub.stop)  # it waits for the thread


def start_hub(rt: Runtime) -> GeventHub:
    """Start the thread in which the event socket lives; ended with the process. One a process."""
    hub = GeventHub()
    hub.start()
    rt.add(_Thread(hub, rt.spawn(end_when_stuck(hub), name="event-socket-watch")), "event-socket")
    return hub


async def end_when_stuck(hub: GeventHub, *, look_s: float = 3.0) -> None:
    """End the process, at once, when the thread of the event socket does not run any more.

    Nobody else can close its sockets, and a socket that is not read freezes the event sockets of the whole switch. There is
    no orderly end: that would ask the thread to stop. Exit code 70, as for every part that is lost.
    """
    await hub.stands_still(look_s=look_s)
    _log.critical("event_socket_stuck", consequence="the process ends, for nobody reads its sockets")
    os._exit(70)
