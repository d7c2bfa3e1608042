"""The whole process: people who behave, HTTP control, the ledger; and another people's client at its socket."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from services.common.auth import issue
from services.common.ports import free_port
from services.simswitch.core.scenario import (
    AgentHabits,
    CallerHabits,
    CallerPlan,
    MenuAct,
    RingAct,
    Scenario,
    Spread,
)
from services.simswitch.people import People
from tests.integration.simswitch_kit import ROOT, WAIT_S, Client, Phone, lab

SECRET = "0123456789abcdef0123456789abcdef"
QUICK = Scenario(
    rate=0.0,
    login=False,
    agent=AgentHabits(
        talk=Spread(0.1, 0.0), rings=Spread(0.05, 0.0), misses=0.0, declines=0.0, wrap_up=Spread(0.1, 0.0)
    ),
    caller=CallerHabits(patience=Spread(0.3, 0.0), think=Spread(0.05, 0.0)),
)


def people(sw: Any, scenario: Scenario = QUICK) -> People:
    made = People(sw.switch, scenario, Random(3), {"1000": 1.0}, {"1001": "Sara", "1002": "Reza"})
    made.begin_day()
    return made


async def test_a_caller_presses_at_the_menu_waits_and_loses_patience(tmp_path: Path) -> None:
    async with lab(tmp_path, ivr_up=True) as sw:
        folk = people(sw)
        leg = folk.call(CallerPlan("1000", "0912", "رضا", 0.3, 1.0, True), [MenuAct(0.05, digit="2")])
        ivr = await sw.ivr.call()
        sw.clients.append(ivr)
        for command in ("connect", "linger", "myevents json"):
            await ivr.send(command)
        await ivr.send(
            "sendmsg\ncall-command: execute\nexecute-app-name: play_and_get_digits\n"
            r"execute-app-arg: 1 1 1 2000 # silence_stream://1000 silence_stream://9 m \d" + "\nEvent-UUID: m"
        )
        done = await ivr.event("CHANNEL_EXECUTE_COMPLETE", Application_UUID="m")
        assert done["variable_m"] == "2"
        await ivr.send("exit")
        await sw.until(lambda: leg.gone)
        call = sw.ledger.lines("call")[0]
        assert (call["ended_by"], call["ended_in"], call["caller_name"]) == ("caller", "waiting", "رضا")
        assert [d["digit"] for d in call["digits"]] == ["2"]
        assert call["menus"] == 1
        assert call["started_us"] < call["controller_us"] < call["waiting_us"] < call["ended_us"]


async def test_agents_answer_talk_and_wrap_up(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        folk = people(sw)
        client = await sw.client("event json ALL")
        caller = folk.call(CallerPlan("1000", "0912", "A", 60.0, 0.2, True))
        await client.event("CUSTOM", Event_Subclass="peyvand::waiting")
        folk.agents["1002"].forced.append(RingAct(0.02, "decline"))
        await client.send(
            f"bgapi originate {{origination_uuid=B,cc_contact={caller.uuid}}}user/1002@peyvand.local &park()"
        )
        await client.event("CHANNEL_HANGUP_COMPLETE", Unique_ID="B", Hangup_Cause="CALL_REJECTED")
        await client.send(
            f"bgapi originate {{origination_uuid=A,cc_contact={caller.uuid}}}user/1001@peyvand.local &park()"
        )
        await client.event("CHANNEL_PARK", Unique_ID="A")
        assert folk.agents["1001"].busy
        assert await client.api("originate user/1001@peyvand.local &park()") == "-ERR USER_BUSY"
        await client.api("uuid_setvar A park_after_bridge true")
        await client.api(f"uuid_bridge A {caller.uuid}")
        await sw.until(lambda: not folk.agents["1001"].busy)
        await sw.until(lambda: not sw.switch.channels)
        call = sw.ledger.lines("call", caller.uuid)[0]
        assert (call["ended_by"], call["ended_in"]) == ("caller", "talking")
        assert (call["bridges"][0]["agent_leg"], call["bridges"][0]["agent_extension"]) == ("A", "1001")
        assert call["bridges"][0]["unbridged_us"] - call["bridges"][0]["bridged_us"] >= 150_000


async def test_nothing_of_an_ended_call_waits_for_the_collector(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        folk = people(sw)
        client = await sw.client("event json ALL")
        gc.collect()
        gc.disable()
        try:
            # Nothing here may hold the legs either.
            caller = weakref.ref(folk.call(CallerPlan("1000", "0912", "A", 60.0, 0.2, True)))
            waiting = await client.event("CUSTOM", Event_Subclass="peyvand::waiting")
            await client.send("bgapi originate {origination_uuid=A}user/1001@peyvand.local &park()")
            await client.event("CHANNEL_PARK", Unique_ID="A")
            agent = weakref.ref(sw.switch.channels["A"])
            await client.api(f"uuid_bridge A {waiting['Unique-ID']}")
            await sw.until(lambda: not sw.switch.channels)
            await sw.until(lambda: caller() is None and agent() is None)
        finally:
            gc.enable()


async def test_arrivals_stop_and_drain(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        folk = people(
            sw,
            Scenario(rate=40.0, time_scale=10.0, login=False, caller=CallerHabits(patience=Spread(1.0, 0.0))),
        )
        await asyncio.wait_for(folk.arrivals(0.5), WAIT_S)
        assert folk.draining
        assert folk.placed > 5
        await sw.until(lambda: not sw.switch.channels)
        assert sw.ledger.counts["calls"] == sw.ledger.counts["ended"] == folk.placed
        assert sw.ledger.counts["waiting"] == folk.placed


class Regular(Random):
    """Callers who come at regular intervals."""

    def expovariate(self, lambd: float = 1.0) -> float:
        return 1.0 / lambd


async def test_a_machine_that_is_late_for_one_caller_is_not_late_for_the_next(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        folk = People(sw.switch, Scenario(rate=50.0, login=False), Regular(3), {"1000": 1.0}, {})
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.2)
        await asyncio.wait_for(folk.arrivals(0.5), WAIT_S)
        assert folk.placed > 20, "ten of 24 would be missing if each waited for the one before"
        assert folk.most_late_s > 0.1


async def test_agents_log_in_and_take_breaks_by_code(tmp_path: Path) -> None:
    scenario = Scenario(
        rate=0.0,
        time_scale=20.0,
        agent=AgentHabits(break_every_s=4.0, break_for=Spread(2.0, 0.0)),
        caller=CallerHabits(),
    )
    async with lab(tmp_path) as sw:
        client = await sw.client("event json CHANNEL_CREATE")
        people(sw, scenario)
        dialled: set[str] = set()

        def codes() -> bool:
            dialled.update(str(e["Caller-Destination-Number"]) for e in client.events)
            return {"*22", "*24", "*25"} <= dialled

        await sw.until(codes)
        assert {e["variable_user_name"] for e in client.events} == {"1001", "1002"}


def test_greenswitch_works_with_it(tmp_path: Path) -> None:
    """greenswitch's own InboundESL, unchanged, in its own process and hub."""
    script = (
        "import gevent, greenswitch, sys\n"
        "seen = []\n"
        "c = greenswitch.InboundESL(host='127.0.0.1', port=int(sys.argv[1]), password='ClueCon')\n"
        "c.connect()\n"
        "c.register_handle('HEARTBEAT', lambda e: seen.append(e.headers['Event-Info']))\n"
        "print(c.send('api status').data.split()[0])\n"
        "print(c.send('events plain HEARTBEAT').headers['Reply-Text'])\n"
        "print(c.send('api uuid_kill x').data.strip())\n"
        "c.send('sendevent HEARTBEAT\\nEvent-Info: hello there')\n"
        "with gevent.Timeout(5):\n"
        "    while not seen: gevent.sleep(0.01)\n"
        "print(seen[0])\n"
        "c.stop()\n"
    )

    async def run() -> str:
        async with lab(tmp_path) as sw:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "ignore", "-c", script, str(sw.socket.port), stdout=-1, stderr=-1
            )
            out, err = await asyncio.wait_for(child.communicate(), 30)
            assert child.returncode == 0, err.decode()
            return out.decode()

    assert asyncio.run(run()).split("\n")[:4] == [
        "UP", "+OK event listener enabled plain", "-ERR No such channel!", "hello there",
    ]  # fmt: skip


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[httpx.Client, int, subprocess.Popen[bytes], Path]]:
    http_port, esl_port = free_port(), free_port()
    ledger = tmp_path / "ledger.jsonl"
    env = {
        **os.environ,
        "PEYVAND_AUTH_SECRET": SECRET,
        "PEYVAND_SIMSWITCH_HTTP_PORT": str(http_port),
        "PEYVAND_SIMSWITCH_ESL_PORT": str(esl_port),
        "PEYVAND_SIMSWITCH_IVR": f"127.0.0.1:{free_port()}",
        "PEYVAND_SIMSWITCH_LEDGER": str(ledger),
        "PEYVAND_SIMSWITCH_CDR_SPOOL": str(tmp_path / "cdr"),
        "PEYVAND_SIMSWITCH_RECORDINGS": str(tmp_path / "rec"),
        "PEYVAND_SIMSWITCH_RATE": "0",
        "PEYVAND_CENTERS": str(ROOT / "deploy" / "centers"),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "services.simswitch"], cwd=ROOT, env=env, stderr=subprocess.PIPE
    )
    assert child.stderr is not None
    started = threading.Event()
    lines: list[bytes] = []

    def read() -> None:
        assert child.stderr is not None
        for line in child.stderr:
            lines.append(line)
            if b"simswitch_started" in line:
                started.set()
        started.set()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert started.wait(60)
        assert child.poll() is None, b"".join(lines).decode()
        token = issue(SECRET, tenant="demo", role="service", subject="test", ttl_s=600)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{http_port}", headers={"Authorization": f"Bearer {token}"}
        ) as client:
            yield client, esl_port, child, ledger
    finally:
        child.terminate()
        child.wait(20)
        thread.join()
        child.stderr.close()


def test_the_process_over_http(process: tuple[httpx.Client, int, subprocess.Popen[bytes], Path]) -> None:
    http, esl_port, child, ledger = process
    assert http.get("/readyz").json()["ready"] is True
    assert httpx.get(str(http.base_url) + "/v1/state").status_code == 401
    state = http.get("/v1/state").json()
    assert state["esl_port"] == esl_port
    assert {a["extension"] for a in state["agents"]} >= {"1001", "1002"}
    assert all(a["registered"] for a in state["agents"])
    call = http.post("/v1/calls", json={"entry": "1000", "name": "Zoë"}).json()["call_id"]

    async def waiting() -> None:
        client = await Client.connect(esl_port, "event json ALL")
        while (await client.api(f"uuid_getvar {call} current_application")) != "playback":
            await asyncio.sleep(0.01)
        assert http.post("/v1/faults", json={"kind": "drop_listeners"}).json() == {"dropped": 1}
        await asyncio.wait_for(client.closed.wait(), WAIT_S)
        await client.close()

    asyncio.run(waiting())
    assert [c["phase"] for c in http.get("/v1/state").json()["calls"] if c["call_id"] == call] == ["waiting"]
    assert http.post("/v1/faults", json={"kind": "unregister", "extension": "1001"}).status_code == 200
    assert (
        http.post("/v1/faults", json={"kind": "unregister", "extension": "nobody"}).json()["type"]
        == "unknown-agent"
    )
    agents = {a["extension"]: a["registered"] for a in http.get("/v1/state").json()["agents"]}
    assert (agents["1001"], agents["1002"]) == (False, True)
    assert http.post("/v1/faults", json={"kind": "hangup", "leg": call}).json() == {"leg": call}
    assert http.post("/v1/scenario/stop").status_code == 200
    child.terminate()
    assert child.wait(20) == 0
    lines = [json.loads(x) for x in ledger.read_text().splitlines()]
    ended = next(x for x in lines if x["kind"] == "call" and x["call_id"] == call)
    assert (ended["ended_by"], ended["ended_in"], ended["caller_name"]) == ("caller", "waiting", "Zoë")
    assert (ledger.parent / "cdr" / f"{call}.cdr.json").exists()


def test_wrong_settings_end_the_process_with_their_names(tmp_path: Path) -> None:
    bad = tmp_path / "s.yaml"
    bad.write_text("caller: {patience: soon}\n")
    env = {
        **os.environ,
        "PEYVAND_AUTH_SECRET": SECRET,
        "PEYVAND_SIMSWITCH_SCENARIO": str(bad),
        "PEYVAND_SIMSWITCH_ESL_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.simswitch"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert b"s.yaml.caller.patience" in done.stderr


async def test_phones_of_the_kit_are_asked_only_when_registered(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        phone = Phone()
        sw.switch.phones["1009"] = phone
        client = await sw.client("event json ALL")
        assert await client.api("originate user/1009@peyvand.local &park()") == "-ERR USER_NOT_REGISTERED"
        assert phone.legs == []
        assert await client.api("originate user/1009@other.domain &park()") == "-ERR SUBSCRIBER_ABSENT"


def test_faults_over_http_are_checked_listed_and_ended(
    process: tuple[httpx.Client, int, subprocess.Popen[bytes], Path],
) -> None:
    http, _, _, _ = process
    wrong = http.post("/v1/faults", json={"kind": "freeze"})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "bad-fault")
    assert "for_s" in wrong.json()["detail"]
    assert http.post("/v1/faults", json={"kind": "freeze", "for_s": 1, "x": 1}).status_code == 422
    number = http.post("/v1/faults", json={"kind": "slow", "for_s": 60, "reply_ms": 1}).json()["number"]
    assert [f["number"] for f in http.get("/v1/faults").json()["faults"]] == [number]
    assert http.get("/v1/state").json()["faults"][0]["kind"] == "slow"
    assert http.delete(f"/v1/faults/{number}").json() == {"number": number}
    assert http.get("/v1/faults").json() == {"faults": []}
    assert http.delete(f"/v1/faults/{number}").status_code == 404
