"""Center documents to flows, outputs to channel arguments, feature codes to wishes, facts to the bus."""

from __future__ import annotations

import asyncio
import datetime as dt
import resource
from pathlib import Path

import httpx
import pytest

from services.center import Center, CenterWatch, load
from services.common import auth
from services.common.bus import Appended, Envelope, Outgoing, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.errors import BusUnavailable, ConfigError, ContractError
from services.common.esl import Event, command
from services.common.http import Readiness, make_app
from services.contracts.peyvand.ivr.v1.events_pb2 import IvrEnded
from services.contracts.peyvand.routing.v1.rpc_pb2 import AgentList, AgentState
from services.ivr import api
from services.ivr.adapters import channel
from services.ivr.adapters.flows import calendar_of, flows_of, plan_of
from services.ivr.adapters.looking import Agents
from services.ivr.adapters.outbox import FACTS_LOST, Outbox
from services.ivr.app import make_room
from services.ivr.core import codes
from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.hours import is_open
from services.queue.adapters.switch import caller_leg
from tests.unit.center.test_center_faults import GOOD
from tests.unit.ivr.caller import call

CENTERS = Path(__file__).parents[3] / "deploy" / "centers"
SECRET = "s" * 32


@pytest.fixture(scope="module")
def center() -> Center:
    return load(CENTERS).centers[0]


def test_demo_flow_keeps_its_settings(center: Center) -> None:
    plan = plan_of(center, center.entry_points["1000"], flows_of(center))
    flow = plan.flows[plan.first]
    assert plan.fallback == n.ToQueue("support", 0)
    menu = flow.nodes["menu"]
    assert isinstance(menu, n.Menu)
    assert (menu.timeout_ms, menu.tries, menu.invalid) == (5_000, 3, "invalid")
    assert flow.nodes["to-sales"] == n.ToQueue("sales", 10), (
        "a queue's own priority holds where the node names none"
    )
    english = call(plan, [(100, "9"), (5_000, "1")]).handed[0]
    assert (english.queue, english.skills, english.language) == ("sales", ("en:3",), "en")


def test_demo_office_hours(center: Center) -> None:
    office = calendar_of(center, "office")
    open_at = {
        "2026-11-21T10:00:00+03:30": True,  # Saturday
        "2026-11-20T10:00:00+03:30": False,  # Friday
        "2026-11-26T12:59:00+03:30": True,  # Thursday
        "2026-11-26T13:00:00+03:30": False,
        "2027-03-22T10:00:00+03:30": False,  # a holiday
        "2027-03-20T11:00:00+03:30": True,  # the day before it, with short hours
        "2027-03-20T12:30:00+03:30": False,
    }
    for moment, expected in open_at.items():
        at_us = int(dt.datetime.fromisoformat(moment).timestamp() * 1e6)
        assert is_open(office, at_us) is expected, moment


@pytest.mark.parametrize(
    ("dialled", "wish"),
    [
        ("*22", codes.SetPresence("toggle")),
        ("*23", codes.SetPresence("offline")),
        ("*231001", codes.SitDown("1001")),
        ("*231", None),
        ("*24", codes.SetPresence("break")),
        ("*242", codes.SetPresence("break", "2")),
        ("*2412", None),
        ("*25", codes.SetPresence("available")),
        ("*263", codes.Dispose("3")),
        ("*2612", codes.Dispose("12")),
        ("*26", None),
        ("*26#", None),
        ("*2", None),
        ("*221", None),
        ("*26٣", None),
    ],
)
def test_feature_codes(dialled: str, wish: codes.Wish | None) -> None:
    assert codes.wish(dialled) == wish


def test_presence_prompts() -> None:
    toggle, available = codes.SetPresence("toggle"), codes.SetPresence("available")
    assert codes.presence_prompt(toggle, "available") == "logged-in"
    assert codes.presence_prompt(available, "available") == "available"
    assert codes.presence_prompt(toggle, "offline") == "logged-out"
    assert codes.presence_prompt(available, "break") == "on-break"
    assert codes.presence_prompt(available, "") == "not-possible"


def test_numbers_are_said_as_numbers_or_digits(center: Center) -> None:
    as_number = channel.playback("/s", center, m.SayText(1, "0042", "number", "en"))
    assert as_number == "file_string:///s/prompts/en/digits/40.wav!/s/prompts/en/digits/2.wav"
    as_digits = channel.playback("/s", center, m.SayText(1, "0*", "digits", "fa"))
    assert as_digits == "file_string:///s/prompts/fa/digits/0.wav!/s/prompts/fa/digits/star.wav"


def test_transfer_events() -> None:
    assert channel.event_of(Event.of({"Event-Name": "CHANNEL_BRIDGE"}), 7) == m.TransferConnected(7)
    assert channel.event_of(Event.of({"Event-Name": "CHANNEL_PARK"}), 7) is None


def test_ivr_does_not_start_with_more_calls_than_the_system_has_files_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: given.append(limits))
    make_room(500)
    assert given == []
    make_room(2000)
    assert given == [(2100, 4096)]
    with pytest.raises(ConfigError, match=r"PEYVAND_IVR_MAX_SESSIONS=4000 takes 4100 open files.*4096"):
        make_room(4000)


def test_a_leg_with_hostile_names_is_only_data() -> None:
    leg = channel.leg_of(
        Event.of(
            {
                "Event-Name": "CHANNEL_DATA",
                "Unique-ID": "u-1",
                "Caller-Caller-ID-Number": "${api(x)}",
                "Caller-Caller-ID-Name": "a\nUnique-ID: other",
                "variable_cc_entry": "1000",
            }
        )
    )
    assert (leg.contact_id, leg.caller, leg.node) == ("u-1", "", "unknown")


class FailingBus(MemoryBus):
    """Fails the first appends, as told."""

    def __init__(self, broker: MemoryBroker, errors: list[Exception]) -> None:
        super().__init__(broker)
        self.errors = errors

    async def append(self, fact: Outgoing, *, timeout_s: float = 30.0) -> Appended:
        if self.errors:
            raise self.errors.pop(0)
        return await super().append(fact, timeout_s=timeout_s)


def fact(number: int, contact: str = "c-1") -> Outgoing:
    message = IvrEnded(contact_id=contact, outcome="finished", at_us=1)
    subject = subjects.fact("demo", "ivr", "contact", "ended")
    return Outgoing(subject, message, f"{contact}:ended:{number}", "demo", contact)


async def test_facts_keep_their_order_through_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ivr.adapters.outbox._AGAIN_S", 0.001)
    broker = MemoryBroker()
    outbox = Outbox(FailingBus(broker, [BusUnavailable("down"), BusUnavailable("down")]), 100)
    for number in range(5):
        outbox.put(fact(number))
    running = asyncio.create_task(outbox.run())
    await outbox.stop()
    running.cancel()
    assert [e.id for e in broker.entries(subjects.any_fact(service="ivr"))] == [
        f"c-1:ended:{n}" for n in range(5)
    ]
    assert len(outbox) == 0


async def test_what_the_contract_refuses_does_not_block_the_rest() -> None:
    broker = MemoryBroker()
    outbox = Outbox(FailingBus(broker, [ContractError("bad")]), 100)
    outbox.put(fact(0))
    outbox.put(fact(1))
    running = asyncio.create_task(outbox.run())
    await outbox.stop()
    running.cancel()
    assert [e.id for e in broker.entries(subjects.any_fact(service="ivr"))] == ["c-1:ended:1"]


async def test_a_full_outbox_counts_what_is_lost_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ivr.adapters.outbox._FLUSH_S", 0.001)
    lost = {reason: FACTS_LOST.labels(reason)._value.get() for reason in ("outbox_full", "stopped")}
    outbox = Outbox(MemoryBus(MemoryBroker()), 3)
    for number in range(5):
        outbox.put(fact(number))
    assert len(outbox) == 3
    await outbox.stop()
    assert FACTS_LOST.labels("outbox_full")._value.get() - lost["outbox_full"] == 2
    assert FACTS_LOST.labels("stopped")._value.get() - lost["stopped"] == 3


@pytest.fixture
async def http(tmp_path: Path) -> httpx.AsyncClient:
    (tmp_path / "acme.yaml").write_text(GOOD)
    watch = CenterWatch(tmp_path)
    (tmp_path / "acme.yaml").write_text(GOOD.replace("then: hours", "then: nowhere-at-all"))
    await watch.refresh()
    app = make_app("ivr", "0", Readiness(), auth_secret=SECRET)
    app.include_router(api.router(lambda: watch))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://ivr")


def bearer(tenant: str = "acme", role: auth.Role = "supervisor") -> dict[str, str]:
    token = auth.issue(SECRET, tenant=tenant, role=role, subject="x", ttl_s=60)
    return {"Authorization": f"Bearer {token}"}


async def test_http_tells_flows_and_why_a_newer_document_does_not_run(http: httpx.AsyncClient) -> None:
    async with http:
        flows = (await http.get("/v1/flows", headers=bearer())).json()
        assert flows["flows"] == [
            {"name": "main", "version": 1, "start": "greet", "nodes": 8, "entry_points": ["500"]}
        ]
        flow = (await http.get("/v1/flows/main", headers=bearer())).json()
        assert flow["nodes"]["greet"] == {"play": "hello", "then": "hours"}
        assert flow["nodes"]["read"] == {"say": "customer", "then": "to-one"}, "as the document has it"
        assert flow["version"] == 1
        picture = await http.get("/v1/flows/main/picture", headers=bearer())
        assert picture.headers["content-type"] == "image/svg+xml"
        assert ">greet</text>" in picture.text
        assert (await http.get("/v1/flows/none/picture", headers=bearer())).status_code == 404
        state = (await http.get("/v1/center", headers=bearer())).json()
        assert state["revision"] == flows["revision"]
        assert state["refused"][0]["file"] == "acme.yaml"
        assert state["refused"][0]["line"] == 39


async def test_http_is_cut_to_tenant_and_role(http: httpx.AsyncClient) -> None:
    async with http:
        assert (await http.get("/v1/flows")).status_code == 401
        assert (await http.get("/v1/flows", headers=bearer(role="agent"))).status_code == 403
        assert (await http.get("/v1/center", headers=bearer("other"))).json()["type"] == "unknown-tenant"
        assert (await http.get("/v1/flows/none", headers=bearer())).json()["type"] == "unknown-flow"


def test_queue_reads_from_the_channel_what_a_flow_wrote_there(center: Center) -> None:
    leg = channel.leg_of(Event.of({"Event-Name": "CHANNEL_DATA", "Unique-ID": "u-1"}))
    output = m.HandOver(
        "sales",
        5,
        ("en:3",),
        "en",
        "4711",
        "regular",
        "sara",
        callback=True,
        survey="after",
        preferred_ms=9_000,
        no_answer="hangup:goodbye",
    )
    values = channel.hand_over(leg, center, output, 7)
    read = caller_leg(
        Event.of(
            {"Event-Name": "CUSTOM", "Unique-ID": "u-1", **{f"variable_{k}": v for k, v in values.items()}}
        )
    )
    assert (read.queue, read.priority, read.skills, read.language) == ("sales", 5, ("en:3",), "en")
    assert (read.customer, read.service_class, read.preferred_agent) == ("4711", "regular", "sara")
    assert (read.wish, read.started_ms) == ("callback", 7)
    assert (read.survey, read.preferred_ms, read.no_answer) == ("after", 9_000, "hangup:goodbye")
    without = channel.hand_over(leg, center, m.HandOver("sales", 0, (), "en", ""), 7)
    assert "cc_wish" not in without


def test_a_callers_name_with_a_lines_end_in_it_does_not_cost_the_hand_over() -> None:
    """Phones send what they like; the command that tells queue of the caller takes no line's end."""
    waits = Event.of(
        {
            "Unique-ID": "c1",
            "Caller-Caller-ID-Name": "100% sure A \n${x}\0",
            "Caller-Caller-ID-Number": "0912\r",
        }
    )
    told = channel.handed_over(waits, {"cc_queue": "sales"})
    assert command("sendevent CUSTOM", {"Event-Subclass": channel.HANDED_OVER, **told})
    assert told["Caller-Caller-ID-Name"].startswith("100% sure A")


async def test_how_agents_are_is_asked_once_for_all_who_ask_together_and_again_soon() -> None:
    asked = 0

    async def answer(_: Envelope) -> AgentList:
        nonlocal asked
        asked += 1
        return AgentList(
            agents=[
                AgentState(agent_id="sara", presence="available", activity="idle"),
                AgentState(agent_id="reza", presence="available", activity="talking"),
                AgentState(agent_id="nima", presence="available", activity="unreachable"),
                AgentState(agent_id="omid", presence="break", activity="idle"),
                AgentState(agent_id="gone", presence="available", activity="idle", draining=True),
            ]
        )

    bus = MemoryBus(MemoryBroker())
    await bus.serve(subjects.rpc("demo", "routing", "agent", "list"), answer, queue="routing")
    agents = Agents(bus)
    names = ("sara", "reza", "nima", "omid", "gone", "nobody")
    states = await asyncio.gather(*(agents.look("demo", name) for name in names))
    assert dict(zip(names, states, strict=True)) == {
        "sara": "ready", "reza": "busy", "nima": "away", "omid": "away", "gone": "away", "nobody": "away",
    }  # fmt: skip
    assert asked == 1
    await asyncio.sleep(0.15)
    assert await agents.look("demo", "sara") == "ready"
    assert asked == 2, "an agent may have taken a call meanwhile"
    assert await agents.look("other", "sara") == "unseen", "nobody answers for that tenant"
    await bus.stop()
