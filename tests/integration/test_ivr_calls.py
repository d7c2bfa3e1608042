"""ivr on the real outbound server, against a scripted FreeSWITCH socket and the bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.center import load
from services.common.bus import Envelope, codec, subjects
from services.common.bus.memory import Fault, MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import Refused
from services.common.esl import OutboundServer
from services.common.webclient import WebClient
from services.contracts.peyvand.routing.v1.rpc_pb2 import (
    AgentState,
    QueueList,
    QueueState,
    SetAgentPresence,
    SetDisposition,
)
from services.ivr.adapters import call as call_module
from services.ivr.adapters import code_call
from services.ivr.adapters.outbox import Outbox
from services.ivr.app import EVENTS, Ivr
from services.ivr.config import IvrSettings
from tests.integration.ivr_switch import FACTS, UUID, FakeCall, facts_in

CENTERS = Path(__file__).parents[2] / "deploy" / "centers"
ENTRY = {"cc_entry": "1000", "cc_contact": UUID, "cc_node": "fs1", "cc_state": "ivr"}


class Stage:
    """A running ivr; ``call`` places a call."""

    def __init__(
        self, port: int, broker: MemoryBroker, bus: MemoryBus, server: OutboundServer, ivr: Ivr
    ) -> None:
        self.port, self.broker, self.bus, self.server, self.ivr = port, broker, bus, server, ivr
        self.calls: list[FakeCall] = []

    async def call(self, variables: dict[str, str] = ENTRY, **more: Any) -> FakeCall:
        call = FakeCall(variables, **more)
        await call.connect(self.port)
        self.calls.append(call)
        return call

    async def facts(self, last: str) -> list[tuple[str, Any]]:
        """Wait for the fact ``last``; return all as (what, message)."""
        for _ in range(1000):
            found = [
                fact
                for entry in self.broker.entries(FACTS)
                for fact in facts_in(entry.subject.split(".")[-1], codec.decode(entry))
            ]
            if found and found[-1][0] == last:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"no fact {last}: {self.broker.entries(FACTS)}")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    settings = IvrSettings(auth_secret="x" * 32, ivr_sounds_dir="/sounds", ivr_esl_port=0)
    broker = MemoryBroker()
    bus = MemoryBus(broker, source="/ivr/1", clock=SystemClock())
    outbox = Outbox(bus, settings.ivr_outbox_size)
    appending = asyncio.create_task(outbox.run())
    ivr = Ivr(settings, SystemClock(), bus, outbox, load(CENTERS), WebClient())
    server = OutboundServer("127.0.0.1", 0, ivr.on_session, max_sessions=50, events=EVENTS)
    port = await server.start()
    stage = Stage(port, broker, bus, server, ivr)
    try:
        yield stage
    finally:
        for call in stage.calls:
            await call.close()
        await server.stop(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
        await bus.stop()


async def test_a_choice_in_the_menu_is_handed_over_on_the_channel(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("/sounds/prompts/fa/welcome.wav")
    await call.end_playback()
    await call.playing("/sounds/prompts/fa/main-menu.wav")
    await call.press("1")
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_state"] == "handover"
    assert call.variables["cc_queue"] == "sales"
    assert call.variables["cc_priority"] == "10", "the queue's own, because the flow names none"
    assert call.variables["cc_language"] == "fa"
    assert call.variables["cc_tenant"] == "demo"
    assert call.variables["presence_data"] == f"c/demo/{UUID}"
    assert int(call.variables["cc_started_ms"]) > 1_700_000_000_000
    assert "cc_skills" not in call.variables
    assert not call.hung_up
    (told,) = call.told
    assert (told["event-subclass"], told["leg"]) == ("peyvand::handover", UUID)
    said = {name: value for name, value in call.variables.items() if name[:3] == "cc_" and name != "cc_state"}
    assert {name: told[f"variable_{name}"] for name in said} == said
    assert told["variable_cc_entry"] == "1000"
    assert (told["caller-caller-id-number"], told["caller-caller-id-name"]) == ("09121234567", 'Zoë "Z" %41')
    assert "unique-id" not in told, "FreeSWITCH would keep the event for the channel's thread"

    facts = await stage.facts("handed-over")
    assert [what for what, _ in facts] == [
        "started",
        "stepped",
        "stepped",
        "stepped",
        "stepped",
        "handed-over",
    ]
    started = facts[0][1]
    assert (started.contact_id, started.node, started.entry_point) == (UUID, "fs1", "1000")
    assert (started.ani, started.caller_name) == ("09121234567", 'Zoë "Z" %41')
    assert started.revision == load(CENTERS).centers[0].revision
    assert [(s.flow_node, s.result) for what, s in facts if what == "stepped"] == [
        ("hello", "played"), ("hours", "open"), ("menu", "digit:1"), ("to-sales", "queue:sales"),
    ]  # fmt: skip
    assert (facts[-1][1].queue, facts[-1][1].priority) == ("sales", 10)
    ids = [e.id for e in stage.broker.entries(FACTS)]
    assert len(set(ids)) == len(ids)
    assert all(e.correlation_id == UUID for e in stage.broker.entries(FACTS))


async def test_the_bus_may_be_down_for_the_whole_call(stage: Stage) -> None:
    stage.broker.set_up(False)
    call = await stage.call()
    await call.playing("welcome")
    await call.press("2")
    await call.end_playback()
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_queue"] == "support"
    assert stage.broker.entries(FACTS) == []
    stage.broker.set_up(True)
    facts = await stage.facts("handed-over")
    assert facts[0][0] == "started"


async def test_facts_are_stored_once_when_confirmations_get_lost(stage: Stage) -> None:
    seen: set[str] = set()

    def first_time_unconfirmed(envelope: Envelope) -> Fault:
        if envelope.id in seen:
            return Fault.NONE
        seen.add(envelope.id)
        return Fault.UNCONFIRMED

    stage.broker.fault = first_time_unconfirmed
    call = await stage.call()
    await call.playing("welcome")
    await call.hang_up()
    facts = await stage.facts("ended")
    assert [what for what, _ in facts] == ["started", "stepped", "ended"]


@pytest.mark.parametrize("setting", [("_UNTOLD_S", 0.05), ("_MOST_UNTOLD", 2)], ids=["long", "many"])
async def test_a_call_that_goes_on_tells_its_steps_before_its_end_and_each_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, float]
) -> None:
    monkeypatch.setattr(call_module, *setting)
    call = await stage.call()
    await call.playing("welcome")
    await call.end_playback()
    await call.playing("main-menu")
    for _ in range(1000):
        told = [codec.decode(e) for e in stage.broker.entries(FACTS) if e.type.endswith("IvrStepsTaken")]
        if told:
            break
        await asyncio.sleep(0.01)
    assert [step.flow_node for step in told[0].steps] == ["hello", "hours"], "the call is still in the menu"
    await call.hang_up()
    facts = await stage.facts("ended")
    assert [f.flow_node for what, f in facts if what == "stepped"] == ["hello", "hours", "menu"]
    assert [f.step_no for what, f in facts if what == "stepped"] == [1, 2, 3]
    ids = [e.id for e in stage.broker.entries(FACTS)]
    assert len(set(ids)) == len(ids) == 3


async def test_hang_up_in_the_menu_ends_with_its_cause(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    await call.end_playback()
    await call.playing("main-menu")
    await call.hang_up("ORIGINATOR_CANCEL")
    facts = await stage.facts("ended")
    ended = facts[-1][1]
    assert (ended.outcome, ended.flow_node, ended.cause) == ("hung_up", "menu", "ORIGINATOR_CANCEL")
    assert facts[-2][1].result == "hung_up"


async def test_a_closed_center_says_so_and_hangs_up(stage: Stage) -> None:
    # The office-hours line on a holiday is a matter of the calendar, tested elsewhere; here the center has no hours at all.
    centers = load(CENTERS)
    center = centers.centers[0]
    shut = center.model_copy(
        update={
            "calendars": {
                "office": center.calendars["office"].model_copy(update={"open": {}}),
                "always": center.calendars["always"],
            }
        }
    )
    stage.ivr.use(type(centers)((shut,)))
    call = await stage.call({**ENTRY, "cc_entry": "3000"})
    await call.playing("welcome")
    await call.end_playback()
    await call.playing("closed")
    await call.end_playback()
    assert await call.executed("hangup") == "NORMAL_CLEARING"
    facts = await stage.facts("ended")
    assert (facts[-1][1].outcome, facts[-1][1].flow_node) == ("closed", "bye")
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.hung_up


async def test_a_call_ends_in_the_version_in_which_it_began(stage: Stage, tmp_path: Path) -> None:
    inside = await stage.call()
    await inside.playing("welcome")
    text = (CENTERS / "demo.yaml").read_text()
    revised = text.replace(
        'digits: {"1": to-sales, "2": support,', 'digits: {"1": to-billing, "4": to-sales, "2": support,'
    )
    assert revised != text
    (tmp_path / "demo.yaml").write_text(
        revised.replace("    version: 2\n    language: fa", "    version: 3\n    language: fa")
    )
    stage.ivr.use(load(tmp_path))
    await inside.press("1")
    await inside.end_playback()
    await asyncio.wait_for(inside.let_go.wait(), 10)
    assert inside.variables["cc_queue"] == "sales", "the call was in the old version"
    later = await stage.call()
    await later.playing("welcome")
    await later.press("1")
    await later.end_playback()
    await asyncio.wait_for(later.let_go.wait(), 10)
    assert later.variables["cc_queue"] == "billing"
    for _ in range(1000):
        facts = [codec.decode(e) for e in stage.broker.entries(FACTS)]
        if sum(type(fact).__name__ == "ContactHandedOver" for fact in facts) == 2:
            break
        await asyncio.sleep(0.01)
    steps = [(s.flow_node, s.flow_version) for f in facts for s in getattr(f, "steps", ())]
    assert steps == [
        ("hello", 2), ("hours", 2), ("menu", 2), ("to-sales", 2),
        ("hello", 3), ("hours", 3), ("menu", 3), ("to-billing", 3),
    ]  # fmt: skip


async def test_what_is_keyed_is_in_the_facts(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    for key in "34711#":
        await call.press(key)
    await call.hang_up()
    facts = await stage.facts("ended")
    steps = {f.flow_node: f for what, f in facts if what == "stepped"}
    assert set(steps) == {"hello"}, "keys that nobody asked for yet are nobody's answer"
    assert steps["hello"].entered_at_us > 0
    assert steps["hello"].at_us >= steps["hello"].entered_at_us


async def test_secret_keys_are_in_no_fact_and_hidden_from_the_switch(stage: Stage, tmp_path: Path) -> None:
    text = (CENTERS / "demo.yaml").read_text()
    secret = text.replace("into: customer, min_digits: 4", "secret: true, into: pin, min_digits: 4")
    secret = secret.replace("read-back: {say: customer, as: digits,", "read-back: {play: you-entered,")
    (tmp_path / "demo.yaml").write_text(secret)
    stage.ivr.use(load(tmp_path))
    call = await stage.call()
    await call.playing("welcome")
    await call.press("3")
    await call.end_playback()
    await call.playing("ask-customer")
    await call.press("4")
    await call.end_playback()
    for key in "711#":
        await call.press(key)
    await call.playing("you-entered")
    await call.hang_up()
    facts = await stage.facts("ended")
    asked = next(f for what, f in facts if what == "stepped" and f.flow_node == "customer")
    assert (asked.result, asked.input) == ("entered", "(secret)")
    assert not any("4711" in str(f) for _, f in facts)
    assert call.variables["digits_dialed_filter"] == ".+"


async def test_a_message_is_recorded_where_the_recording_service_finds_it(stage: Stage) -> None:
    async def crowded(_: Envelope) -> QueueList:
        return QueueList(queues=[QueueState(queue="support", waiting=31, serving=1)])

    await stage.bus.serve(subjects.rpc("demo", "routing", "queue", "list"), crowded, queue="routing")
    call = await stage.call()
    await call.playing("welcome")
    await call.press("2")
    await call.press("1")
    await call.end_playback()
    await call.playing("leave-message")
    await call.end_playback()
    await call.playing("tone_stream")
    await call.end_playback()
    path, most_s, _, silence_s = (await call.executed("record")).split()
    assert path.startswith("${recordings_dir}/demo/20")
    assert path.endswith(f"/{UUID}.message.support.wav")
    assert (most_s, silence_s) == ("120", "5")
    assert await call.executed("mkdir") == path.rpartition("/")[0]
    assert call.variables["playback_terminators"] == "#"
    await call.end_recording(4_000)
    await call.playing("message-thanks")
    assert call.variables["playback_terminators"] == "none"
    await call.end_playback()
    assert await call.executed("hangup") == "NORMAL_CLEARING"
    facts = await stage.facts("ended")
    path_taken = [(f.flow_node, f.result) for what, f in facts if what == "stepped"]
    assert path_taken[-5:] == [
        ("support", "waiting"), ("crowded", "yes"), ("message", "recorded"), ("thanks", "played"), ("bye", "done"),
    ]  # fmt: skip


async def test_a_lost_connection_is_no_hang_up(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    await call.close()
    facts = await stage.facts("ended")
    assert (facts[-1][1].outcome, facts[-1][1].cause) == ("failed", "connection_lost")


async def test_missing_audio_falls_back_to_the_other_language(stage: Stage) -> None:
    call = await stage.call(missing=("/fa/welcome",))
    await call.playing("/en/welcome")
    await call.press("1")
    await call.end_playback()
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_queue"] == "sales"


async def test_a_break_that_came_too_early_is_repeated(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    await call.end_playback()
    await call.playing("main-menu")
    call.deaf_to_breaks = 1
    await call.press("2")
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_queue"] == "support"


async def test_customer_number_is_collected_read_back_and_handed_over(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    for key in "34711#":
        await call.press(key)
    await call.end_playback()
    await call.playing("you-entered")
    await call.end_playback()
    digits = "!".join(f"/sounds/prompts/fa/digits/{d}.wav" for d in "4711")
    await call.playing(f"file_string://{digits}")
    await call.press("1")
    await call.end_playback()
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert (call.variables["cc_queue"], call.variables["cc_customer"]) == ("billing", "4711")


async def test_unknown_number_and_bare_dialplan_are_served_all_the_same(stage: Stage) -> None:
    call = await stage.call({"cc_entry": "7777"}, caller="anonymous")
    await call.playing("welcome")
    await call.press("1")
    await call.end_playback()
    await asyncio.wait_for(call.let_go.wait(), 10)
    facts = await stage.facts("handed-over")
    started = facts[0][1]
    assert (started.contact_id, started.node, started.entry_point, started.ani) == (UUID, "fs9", "1000", "")


async def test_an_error_inside_ivr_hands_over_to_the_fallback_queue(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("a fault in ivr")

    monkeypatch.setattr("services.ivr.adapters.channel.playback", broken)
    call = await stage.call()
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_queue"] == "support"
    assert not call.hung_up


async def test_stopping_hands_calls_over_instead_of_dropping_them(stage: Stage) -> None:
    call = await stage.call()
    await call.playing("welcome")
    await stage.server.stop(0)
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert call.variables["cc_queue"] == "support"
    assert call.variables["cc_state"] == "handover"
    facts = await stage.facts("handed-over")
    assert facts[-2][1].result == "error"


Answer = Callable[[Envelope], Awaitable[AgentState]]


def routing(presence: str, asked: list[Any]) -> Answer:
    async def answer(envelope: Envelope) -> AgentState:
        asked.append(codec.decode(envelope))
        return AgentState(agent_id="sara", presence=presence, activity="idle")

    return answer


@pytest.mark.parametrize(
    ("code", "presence", "asks", "reason", "prompt"),
    [
        ("*22", "available", "toggle", "", "logged-in"),
        ("*22", "offline", "toggle", "", "logged-out"),
        ("*24", "break", "break", "", "on-break"),
        ("*242", "break", "break", "prayer", "on-break"),
        ("*25", "available", "available", "", "available"),
    ],
)
async def test_feature_codes_set_the_presence(
    stage: Stage, code: str, presence: str, asks: str, reason: str, prompt: str
) -> None:
    asked: list[Any] = []
    await stage.bus.serve(
        subjects.rpc("demo", "routing", "agent", "set-presence"), routing(presence, asked), queue="routing"
    )
    call = await stage.call({"cc_entry": code, "cc_agent_ext": "1001"})
    await call.playing(f"/sounds/prompts/fa/{prompt}.wav")
    await call.end_playback()
    await call.executed("hangup")
    assert asked == [SetAgentPresence(extension="1001", presence=asks, reason=reason, actor="agent")]


@pytest.mark.parametrize(
    ("number", "keys", "verified", "prompt"),
    [
        ("1001", "1234#", [True], "logged-in"),
        ("1001", "9999#1234#", [False, True], "logged-in"),
        ("1001", "1235#*1#", [False, False], "not-possible"),
        (
            "1002",
            "1234#",
            [],
            "not-possible",
        ),  # No PIN: sounds like a wrong one until nothing more is keyed.
        ("1099", "1234#", [], "not-possible"),
    ],
)
async def test_an_agent_logs_in_at_another_phone_by_pin(
    stage: Stage, number: str, keys: str, verified: list[bool], prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_call, "_FIRST_KEY_S", 0.5)
    asked: list[Any] = []

    async def answer(envelope: Envelope) -> AgentState:
        wish = codec.decode(envelope)
        asked.append(wish)
        if not wish.verified:
            raise Refused("wrong-pin" if len(asked) < 2 else "locked", "no", status=403)
        return AgentState(agent_id="sara", presence="available", activity="idle", extension="1049")

    await stage.bus.serve(subjects.rpc("demo", "routing", "agent", "seat"), answer, queue="routing")
    call = await stage.call({"cc_entry": f"*23{number}", "cc_agent_ext": "1049", "cc_node": "fs1"})
    await call.playing("enter-pin")
    for key in keys:
        await call.press(key)
    if not verified:
        await call.playing("wrong-pin")
        await call.end_playback()
    await call.playing(f"/{prompt}.wav")
    await call.end_playback()
    await call.executed("hangup")
    assert [w.verified for w in asked] == verified
    for wish in asked:
        assert (wish.agent_id, wish.extension, wish.node, wish.by_pin) == ("sara", "1049", "fs1", True)
        assert wish.force, "who is at the phone has left it to somebody who knows a PIN"
    said = f"{call.applications} {call.variables}"
    assert "1234" not in said, "a PIN on the channel is in its CDR"


async def test_half_a_pin_of_somebody_who_hangs_up_is_no_wrong_one(stage: Stage) -> None:
    asked: list[Any] = []
    await stage.bus.serve(
        subjects.rpc("demo", "routing", "agent", "seat"), routing("available", asked), queue="routing"
    )
    call = await stage.call({"cc_entry": "*231001", "cc_agent_ext": "1002"})
    await call.playing("enter-pin")
    await call.press("1")
    await call.hang_up()
    await asyncio.wait_for(call.let_go.wait(), 10)
    assert asked == []


async def test_disposition_code_is_saved(stage: Stage) -> None:
    asked: list[Any] = []
    await stage.bus.serve(
        subjects.rpc("demo", "routing", "agent", "dispose"), routing("available", asked), queue="routing"
    )
    call = await stage.call({"cc_entry": "*263", "cc_agent_ext": "1002"}, missing=("/fa/",))
    await call.playing("/sounds/prompts/en/saved.wav")
    await call.end_playback()
    await call.executed("hangup")
    assert asked == [SetDisposition(extension="1002", code="3", by="code")]


async def test_a_refused_wish_is_not_possible(stage: Stage) -> None:
    async def refuse(envelope: Envelope) -> AgentState:
        raise Refused("nothing-to-dispose", "the agent had no contact")

    await stage.bus.serve(subjects.rpc("demo", "routing", "agent", "dispose"), refuse, queue="routing")
    call = await stage.call({"cc_entry": "*261", "cc_agent_ext": "1001"})
    await call.playing("not-possible")
    await call.end_playback()
    await call.executed("hangup")


async def test_a_break_for_a_reason_that_there_is_not(stage: Stage) -> None:
    asked: list[Any] = []
    await stage.bus.serve(
        subjects.rpc("demo", "routing", "agent", "set-presence"), routing("break", asked), queue="routing"
    )
    call = await stage.call({"cc_entry": "*249", "cc_agent_ext": "1001"})
    await call.playing("not-possible")
    await call.end_playback()
    await call.executed("hangup")
    assert asked == []


async def test_unknown_code_and_unknown_phone(stage: Stage) -> None:
    call = await stage.call({"cc_entry": "*99", "cc_agent_ext": "1001"})
    await call.playing("not-possible")
    await call.end_playback()
    await call.executed("hangup")
    stranger = await stage.call({"cc_entry": "*22", "cc_agent_ext": "9999"})
    await stranger.executed("hangup")
    assert [name for name, _ in stranger.applications] == ["hangup"]
