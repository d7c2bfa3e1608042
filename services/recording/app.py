"""The shell of the recording service: one runner a FreeSWITCH node, each under a lease; the routes on every copy."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from services.common.bus.lease import Lease, LeaseKeeper
from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from services.common.parts import start_bus, start_hub, switch_part
from services.common.runtime import Runtime
from services.recording import api
from services.recording.adapters.files import Folder
from services.recording.config import RecordingSettings
from services.recording.runner import EVENTS, ClientFactory, NodeRunner


def client_factory(hub: GeventHub, address: SwitchAddress) -> ClientFactory:
    """Return what makes the client of one node."""

    def make(
        on_event: Callable[[Event], None],
        on_up: Callable[[], Coroutine[Any, Any, None]],
        on_down: Callable[[str], None],
    ) -> SwitchClient:
        return SwitchClient(hub, address, events=EVENTS, on_event=on_event, on_up=on_up, on_down=on_down)

    return make


async def start(settings: RecordingSettings, rt: Runtime) -> None:
    """Wire the service."""
    settings.recording_dir.mkdir(parents=True, exist_ok=True)
    folder = Folder(settings.recording_dir)
    rt.app.include_router(api.build_router(folder, rt.clock))
    bus = start_bus(settings, rt)
    hub = start_hub(rt)
    runners = {
        address.name: NodeRunner(
            address.name,
            bus=bus,
            clock=rt.clock,
            folder=folder,
            make_client=client_factory(hub, address),
            ready=rt.ready,
        )
        for address in settings.addresses()
    }

    async def work(lease: Lease) -> None:
        await runners[lease.shard].own()

    keeper = LeaseKeeper(
        bus,
        rt.clock,
        service="recording",
        instance=settings.instance,
        shards=tuple(runners),
        work=work,
        share=(len(runners) + 1) // 2 if len(runners) > 1 else 0,
    )
    for name in runners:
        rt.ready(switch_part(name), True, "not owned")
    await keeper.start()
    rt.add(keeper, "leases")
