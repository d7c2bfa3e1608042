"""The programs of tests/integration/test_simswitch_clients.py on the real switch: what the simulated one is held against."""

from __future__ import annotations

import pytest

from tests.event_socket_clients import CLIENTS, answer, place
from tests.freeswitch.conftest import Rig
from tests.freeswitch.switch import ESL_PASSWORD, free_port

pytestmark = [pytest.mark.freeswitch, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_places_a_call_and_ends_it(rig: Rig, name: str) -> None:
    seen = await place(name, "127.0.0.1", rig.switch.esl_port, ESL_PASSWORD, "null/one")
    assert seen == {
        "status": "UP",
        "answered": f"{name}-1",
        "job": f"+OK {name}-1",
        "cause": "CALL_REJECTED",
    }


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_answers_a_call_plays_and_hangs_up(rig: Rig, name: str) -> None:
    port = free_port()

    async def originate() -> None:
        async with rig.switch.watch() as socket_:
            reply = await socket_.api(
                f"originate {{origination_uuid=client-{name}}}null/one '&socket(127.0.0.1:{port} async full)'"
            )
            assert reply == f"+OK client-{name}\n"

    assert await answer(name, originate, port) == {
        "uuid": f"client-{name}",
        "played": "FILE PLAYED",
        "cause": "USER_BUSY",
    }
