"""Supervision on a simulated switch, by HTTP and by a dialled leg, with the real event socket client and the bus in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.common import auth
from services.common.bus import Envelope, codec, subjects
from services.common.esl import GeventHub
from services.common.http import Readiness, make_app
from services.contracts.peyvand.queue.v1 import supervision_pb2
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.queue.supervision_api import build_supervision_router
from services.simswitch.channel import Channel
from tests.integration.simswitch_kit import Phone
from tests.integration.test_queue_node import SECRET, Floor, floor

MINAS = "1003"


@pytest.fixture
async def esl_hub() -> AsyncIterator[GeventHub]:
    made = GeventHub()
    made.start()
    yield made
    made.stop()


class Room:
    """Sara talks with a caller; mina's phone is there; whoever asks may supervise by HTTP."""

    def __init__(self, f: Floor) -> None:
        self.f = f
        self.contact = ""
        self.agent = Phone("answer")
        self.mina = Phone("answer")
        self.seats: dict[str, str] = {}
        self.outside: set[str] = set()
        app = make_app("queue", "0", Readiness(), auth_secret=SECRET)
        app.include_router(build_supervision_router(f.bus, lambda: f.watch.current))
        self._http = httpx.ASGITransport(app=app)

    async def begin(self) -> None:
        self.f.sw.switch.register("1001", self.agent)
        self.f.sw.switch.register(MINAS, self.mina)

        async def contacts(_: Envelope) -> rpc_pb2.ContactList:
            state = rpc_pb2.ContactState(
                contact_id=self.contact, queue="support", state="talking", node="fs1"
            )
            return rpc_pb2.ContactList(contacts=[state])

        async def agents(_: Envelope) -> rpc_pb2.AgentList:
            return rpc_pb2.AgentList(
                agents=[
                    rpc_pb2.AgentState(
                        agent_id=name,
                        extension=self.seats.get(name, agent.extension),
                        presence="available",
                        activity="idle",
                        node="fs1",
                        outside=name in self.outside,
                    )
                    for name, agent in self.f.watch.current.centers[0].agents.items()
                ]
            )

        await self.f.bus.serve(subjects.rpc("demo", "routing", "contact", "list"), contacts, queue="routing")
        await self.f.bus.serve(subjects.rpc("demo", "routing", "agent", "list"), agents, queue="routing")
        self.contact = await self.f.call()
        await self.f.offer(self.contact)
        await self.f.fact("bridged")

    async def wish(
        self,
        mode: str,
        who: str = "mina",
        role: auth.Role = "supervisor",
        contact: str = "",
        **more: str,
    ) -> tuple[int, dict[str, Any]]:
        token = auth.issue(SECRET, tenant="demo", role=role, subject=who, ttl_s=60)
        async with httpx.AsyncClient(transport=self._http, base_url="http://t", timeout=15) as http:
            answer = await http.post(
                f"/v1/contacts/{contact or self.contact}/supervise",
                json={"mode": mode, **more},
                headers={"Authorization": f"Bearer {token}"},
            )
        return answer.status_code, answer.json()

    def told(self, what: str) -> list[Envelope]:
        return self.f.broker.entries(subjects.fact("demo", "queue", "supervision", what))

    async def fact(self, what: str, n: int = 1) -> Any:
        await self.f.until(lambda: len(self.told(what)) >= n)
        return codec.decode(self.told(what)[n - 1])

    @property
    def ear(self) -> Channel:
        return self.mina.legs[-1]


async def test_a_supervisor_listens_whispers_and_leaves_by_http(tmp_path: Path, esl_hub: GeventHub) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        await room.begin()
        status, state = await room.wish("listen")
        assert (status, state["state"], state["supervisor"], state["agent_id"]) == (
            200,
            "ringing",
            "mina",
            "sara",
        )
        started = await room.fact("started")
        assert isinstance(started, supervision_pb2.SupervisionStarted)
        assert (started.supervision_id, started.mode) == (room.ear.uuid, "listen")
        agent = room.agent.legs[0]
        assert room.ear in agent.overhearing
        status, state = await room.wish("whisper")
        assert (status, state["state"], state["mode"]) == (200, "listening", "whisper")
        changed = await room.fact("changed")
        assert (changed.former_mode, changed.mode, changed.by) == ("listen", "whisper", "http")
        assert room.ear.var("eavesdrop_whisper_bleg") == "true"
        assert room.ear.var("eavesdrop_whisper_aleg") == "false"
        for _ in range(2):
            room.ear.press("*")
            room.ear.press("3")
        assert (await room.fact("changed", 2)).mode == "barge"
        assert len(room.mina.legs) == 1
        status, state = await room.wish("off")
        assert (status, state["state"]) == (200, "ended")
        ended = await room.fact("ended")
        assert ended.reason == "wish"
        await f.until(lambda: room.ear.down)
        assert not agent.down
        assert f.facts("ended") == []


async def test_who_may_not_is_told_nothing_of_the_call(tmp_path: Path, esl_hub: GeventHub) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        await room.begin()
        status, problem = await room.wish("listen", who="neda")
        assert (status, problem["type"]) == (404, "unknown-contact")
        assert (await room.wish("listen", who="sara"))[1]["type"] == "unknown-contact"
        assert (await room.wish("listen", role="agent"))[0] == 403
        assert (await room.wish("listen", contact="nobody"))[1]["type"] == "unknown-contact"
        assert (await room.wish("listen", who="supervisor"))[1]["type"] == "no-phone"
        assert (await room.wish("shout"))[0] == 422
        assert room.mina.legs == []
        status, _ = await room.wish("listen", who="root", role="admin", extension=MINAS)
        assert status == 200
        await room.fact("started")


async def test_a_new_owner_keeps_the_supervisor_at_the_call(tmp_path: Path, esl_hub: GeventHub) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        await room.begin()
        await room.wish("listen")
        await room.fact("started")
        await f.die()
        f.runner = f.make_runner()
        f.own()
        await f.until(lambda: any(c.state == "talking" for c in f.runner.calls()))
        status, state = await room.wish("barge")
        assert (status, state["state"], state["mode"]) == (200, "listening", "barge")
        assert room.ear in room.agent.legs[0].overhearing
        assert {e.id for e in room.told("started")} == {f"{room.contact}:supervision-started:{room.ear.uuid}"}
        f.sw.switch.channels[room.contact].end("NORMAL_CLEARING", by="caller")
        assert (await room.fact("ended")).reason == "contact"
        await f.until(lambda: room.ear.down)


async def test_the_agent_leaves_while_nobody_runs_and_the_supervisor_is_silent(
    tmp_path: Path, esl_hub: GeventHub
) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        await room.begin()
        await room.wish("listen")
        await room.fact("started")
        await room.wish("whisper")
        await f.die()
        room.agent.legs[0].end("NORMAL_CLEARING", by="agent")
        caller = f.sw.switch.channels[room.contact]
        await f.until(lambda: room.ear in caller.overhearing)
        assert room.ear.var("eavesdrop_whisper_bleg") == "false"
        caller.end("NORMAL_CLEARING", by="caller")
        await f.until(lambda: room.ear.down)


async def test_a_supervisor_who_sits_elsewhere_is_rung_there(tmp_path: Path, esl_hub: GeventHub) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        await room.begin()
        desk = Phone("answer")
        f.sw.switch.register("1090", desk)
        room.seats["mina"] = "1090"
        status, _ = await room.wish("listen")
        assert status == 200
        await room.fact("started")
        assert (len(desk.legs), room.mina.legs) == (1, [])


async def test_a_supervisor_who_works_outside_is_not_rung_at_a_phone_where_nobody_is(
    tmp_path: Path, esl_hub: GeventHub
) -> None:
    async with floor(tmp_path, esl_hub) as f:
        room = Room(f)
        room.outside.add("mina")
        await room.begin()
        status, problem = await room.wish("listen")
        assert (status, problem["type"]) == (409, "works-outside")
        assert "extension" in problem["detail"]
        assert room.mina.legs == []
        status, state = await room.wish("listen", extension=MINAS)
        assert (status, state["state"] in ("ringing", "listening")) == (200, True), (
            "who names the phone is at it"
        )
