"""The shell of the queue service: one runner a FreeSWITCH node, each under a lease."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from services.center import CenterSet, RunningCenters, open_centers
from services.common.bus import Bus
from services.common.bus.lease import Lease, LeaseKeeper
from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from services.common.parts import start_bus, start_hub, switch_part
from services.common.runtime import Runtime
from services.queue import api, contact_api, node_api
from services.queue.adapters import centers, switch
from services.queue.config import QueueSettings
from services.queue.core.outputs import AskPosition
from services.queue.runner import ClientFactory, NodeRunner
from services.queue.supervision_api import build_supervision_router


def client_factory(hub: GeventHub, address: SwitchAddress) -> ClientFactory:
    """Return what makes the client of one node."""

    def make(
        on_event: Callable[[Event], None],
        on_up: Callable[[], Coroutine[Any, Any, None]],
        on_down: Callable[[str], None],
    ) -> SwitchClient:
        return SwitchClient(
            hub,
            address,
            events=switch.EVENTS,
            subclasses=switch.SUBCLASSES,
            on_event=on_event,
            on_up=on_up,
            on_down=on_down,
            prompt=True,
        )

    return make


def build_runners(
    settings: QueueSettings, rt: Runtime, bus: Bus, hub: GeventHub, watch: RunningCenters
) -> dict[str, NodeRunner]:
    """Return one runner for each node, by name."""
    sounds_dir = str(settings.queue_sounds_dir)

    def spoken(question: AskPosition, position: int, wait_ms: int) -> tuple[str, int]:
        center = watch.current.tenant(question.tenant)
        if center is None:
            return "", 0
        return centers.spoken(
            center,
            question.queue,
            question.language,
            sounds_dir,
            what=question.what,
            position=position,
            wait_ms=wait_ms,
        )

    dialing = switch.Dialing(
        agent_dial=settings.queue_agent_dial,
        sip_domain=settings.queue_sip_domain,
        transfer_dial=settings.queue_transfer_dial,
        nodes=settings.sip_addresses(),
        recordings_dir=str(settings.queue_recordings_dir),
    )
    return {
        address.name: NodeRunner(
            address.name,
            bus=bus,
            clock=rt.clock,
            make_client=client_factory(hub, address),
            dialing=dialing,
            plans=centers.plans_of(watch.current, sounds_dir),
            spoken=spoken,
            ready=rt.ready,
            refer=settings.refer_addresses(),
            peers=tuple(a.name for a in settings.addresses()) if settings.queue_moves else (),
        )
        for address in settings.addresses()
    }


async def start(settings: QueueSettings, rt: Runtime) -> None:
    """Wire the service."""
    bus = start_bus(settings, rt)
    runners: dict[str, NodeRunner] = {}

    def revised(current: CenterSet) -> None:
        plans = centers.plans_of(current, str(settings.queue_sounds_dir))
        for runner in runners.values():
            runner.revise(plans)

    watch = await open_centers(settings, bus, rt.clock, revised, ready=rt.ready)
    runners.update(build_runners(settings, rt, bus, start_hub(rt), watch))
    watch.start()
    rt.add(watch, "centers")
    rt.app.include_router(api.build_router(runners))
    rt.app.include_router(node_api.router(bus, tuple(runners), settings.operators()))
    rt.app.include_router(build_supervision_router(bus, lambda: watch.current))
    rt.app.include_router(contact_api.router(bus, lambda: watch.current))

    async def work(lease: Lease) -> None:
        await runners[lease.shard].own(lease)

    keeper = LeaseKeeper(
        bus,
        rt.clock,
        service="queue",
        instance=settings.instance,
        shards=tuple(runners),
        work=work,
        share=(len(runners) + 1) // 2 if len(runners) > 1 else 0,
    )
    for name in runners:
        rt.ready(switch_part(name), True, "not owned")
    await keeper.start()
    rt.add(keeper, "leases")
