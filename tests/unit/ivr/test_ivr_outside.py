"""Numbers outside as ivr's adapters have them: by which trunks a flow calls one, and where a number goes that an agent dialled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal, overload

import pytest

from services.center import CenterSet, load
from services.center.model import Center
from services.center.outside import Outside, Way, bridge_string
from services.center.trunks import Trunk
from services.common.bus import Envelope, Sendable, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import Refused
from services.common.esl import Event
from services.contracts.peyvand.queue.v1.trunks_rpc_pb2 import ChooseTrunk, TrunksChosen, TrunkWay
from services.contracts.peyvand.routing.v1.rpc_pb2 import AgentState, PlaceCall
from services.ivr.adapters import dialled_call
from services.ivr.adapters.channel import Leg
from services.ivr.adapters.trunks import Trunks

CENTERS = Path(__file__).parents[3] / "deploy" / "centers"
DIAL = "sofia/gateway/trunk/{number}"
CALLER = Leg(
    contact_id="c1", node="fs1", entry="1000", caller="09121234567", caller_name="Ali", agent_extension=""
)
NUMBER = "+982122223333"


@pytest.fixture(scope="module")
def documents() -> CenterSet:
    return load(CENTERS)


@pytest.fixture(scope="module")
def center(documents: CenterSet) -> Center:
    return documents.centers[0]


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    made = MemoryBus(MemoryBroker(), source="/ivr/1", clock=SystemClock())
    yield made
    await made.stop()


def trunks(bus: MemoryBus) -> Trunks:
    return Trunks(bus, DIAL, 30)


async def chooses(bus: MemoryBus, answer: Sendable | Refused) -> list[ChooseTrunk]:
    """The owner of fs1 answers so; returns what it is asked."""
    asked: list[ChooseTrunk] = []

    async def choose(envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        assert isinstance(wish, ChooseTrunk)
        asked.append(wish)
        if isinstance(answer, Refused):
            raise answer
        return answer

    await bus.serve(subjects.rpc("demo", "queue", "fs1", "choose-trunk"), choose, queue="queue-fs1")
    return asked


async def test_the_nodes_owner_says_by_which_trunks_and_the_legs_say_it_again(
    bus: MemoryBus, center: Center
) -> None:
    ways = [
        TrunkWay(leg_id="l1", trunk="carrier", gateway="trunk", number="02122223333"),
        TrunkWay(leg_id="l2", trunk="other", gateway="gb", number="5", caller_id="0219"),
    ]
    asked = await chooses(bus, TrunksChosen(ways=ways))
    argument = await trunks(bus).bridge_argument(center, CALLER, NUMBER)
    assert [(w.contact_id, w.number) for w in asked] == [("c1", NUMBER)]
    first, second = argument.split("|")
    assert first.startswith("{originate_timeout=30,fail_on_single_reject=!")
    assert first.endswith("]sofia/gateway/trunk/02122223333")
    for said in (
        "cc_trunk=carrier",
        "cc_gateway=trunk",
        "origination_uuid=l1",
        "cc_then=l2:other:gb",
        "cc_tenant=demo",
    ):
        assert said in first, said
    assert "origination_caller_id_number" not in first, "FreeSWITCH passes the caller's own on by itself"
    assert second.endswith("]sofia/gateway/gb/5")
    assert "origination_caller_id_number=0219" in second


async def test_a_caller_without_a_number_is_shown_with_the_trunks(bus: MemoryBus, center: Center) -> None:
    await chooses(
        bus, TrunksChosen(ways=[TrunkWay(leg_id="l1", trunk="carrier", gateway="trunk", number="0")])
    )
    unknown = Leg("c1", "fs1", "1000", "", "", "")
    assert "origination_caller_id_number=02191000000" in await trunks(bus).bridge_argument(
        center, unknown, NUMBER
    )


@pytest.mark.parametrize("slug", ["trunks-full", "no-route"])
async def test_without_a_line_nothing_is_dialled(bus: MemoryBus, center: Center, slug: str) -> None:
    await chooses(bus, Refused(slug, "no trunk can carry a call"))
    assert await trunks(bus).bridge_argument(center, CALLER, NUMBER) == ""


@pytest.mark.parametrize("answer", [None, AgentState(agent_id="a", presence="p", activity="x")])
async def test_while_nobody_answers_the_trunks_are_tried_without_a_count(
    bus: MemoryBus, center: Center, answer: AgentState | None
) -> None:
    """The node changes hands, or is of another version: the legs say which trunk they are on, and are counted when they appear."""
    if answer is not None:
        await chooses(bus, answer)
    argument = await trunks(bus).bridge_argument(center, CALLER, NUMBER)
    assert argument.endswith("]sofia/gateway/trunk/02122223333"), "the carrier's rewriting holds all the same"
    assert "cc_trunk=carrier" in argument
    assert "origination_uuid" not in argument


async def test_a_caller_whose_number_the_carrier_refuses_is_shown_with_ours(
    bus: MemoryBus, center: Center
) -> None:
    strict = center.model_copy(
        update={"trunks": {"carrier": Trunk(gateway="trunk", caller_id="0219", shows_callers=False)}}
    )
    assert "origination_caller_id_number=0219" in await trunks(bus).bridge_argument(strict, CALLER, NUMBER)


async def test_a_center_without_trunks_asks_nobody(bus: MemoryBus, center: Center) -> None:
    asked = await chooses(bus, Refused("no-route", "never asked"))
    plain = center.model_copy(update={"trunks": {}, "routes": []})
    argument = await trunks(bus).bridge_argument(plain, CALLER, NUMBER)
    assert argument == bridge_string([Way(number=NUMBER)], DIAL, "demo", "c1", 30)
    assert asked == []
    assert Outside().carrying(NUMBER)


# --- what an agent dialled ---------------------------------------------------------------------------------------------


class Dialler:
    """The session of a phone that has dialled; ``ends`` are the events until it is over."""

    def __init__(self) -> None:
        self.unique_id = "leg-1"
        self.channel = Event({})
        self.hung_up = False
        self.done: list[tuple[str, str]] = []
        self.drained = False

    @property
    def events(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        self.drained = True
        for event in ():
            yield event

    @overload
    async def execute(self, app: str, arg: str = "", *, wait: Literal[True] = True) -> Event: ...
    @overload
    async def execute(self, app: str, arg: str = "", *, wait: bool) -> Event | None: ...
    async def execute(self, app: str, arg: str = "", *, wait: bool = True) -> Event | None:
        self.done.append((app, arg))
        return Event.of({"Application-Response": "FILE PLAYED"})

    async def api(self, command_line: str) -> str:
        raise AssertionError(command_line)

    async def set_and_tell(
        self, variables: Mapping[str, str], subclass: str, headers: Mapping[str, str]
    ) -> None:
        raise AssertionError(subclass)

    async def exit(self, *applications: tuple[str, str]) -> None:
        raise AssertionError(applications)


async def dials(bus: MemoryBus, documents: CenterSet, number: str, phone: str = "1001") -> Dialler:
    session = Dialler()
    leg = Leg("leg-1", "fs1", number, phone, "Sara", phone, dialled=True)
    await dialled_call.serve(session, leg, documents, bus, "/sounds")
    return session


async def grants(bus: MemoryBus, slug: str = "") -> list[PlaceCall]:
    """Routing grants calls, or refuses them."""
    asked: list[PlaceCall] = []

    async def place(envelope: Envelope) -> Sendable:
        wish = codec.decode(envelope)
        assert isinstance(wish, PlaceCall)
        asked.append(wish)
        if slug:
            raise Refused(slug, "no")
        return AgentState(agent_id="sara", presence="available", activity="offered")

    await bus.serve(subjects.rpc("demo", "routing", "agent", "place-call"), place, queue="routing")
    return asked


async def test_a_granted_call_is_held_until_it_is_over(bus: MemoryBus, documents: CenterSet) -> None:
    asked = await grants(bus)
    session = await dials(bus, documents, "02122223333")
    (wish,) = asked
    assert (wish.extension, wish.number, wish.leg_id, wish.node, wish.actor) == (
        "1001", "02122223333", "leg-1", "fs1", "agent",
    )  # fmt: skip
    assert (session.drained, session.done) == (True, []), "letting go of the leg would stop its media"


async def test_a_colleague_is_called_in_the_house_and_an_entry_point_as_by_any_caller(
    bus: MemoryBus, documents: CenterSet
) -> None:
    asked = await grants(bus)
    ((application, argument),) = (await dials(bus, documents, "1002")).done
    assert (application, "cc_goto=1002 XML house" in argument) == ("multiset", True)
    assert (await dials(bus, documents, "1000")).done == []
    assert asked == [], "neither is a call outside"


async def test_a_phone_that_is_nobodys_calls_nobody_outside(bus: MemoryBus, documents: CenterSet) -> None:
    asked = await grants(bus)
    for phone in ("7777", ""):
        session = await dials(bus, documents, "02122223333", phone)
        assert (session.done, session.drained) == ([], False)
    assert asked == []


@pytest.mark.parametrize(
    ("slug", "prompt"),
    [
        ("number-forbidden", "number-forbidden"),
        ("limit-reached", "number-forbidden"),
        ("agent-not-available", "not-possible"),
        ("no-phone", "not-possible"),
        (None, "not-possible"),
    ],
)
async def test_a_refusal_is_said_and_the_call_ended(
    bus: MemoryBus, documents: CenterSet, slug: str | None, prompt: str
) -> None:
    """Also when nobody answers: without a grant nothing is dialled."""
    if slug is not None:
        await grants(bus, slug)
    session = await dials(bus, documents, "02122223333")
    assert [app for app, _ in session.done] == ["playback", "hangup"]
    assert prompt in session.done[0][1]
