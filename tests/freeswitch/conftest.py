"""A real FreeSWITCH, the whole stack beside it, and SIPp. Skipped, with the reason, where no FreeSWITCH is found."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.dev.stack import Stack, find_shift, table
from tests.freeswitch.sipp import Lab
from tests.freeswitch.switch import FreeSwitch, find_binary
from tests.integration.web_peer import WebPeer

CENTERS = [Path(__file__).with_name(name) for name in ("center.yaml", "front.yaml", "words.yaml")]


@dataclass
class Rig:
    """Everything a test needs: the switch, the services, the phones."""

    switch: FreeSwitch
    stack: Stack
    lab: Lab
    web: WebPeer = field(default_factory=WebPeer)  # What flows ask; one that nobody has started refuses.
    tenant: str = "lab"

    async def get(self, service: str, path: str, **params: str) -> Any:
        """GET as an administrator, to whom all teams are open; the decoded JSON, or bytes."""
        return await self._ask("GET", service, path, params=params)

    async def post(self, service: str, path: str, **wish: str) -> Any:
        """POST as an administrator; the decoded JSON."""
        return await self._ask("POST", service, path, json=wish)

    async def _ask(self, method: str, service: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.stack.token(self.tenant, 'admin')}"}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            response = await client.request(method, self.stack.http(service) + path, headers=headers, **more)
            response.raise_for_status()
            return response.json() if "json" in response.headers["content-type"] else response.content

    async def agent(self, agent_id: str) -> dict[str, Any]:
        """What routing says of an agent."""
        agents = await self.get("routing", "/v1/agents")
        return next(a for a in agents if a["agent_id"] == agent_id)

    async def calls(self, queue: str, *states: str) -> list[dict[str, Any]]:
        """Contacts of ``queue`` that the queue service sees in one of ``states``."""
        answer = await self.get("queue", "/v1/calls")
        return [c for c in answer["calls"] if c["queue"] == queue and c["state"] in states]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    if find_binary() is None:
        pytest.skip("no FreeSWITCH: put `freeswitch` on PATH or set FREESWITCH_BIN")
    if shutil.which("sipp") is None:
        pytest.skip("no SIPp: install Debian's sip-tester")
    folder = tmp_path_factory.mktemp("freeswitch")
    centers = folder / "centers"
    centers.mkdir()
    web = WebPeer()
    await web.__aenter__()
    for center in CENTERS:
        (centers / center.name).write_text(center.read_text().replace("http://localhost:1", web.url))
    shift = find_shift(20_000)
    ivr_port = next(r for r in table() if r.name == "ivr").esl_port + shift
    switch = FreeSwitch(folder / "switch", ivr_port)
    stack = Stack(
        folder / "stack",
        centers=centers,
        switches=switch.address,
        shift=shift,
        sounds=switch.sounds,
        recordings=switch.recordings,
        cdr_spool=switch.cdr_spool,
        extra_env={"ivr": {"PEYVAND_IVR_WEB_PRIVATE": "127.0.0.0/8,::1/128"}},
    )
    lab = Lab(switch, folder / "sipp")
    try:
        await stack.prepare_prompts()
        await switch.start()
        await stack.start()
        yield Rig(switch, stack, lab, web)
    finally:
        await lab.close()
        await stack.stop()
        stack.close()
        await switch.stop()
        await web.__aexit__()
