"""API commands about the switch itself, held against the answers of a real FreeSWITCH 1.10.12 with this repository's configuration.

``tests/vectors/simswitch/system_commands.json`` are commands and answers of one session, in order (no calls, no phones).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from services.simswitch.core.reports import report
from tests.integration.simswitch_kit import ROOT, Phone, lab

RECORDED = ROOT / "tests" / "vectors" / "simswitch" / "system_commands.json"


async def test_answers_are_the_recorded_ones(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())
    assert len(recorded) > 110
    async with lab(tmp_path) as sw:
        client = await sw.client()
        differ = []
        for command, wanted in recorded:
            got = await client.send(f"api {command}")
            if got != wanted:
                differ.append((command, wanted, got))
        assert differ == []


async def test_channels_and_calls_in_every_form(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json CHANNEL_BRIDGE")
        for uuid in ("A", "B"):
            await client.api(
                f"originate {{origination_uuid={uuid},origination_caller_id_name=Ali}}null/one &park()"
            )
        assert await client.api("show channels count") == "2 total."
        assert await client.api("show channels count as json") == '{"row_count":2,"rows":[]}'
        assert [r["uuid"] for r in json.loads(await client.api("show channels as json"))["rows"]] == [
            "A",
            "B",
        ]
        assert json.loads(await client.api("show channels like null/one as json"))["row_count"] == 2
        assert await client.api("show channels like nomatch") == "0 total."
        piped = (await client.api("show channels as delim |")).split("\n")
        assert piped[0].startswith("uuid|direction|created|")
        assert piped[1].startswith("A|outbound|")
        xml = await client.api("show channels as xml")
        assert xml.startswith('<result row_count="2">\n  <row row_id="1">\n    <uuid>A</uuid>\n')
        alone = json.loads(await client.api("show calls as json"))
        assert [(c["uuid"], c["b_uuid"], c["call_created_epoch"]) for c in alone["rows"]] == [
            ("A", "", ""),
            ("B", "", ""),
        ]
        assert await client.api("show bridged_calls") == "0 total."
        await client.api("uuid_bridge A B")
        await client.event("CHANNEL_BRIDGE")
        await sw.until(lambda: sw.switch.rows["B"]["call_uuid"] == "A")
        (one,) = json.loads(await client.api("show bridged_calls as json"))["rows"]
        assert (one["uuid"], one["b_uuid"], one["b_state"]) == ("A", "B", "CS_EXCHANGE_MEDIA")
        detailed = json.loads(await client.api("show detailed_calls as json"))["rows"][0]
        assert (detailed["application"], detailed["b_uuid"]) == ("uuid_bridge", "B")
        dumped = await client.api("uuid_dump A xml")
        assert "<event>\n  <headers>\n    <Event-Name>CHANNEL_DATA</Event-Name>" in dumped


async def test_registrations_in_sofia_status(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json CUSTOM sofia::expire")
        sw.switch.register("1001", Phone())
        sw.switch.register("1002", Phone())
        listed = await client.api("sofia status profile agents reg")
        assert "Total items returned: 2" in listed
        assert "User:       \t1001@peyvand.local\n" in listed
        assert re.search(
            r"Status:     \tRegistered\(UDP\)\(unknown\) EXP\(\S+ \S+\) EXPSECS\(3\d{3}\)\n", listed
        )
        assert "Total items returned: 1" in await client.api(
            "sofia status profile agents user 1002@peyvand.local"
        )
        assert "<sip-auth-user>1001</sip-auth-user>" in await client.api("sofia xmlstatus profile agents reg")
        overview = (await client.api("sofia status")).split("\n")
        assert overview[2].split("\t")[1:] == [
            "profile",
            f"{'sip:mod_sofia@127.0.0.1:5060':>42}",
            "RUNNING (0)",
        ]
        assert any(line.strip().startswith("trunk::trunk\tgateway") for line in overview)
        assert await client.api("sofia_count_reg 1001@peyvand.local") == "1"
        await client.api("sofia profile agents flush_inbound_reg 1001@peyvand.local")
        assert (await client.event("CUSTOM"))["user"] == "1001"
        assert await client.api("sofia_contact 1001@peyvand.local") == "error/user_not_registered"
        assert await client.api("sofia_contact 1002@peyvand.local") != "error/user_not_registered"


async def test_shutdown_ends_the_process_and_somebody_starts_it_again(tmp_path: Path) -> None:
    async with lab(tmp_path) as sw:
        client = await sw.client("event json SHUTDOWN")
        before = sw.switch.core_uuid
        assert await client.api("fsctl shutdown restart") == "+OK"
        await client.event("SHUTDOWN")
        await sw.until(lambda: sw.switch.core_uuid != before)
        await sw.until(lambda: sw.socket.listening)
        assert (await (await sw.client()).api("status")).startswith("UP 0 years")


@pytest.mark.parametrize("form", ["", "as json", "as xml", "count", "count as json"])
def test_a_report_of_nothing(form: str) -> None:
    assert "0" in report([], form.split(), counts=True)
