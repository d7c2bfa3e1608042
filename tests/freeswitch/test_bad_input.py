"""A service with a wrong password for the event socket of a real switch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from deploy.dev.process import Process, module
from tests.freeswitch.conftest import Rig
from tests.freeswitch.steps import closed, on_duty, until
from tests.freeswitch.switch import free_port

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def mistaken(rig: Rig) -> AsyncIterator[str]:
    """A second queue process that knows the switch under another name, with a wrong password; its address."""
    port = free_port()
    env = {
        **rig.stack.processes["queue"].env,
        "PEYVAND_HTTP_PORT": str(port),
        "PEYVAND_INSTANCE": "9",
        "PEYVAND_SWITCHES": f"fs9=esl://:not-the-password@127.0.0.1:{rig.switch.esl_port}",
    }
    process = Process(
        "queue-mistaken", module("services.queue"), env=env, log_dir=rig.stack.log_dir, cwd=rig.stack.folder
    )
    await process.start()
    try:
        yield f"http://127.0.0.1:{port}"
        assert process.alive, f"it gave up:\n{process.log_tail()}"
        assert "not-the-password" not in process.log_path.read_text()
    finally:
        await process.stop()


async def test_a_wrong_password_is_named_and_hurts_nobody(rig: Rig, mistaken: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:

        async def named() -> bool:
            answer = await client.get(f"{mistaken}/readyz")
            return answer.status_code == 503 and "fs9" in answer.text and "password" in answer.text.lower()

        await until("/readyz says which switch refuses the password", named)
        assert (await client.get(f"{mistaken}/healthz")).status_code == 200
        await on_duty(rig, "yan", "1031")
        phone = await rig.lab.agent("1031", talk_ms=1500)
        caller = await rig.lab.callers("2014")
        assert (await caller.done()).successful == 1
        assert (await phone.done()).successful == 1
        assert (await closed(rig, entry_point="2014"))[0]["outcome"] == "answered"
        assert (await client.get(f"{mistaken}/readyz")).status_code == 503
