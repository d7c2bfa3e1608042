"""``*33``: the leg that dialled is sent to a conversation of its own node; for one of another node the phone is put down and rung from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.center import load
from services.common.bus import Envelope, Sendable, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import Refused
from services.contracts.peyvand.queue.v1.supervision_rpc_pb2 import Supervise, SupervisionState
from services.contracts.peyvand.routing.v1 import rpc_pb2
from services.ivr.adapters import code_call
from services.ivr.adapters.channel import Leg
from tests.unit.ivr.test_ivr_outside import Dialler

CENTER = load(Path(__file__).parents[3] / "deploy" / "centers").centers[0]
CONTACT = "c1"


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    made = MemoryBus(MemoryBroker(), source="/ivr/1", clock=SystemClock())

    async def agents(_: Envelope) -> Sendable:
        seats = {"mina": "1003", "sara": "1001", "reza": "1002"}
        return rpc_pb2.AgentList(
            agents=[
                rpc_pb2.AgentState(agent_id=a, extension=e, presence="available", activity="idle")
                for a, e in seats.items()
            ]
        )

    async def contacts(_: Envelope) -> Sendable:
        talks = rpc_pb2.ContactState(
            contact_id=CONTACT, queue="sales", state="talking", node="fs2", agent_id="sara"
        )
        return rpc_pb2.ContactList(contacts=[talks])

    await made.serve(subjects.rpc("demo", "routing", "agent", "list"), agents, queue="routing")
    await made.serve(subjects.rpc("demo", "routing", "contact", "list"), contacts, queue="routing")
    yield made
    await made.stop()


async def dials(
    bus: MemoryBus, node: str, *, phone: str = "1003", heard: str = "1001", refuses: bool = False
) -> tuple[Dialler, list[Supervise]]:
    asked: list[Supervise] = []

    async def supervise(envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        assert isinstance(wish, Supervise)
        asked.append(wish)
        if refuses:
            raise Refused("no-conversation", "over")
        return SupervisionState(supervision_id="s1", contact_id=CONTACT, state="ringing")

    await bus.serve(subjects.rpc("demo", "queue", "fs2", "supervise"), supervise, queue="queue-fs2")
    session = Dialler()
    leg = Leg("leg-1", node, f"*33{heard}", phone, "Mina", phone)
    await code_call.serve(session, leg, CENTER, bus, "/sounds")
    return session, asked


async def test_the_leg_hears_a_call_of_its_own_node_and_is_held_until_it_is_over(bus: MemoryBus) -> None:
    session, (wish,) = await dials(bus, "fs2")
    assert (wish.contact_id, wish.mode, wish.supervisor, wish.leg_id, wish.extension) == (
        CONTACT, "listen", "mina", "leg-1", "",
    )  # fmt: skip
    assert (session.drained, session.done) == (True, [])


async def test_for_a_call_of_another_node_the_phone_is_put_down_and_rung_from_there(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_call, "_PUT_DOWN_S", 0)
    session, (wish,) = await dials(bus, "fs1")
    assert session.done == [("hangup", "NORMAL_CLEARING")]
    assert session.drained, "the phone is rung when it has been put down"
    assert (wish.supervisor, wish.leg_id, wish.extension, wish.phone_node) == ("mina", "", "1003", "fs1")


@pytest.mark.parametrize(
    ("phone", "heard", "refuses"), [("1002", "1001", False), ("1003", "1002", False), ("1003", "1001", True)]
)
async def test_who_supervises_nobody_and_a_conversation_that_is_none_are_not_possible(
    bus: MemoryBus, phone: str, heard: str, refuses: bool
) -> None:
    session, asked = await dials(bus, "fs2", phone=phone, heard=heard, refuses=refuses)
    assert [app for app, _ in session.done] == ["playback", "hangup"]
    assert "not-possible" in session.done[0][1]
    assert len(asked) == refuses
