"""Other people's clients place and answer a call on the simulated switch.

The same programs do the same on a real FreeSWITCH (tests/freeswitch/test_clients.py), with the same results.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.ports import free_port
from tests.event_socket_clients import CLIENTS, answer, place
from tests.integration.simswitch_kit import Phone, lab


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_places_a_call_and_ends_it(tmp_path: Path, name: str) -> None:
    async with lab(tmp_path) as sw:
        sw.switch.register("1001", Phone())
        seen = await place(name, "127.0.0.1", sw.socket.port, "ClueCon", "user/1001@peyvand.local")
        assert seen == {
            "status": "UP",
            "answered": f"{name}-1",
            "job": f"+OK {name}-1",
            "cause": "CALL_REJECTED",
        }
        await sw.until(lambda: not sw.switch.channels)


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_answers_a_call_plays_and_hangs_up(tmp_path: Path, name: str) -> None:
    async with lab(tmp_path) as sw:
        port = free_port()
        client = await sw.client()

        async def originate() -> None:
            await client.send(
                f"bgapi originate {{origination_uuid=A}}null/one '&socket(127.0.0.1:{port} async full)'"
            )

        assert await answer(name, originate, port) == {
            "uuid": "A",
            "played": "FILE PLAYED",
            "cause": "USER_BUSY",
        }
        await sw.until(lambda: not sw.switch.channels)
