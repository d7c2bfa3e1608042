"""The recording service's shell on a simulated switch that writes real files, and its routes."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from services.common import auth
from services.common.bus import Outgoing, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.esl import GeventHub, SwitchAddress
from services.common.http import Readiness, make_app
from services.contracts.peyvand.queue.v1.events_pb2 import AgentBridged
from services.contracts.peyvand.recording.v1 import events_pb2
from services.recording import api
from services.recording.adapters.files import Folder
from services.recording.app import client_factory
from services.recording.core.sidecar import Sidecar
from services.recording.runner import NodeRunner
from tests.integration.simswitch_kit import Client, Lab, lab
from tests.unit.recording.test_recording_files import make_wav

SECRET = "s" * 40
WAIT_S = 15.0


class Studio:
    """A node, its folder and its runner."""

    def __init__(self, sw: Lab, hub: GeventHub) -> None:
        assert sw.switch.recordings is not None
        self.sw = sw
        self.root = sw.switch.recordings
        self.folder = Folder(self.root)
        self.broker = MemoryBroker(SystemClock())
        self.bus = MemoryBus(self.broker, clock=SystemClock())
        self.hub = hub
        self.ready: dict[str, bool] = {}
        self._owning: asyncio.Task[None] | None = None

    async def own(self) -> None:
        def ready(part: str, ok: bool, detail: str) -> None:
            self.ready[part] = ok

        runner = NodeRunner(
            "fs1",
            bus=self.bus,
            clock=SystemClock(),
            folder=self.folder,
            make_client=client_factory(
                self.hub, SwitchAddress("fs1", "127.0.0.1", self.sw.socket.port, "ClueCon")
            ),
            ready=ready,
            sweep_s=0.2,
        )
        self._owning = asyncio.create_task(runner.own())
        await self.until(lambda: self.ready.get("switch:fs1", False))

    async def let_go(self) -> None:
        if self._owning is not None:
            self._owning.cancel()
            with suppress(asyncio.CancelledError):
                await self._owning

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.01)

    def facts(self, what: str) -> list[object]:
        return [
            codec.decode(e) for e in self.broker.entries(subjects.fact("demo", "recording", "file", what))
        ]

    async def bridged(self, contact: str, path: str) -> None:
        fact = AgentBridged(
            offer_id="o", contact_id=contact, agent_id="sara", agent_leg_id="a", queue="sales", recording_path=path, at_us=5,
        )  # fmt: skip
        await self.bus.append(
            Outgoing(
                subjects.fact("demo", "queue", "contact", "bridged"), fact, f"{contact}:bridged:o", "demo"
            )
        )

    async def call(self, contact: str) -> Client:
        client = await self.sw.client("event json CUSTOM peyvand::waiting")
        self.sw.caller(uuid=contact)
        await client.event("CUSTOM", Event_Subclass="peyvand::waiting", Unique_ID=contact)
        return client


@asynccontextmanager
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    hub = GeventHub()
    hub.start()
    try:
        async with lab(tmp_path) as sw:
            made = Studio(sw, hub)
            try:
                yield made
            finally:
                await made.let_go()
                await made.bus.stop()
    finally:
        hub.stop()


async def test_a_recorded_call_is_stored_with_its_sound_and_its_agent(tmp_path: Path) -> None:
    async with studio(tmp_path) as s:
        await s.own()
        client = await s.call("c1")
        path = "demo/2026/11/21/c1.wav"
        await client.api("uuid_setvar c1 RECORD_STEREO true")
        assert (await client.api(f"uuid_record c1 start {s.root / path}")).startswith("+OK")
        await s.until(lambda: bool(s.facts("started")))
        await s.bridged("c1", path)
        await asyncio.sleep(0.3)  # Sound is written by the switch's own clock.
        await client.api("uuid_kill c1")
        await s.until(lambda: (s.root / path).with_suffix(".json").exists())
        (fact,) = s.facts("stored")
        assert isinstance(fact, events_pb2.RecordingStored)
        assert (fact.contact_id, fact.agent_id, fact.queue, fact.channels) == ("c1", "sara", "sales", 2)
        assert fact.duration_ms > 0
        assert fact.rms[0] > 0
        assert fact.bytes == (s.root / path).stat().st_size
        assert s.facts("failed") == []


async def test_what_ended_while_nobody_listened_is_found_and_mended(tmp_path: Path) -> None:
    async with studio(tmp_path) as s:
        file = make_wav(s.root / "demo/2026/11/20/gone.wav", 2.0)
        data = bytearray(file.read_bytes())
        struct.pack_into("<I", data, 40, 0)
        file.write_bytes(data)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        await s.bridged("gone", "demo/2026/11/20/gone.wav")
        await s.own()
        await s.until(lambda: file.with_suffix(".json").exists())
        (fact,) = s.facts("stored")
        assert isinstance(fact, events_pb2.RecordingStored)
        assert (fact.repaired, fact.duration_ms, fact.agent_id) == (True, 2000, "sara")


async def test_a_file_that_grows_or_whose_leg_lives_is_left_alone(tmp_path: Path) -> None:
    async with studio(tmp_path) as s:
        young = make_wav(s.root / "demo/2026/11/20/young.wav")
        await s.call("alive")
        old = make_wav(s.root / "demo/2026/11/20/alive.wav")
        os.utime(old, (1_700_000_000, 1_700_000_000))
        over = make_wav(s.root / "demo/2026/11/20/over.wav")
        os.utime(over, (1_700_000_000, 1_700_000_000))
        await s.bridged("over", "demo/2026/11/20/over.wav")
        await s.own()
        await s.until(lambda: over.with_suffix(".json").exists())
        assert not young.with_suffix(".json").exists()
        assert not old.with_suffix(".json").exists()


async def test_the_sidecar_waits_for_the_bus(tmp_path: Path) -> None:
    async with studio(tmp_path) as s:
        await s.own()
        client = await s.call("c1")
        file = s.root / "demo/2026/11/21/c1.wav"
        await client.api(f"uuid_record c1 start {file}")
        await s.bridged("c1", "demo/2026/11/21/c1.wav")
        await s.until(lambda: bool(s.facts("started")))
        s.broker.set_up(False)
        await client.api("uuid_kill c1")
        await s.until(file.exists)
        await asyncio.sleep(0.1)
        assert not file.with_suffix(".json").exists()
        s.broker.set_up(True)
        await s.until(file.with_suffix(".json").exists)
        assert len(s.facts("stored")) == 1


@pytest.fixture
def library(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    for n, (tenant, agent) in enumerate([("demo", "sara"), ("demo", "reza"), ("other", "sara")]):
        path = f"{tenant}/2026/11/21/c{n}.wav"
        make_wav(tmp_path / path, 1.0)
        recording = folder.recording(path)
        assert recording is not None
        folder.write(
            Sidecar(
                id=recording.recording_id, tenant=tenant, contact=f"c{n}", path=path, agent=agent, queue="sales",
                started_at_us=1_795_262_400_000_000 + n * 60_000_000, duration_ms=1000,
            )
        )  # fmt: skip
    return folder


async def test_routes_cut_to_tenant_and_agent_and_serve_ranges(library: Folder) -> None:
    app = make_app("recording", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.build_router(library, SystemClock()))

    def bearer(tenant: str, role: auth.Role, subject: str = "boss") -> dict[str, str]:
        return {
            "Authorization": f"Bearer {auth.issue(SECRET, tenant=tenant, role=role, subject=subject, ttl_s=60)}"
        }

    boss = bearer("demo", "supervisor")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:
        page = (await http.get("/v1/recordings", headers=boss)).json()
        assert [r["contact_id"] for r in page["recordings"]] == ["c1", "c0"]
        first = (await http.get("/v1/recordings?limit=1", headers=boss)).json()
        assert ([r["contact_id"] for r in first["recordings"]], first["next_offset"]) == (["c1"], 1)
        by_agent = (await http.get("/v1/recordings?agent_id=sara", headers=boss)).json()
        assert [r["contact_id"] for r in by_agent["recordings"]] == ["c0"]
        none = (await http.get("/v1/recordings?from=2030-01-01T00:00:00Z", headers=boss)).json()
        assert none["recordings"] == []
        assert (await http.get("/v1/recordings?from=2030-01-01", headers=boss)).status_code == 422

        own = (await http.get("/v1/recordings", headers=bearer("demo", "agent", "reza"))).json()
        assert [r["contact_id"] for r in own["recordings"]] == ["c1"]
        sara_id = page["recordings"][1]["recording_id"]
        assert (
            await http.get(f"/v1/recordings/{sara_id}", headers=bearer("demo", "agent", "reza"))
        ).status_code == 404
        assert (
            await http.get(f"/v1/recordings/{sara_id}/audio", headers=bearer("other", "supervisor"))
        ).status_code == 404
        assert (await http.get("/v1/recordings", headers=bearer("demo", "analyst"))).status_code == 403
        assert (await http.get("/v1/recordings")).status_code == 401
        for evil in ("..%2f..%2fetc%2fpasswd", "%2e%2e"):
            assert (await http.get(f"/v1/recordings/{evil}/audio", headers=boss)).status_code == 404

        sound = await http.get(f"/v1/recordings/{sara_id}/audio", headers=boss)
        assert (sound.status_code, sound.headers["content-type"], len(sound.content)) == (
            200,
            "audio/wav",
            32_044,
        )
        part = await http.get(f"/v1/recordings/{sara_id}/audio", headers={**boss, "Range": "bytes=0-43"})
        assert (part.status_code, part.content) == (206, sound.content[:44])
        assert part.headers["content-range"] == "bytes 0-43/32044"
        (library.root / "demo/2026/11/21/c0.wav").unlink()
        assert (await http.get(f"/v1/recordings/{sara_id}/audio", headers=boss)).status_code == 410


async def test_messages_are_a_list_of_work_that_whoever_takes_calls_sees_and_one_deals_with(
    library: Folder,
) -> None:
    for n, (tenant, queue) in enumerate((("demo", "sales"), ("demo", "support"), ("other", "sales"))):
        path = f"{tenant}/2026/11/21/m{n}.message.{queue}.wav"
        make_wav(library.root / path, 1.0)
        recording = library.recording(path)
        assert recording is not None
        assert (recording.contact, recording.message_for) == (f"m{n}", queue)
        library.write(
            Sidecar(
                id=recording.recording_id, tenant=tenant, contact=f"m{n}", path=path, queue=queue, kind="message",
                caller="0912", started_at_us=1_795_262_400_000_000 + n * 60_000_000, duration_ms=1000,
            )
        )  # fmt: skip
    app = make_app("recording", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.build_router(library, SystemClock()))

    def bearer(tenant: str, role: auth.Role, subject: str = "boss") -> dict[str, str]:
        return {
            "Authorization": f"Bearer {auth.issue(SECRET, tenant=tenant, role=role, subject=subject, ttl_s=60)}"
        }

    reza = bearer("demo", "agent", "reza")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:

        async def listed(query: str = "") -> list[dict[str, object]]:
            found: list[dict[str, object]] = (await http.get(f"/v1/messages{query}", headers=reza)).json()[
                "messages"
            ]
            return found

        assert [(m["contact_id"], m["queue"], m["caller"]) for m in await listed()] == [
            ("m1", "support", "0912"),
            ("m0", "sales", "0912"),
        ]
        (one,) = await listed("?queue=sales")
        path = f"/v1/messages/{one['recording_id']}/handled"
        assert (
            await http.get(f"/v1/recordings/{one['recording_id']}/audio", headers=reza)
        ).status_code == 200
        assert (await http.post(path, headers=bearer("other", "supervisor"))).status_code == 404
        assert (await http.post(path, headers=bearer("demo", "analyst"))).status_code == 403
        both = await asyncio.gather(
            http.post(path, headers=reza), http.post(path, headers=bearer("demo", "supervisor"))
        )
        assert sorted(r.status_code for r in both) == [200, 409]
        assert [m["contact_id"] for m in await listed()] == ["m1"]
        (done,) = await listed("?state=handled")
        assert done["handled_by"] in ("reza", "boss")
        assert len(await listed("?state=all")) == 2
        talk = (await http.get("/v1/recordings?contact_id=c1", headers=reza)).json()["recordings"][0]
        refused = await http.post(f"/v1/messages/{talk['recording_id']}/handled", headers=reza)
        assert refused.status_code == 404


async def test_what_a_caller_says_of_an_agent_is_not_for_the_agent(library: Folder) -> None:
    path = "demo/2026/11/21/c0.comment.why.wav"
    make_wav(library.root / path, 1.0)
    recording = library.recording(path)
    assert recording is not None
    assert (recording.contact, recording.is_comment, recording.message_for) == ("c0", True, "")
    library.write(
        Sidecar(
            id=recording.recording_id, tenant="demo", contact="c0", path=path, agent="sara", queue="sales", kind="comment",
            started_at_us=1_795_262_400_000_000, duration_ms=1000,
        )
    )  # fmt: skip
    app = make_app("recording", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.build_router(library, SystemClock()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:

        async def heard_by(role: auth.Role, subject: str) -> int:
            token = auth.issue(SECRET, tenant="demo", role=role, subject=subject, ttl_s=60)
            headers = {"Authorization": f"Bearer {token}"}
            address = f"/v1/recordings/{recording.recording_id}/audio"
            return (await http.get(address, headers=headers)).status_code

        assert await heard_by("agent", "sara") == 404
        assert await heard_by("supervisor", "boss") == 200
