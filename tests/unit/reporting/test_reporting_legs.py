"""Legs: from the event socket and from the spool, and the spool itself."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import StoreUnavailable
from services.common.esl import Decoder, Event
from services.reporting.adapters.legs import LegBuffer, leg_of_event
from services.reporting.adapters.spool import Spool, parse
from services.reporting.core.legs import Directory, Leg, Profile, claim, leg_of, rows_of_leg
from services.reporting.core.tables import COLUMNS, version

CONTACT = "4a9c1c52-0000-4000-8000-000000000001"
VARIABLES = {
    "uuid": CONTACT,
    "direction": "inbound",
    "cc_contact": CONTACT,
    "cc_tenant": "demo",
    "cc_state": "talking",
    "cc_queue": "sales",
    "cc_entry": "1000",
    "cc_node": "fs1",
    "start_stamp": "2026-11-21 21:21:19",
    "start_uepoch": "1795296079812946",
    "answer_uepoch": "1795296079912946",
    "bridge_uepoch": "0",
    "end_uepoch": "1795296080332955",
    "mduration": "520",
    "billmsec": "420",
    "hold_accum_ms": "0",
    "hangup_cause": "NORMAL_CLEARING",
    "hangup_cause_q850": "16",
    "rtp_audio_in_mos": "4.49",
    "rtp_audio_in_media_packet_count": "26",
    "read_codec": "PCMA",
}


def cdr(variables: dict[str, Any] | None = None, **profile: Any) -> bytes:
    caller = {
        "caller_id_number": "+98912",
        "caller_id_name": "Müller",
        "destination_number": "1000",
    } | profile
    document = {
        "core-uuid": "x", "switchname": "vm", "channel_data": {"state": "CS_REPORTING", "direction": "inbound"},
        "variables": VARIABLES if variables is None else variables,
        "callflow": [{"caller_profile": caller, "times": {"created_time": "1795296079812946", "hangup_time": "5"}}],
    }  # fmt: skip
    return json.dumps(document).encode()


def event(**more: str) -> Event:
    headers = {
        "Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": CONTACT, "Call-Direction": "inbound",
        "Caller-Caller-ID-Number": "+98912", "Caller-Caller-ID-Name": "Müller", "Caller-Destination-Number": "1000",
        "Caller-Channel-Created-Time": "1795296079812946", "Hangup-Cause": "NORMAL_CLEARING",
    }  # fmt: skip
    headers |= {f"variable_{name}": value for name, value in VARIABLES.items()} | more
    body = json.dumps(headers).encode()
    frame = f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n".encode() + body
    (decoded,) = Decoder().feed(frame)
    assert isinstance(decoded, Event)
    return decoded


def test_both_sources_tell_the_same() -> None:
    by_event, by_file = leg_of_event(event(), "fs1"), parse(cdr())
    assert by_event is not None
    same = {name: getattr(by_event, name) for name in Leg.__struct_fields__ if name != "source"}
    assert same == {name: getattr(by_file, name) for name in Leg.__struct_fields__ if name != "source"}
    assert (by_file.role, by_file.tenant, by_file.duration_ms, by_file.mos_milli) == (
        "caller",
        "demo",
        520,
        4490,
    )
    assert (by_file.ani, by_file.caller_name, by_file.node) == ("+98912", "Müller", "fs1")


def test_encoded_values_are_decoded() -> None:
    encoded = VARIABLES | {
        "start_stamp": "2026-11-21%2021%3A21%3A19",
        "read_codec": "opus%40x",
        "cc_queue": "sales",
    }
    assert parse(cdr(encoded)).codec == "opus@x"
    assert parse(cdr(VARIABLES | {"read_codec": "opus%40x"})).codec == "opus%40x"


def test_bytes_of_phones_that_are_no_utf8_do_not_refuse_the_file() -> None:
    data = cdr().replace(b"\\u00fc", b"\xfc")
    leg = parse(data)
    assert leg.caller_name == "M\N{REPLACEMENT CHARACTER}ller"
    leg_of("socket", Profile(leg_id="x", ani="\udcff"), {}).ani.encode("utf-8")


def test_the_agents_leg_by_its_presence_data_alone() -> None:
    leg = leg_of(
        "socket",
        Profile(leg_id="leg"),
        {"presence_data": "a/demo/c1/o1", "accountcode": "c1", "cc_offer": "o1"},
    )
    assert (leg.role, leg.tenant, leg.contact_id, leg.offer_id) == ("agent", "demo", "c1", "o1")
    unclaimed = leg_of("socket", Profile(leg_id="c1"), {"presence_data": "c/-/c1"})
    assert (unclaimed.role, unclaimed.tenant, unclaimed.contact_id) == ("caller", "-", "c1")


@pytest.mark.parametrize(
    ("variables", "contacts"),
    [({}, 1), ({"cc_entry": "*22"}, 0), ({"cc_tenant": ""}, 0), ({"cc_role": "agent"}, 0)],
)
def test_only_callers_of_a_tenant_say_something_about_contacts(
    variables: dict[str, str], contacts: int
) -> None:
    rows = rows_of_leg(parse(cdr(VARIABLES | variables)))
    assert [row.table for row in rows] == ["legs"] + ["contacts"] * contacts


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({}, "switch"),
        ({"direction": "outbound"}, ""),
        ({"cc_entry": ""}, ""),
        ({"uuid": "leg-2", "cc_arrived": "fs2-1795296079812"}, ""),
    ],
)
def test_a_caller_whom_nobody_saw_is_known_by_the_leg_alone(variables: dict[str, str], start: str) -> None:
    told = VARIABLES | {"cc_state": "waiting"} | variables
    row = rows_of_leg(leg_of("spool", Profile(leg_id=told["uuid"], ani="+98912"), told))[1]
    cells = dict(zip(COLUMNS["contacts"], row.values, strict=True))
    assert cells["start"][1] == start
    assert cells["leg_state"][1] == "waiting"
    if start:
        said = [cells[name][1] for name in ("entry_point", "node", "ani", "started_at_us")]
        assert said == ["1000", "fs1", "+98912", int(VARIABLES["start_uepoch"])]
        assert cells["start"][0] < version(3, 0), "who started it for ivr or queue says so with more right"


def test_the_file_wins_over_the_event_where_both_speak() -> None:
    by_event, by_file = leg_of_event(event(variable_read_codec="PCMU"), "fs1"), parse(cdr())
    assert by_event is not None
    at = COLUMNS["legs"].index("codec")
    assert max(rows_of_leg(by_event)[0].values[at], rows_of_leg(by_file)[0].values[at])[1] == "PCMA"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"variables":{}}', b'{"variables":[]}', cdr()[:-20]]
)
def test_what_is_no_cdr_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's and ours
        parse(data)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "", "9" * 30, "abc"])
def test_numbers_that_are_none_count_as_unknown(value: str) -> None:
    leg = parse(cdr(VARIABLES | {"rtp_audio_in_mos": value, "hold_accum_ms": value}))
    assert 0 <= leg.mos_milli <= 2**62
    assert 0 <= leg.hold_ms <= 2**62


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class Sink:
    """Takes legs, or says that it cannot."""

    def __init__(self) -> None:
        self.legs: list[Leg] = []
        self.refused: list[Leg] = []
        self.away = False

    async def __call__(self, legs: Sequence[Leg]) -> Collection[Leg]:
        if self.away:
            raise StoreUnavailable("away")
        self.legs += legs
        return self.refused


async def test_files_are_deleted_only_after_they_were_stored(tmp_path: Path) -> None:
    sink = Sink()
    spool = Spool(tmp_path, sink, lambda ok, detail: None)
    for n in range(3):
        (tmp_path / f"{n}.cdr.json").write_bytes(cdr(VARIABLES | {"uuid": f"leg-{n}"}))
    (tmp_path / "note.txt").write_text("not ours")
    sink.away = True
    with pytest.raises(StoreUnavailable):
        await spool.empty()
    assert len(names(tmp_path)) == 4
    sink.away = False
    assert await spool.empty() == 3
    assert sorted(leg.leg_id for leg in sink.legs) == ["leg-0", "leg-1", "leg-2"]
    assert names(tmp_path) == ["note.txt"]


async def test_an_unfinished_file_waits_and_an_old_one_is_set_aside(tmp_path: Path) -> None:
    sink = Sink()
    spool = Spool(tmp_path, sink, lambda ok, detail: None)
    fresh, old = tmp_path / "fresh.cdr.json", tmp_path / "old.cdr.json"
    fresh.write_bytes(cdr()[:100])
    old.write_bytes(b"{")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    assert await spool.empty() == 0
    assert fresh.exists()
    assert names(tmp_path / "bad") == ["old.cdr.json"]
    fresh.write_bytes(cdr())
    assert await spool.empty() == 1


async def test_a_file_whose_values_are_refused_is_set_aside(tmp_path: Path) -> None:
    sink = Sink()
    sink.refused = [parse(cdr(VARIABLES | {"uuid": "leg-1"}))]
    for n in range(3):
        (tmp_path / f"{n}.cdr.json").write_bytes(cdr(VARIABLES | {"uuid": f"leg-{n}"}))
    assert await Spool(tmp_path, sink, lambda ok, detail: None).empty() == 3
    assert names(tmp_path) == ["bad"]
    assert names(tmp_path / "bad") == ["1.cdr.json"]


async def test_the_buffer_keeps_what_was_not_confirmed() -> None:
    sink = Sink()
    buffer = LegBuffer(sink, capacity=3)
    for n in range(5):
        buffer.add(Leg(leg_id=str(n), source="socket"))
    sink.away = True
    with pytest.raises(StoreUnavailable):
        await buffer.flush()
    assert len(buffer) == 3
    sink.away = False
    await buffer.flush()
    assert [leg.leg_id for leg in sink.legs] == ["2", "3", "4"]
    assert len(buffer) == 0


async def test_legs_that_come_while_a_batch_is_written_are_written_next() -> None:
    taken: list[str] = []
    done = asyncio.Event()

    async def slow(legs: Sequence[Leg]) -> None:
        taken.extend(leg.leg_id for leg in legs)
        if len(taken) == 1:
            buffer.add(Leg(leg_id="second", source="socket"))
        else:
            done.set()

    buffer = LegBuffer(slow, linger_s=0)
    task = asyncio.create_task(buffer.run())
    buffer.add(Leg(leg_id="first", source="socket"))
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    assert taken == ["first", "second"]


@pytest.mark.parametrize(
    ("variables", "tenant"),
    [
        ({"cc_entry": "1000"}, "acme"),
        ({"cc_entry": "999"}, "first"),
        ({"cc_entry": "*22", "cc_agent_ext": "1001"}, "acme"),
        ({"cc_entry": "*22", "cc_agent_ext": "7"}, "-"),
        ({"cc_entry": "1000", "cc_tenant": "other"}, "other"),
        ({"dialed_user": "1001"}, "acme"),
        ({"user_name": "1001"}, "acme"),
        ({"user_name": "7"}, "-"),
        ({}, "-"),
    ],
)
def test_a_leg_without_a_tenant_goes_to_whom_its_number_belongs(
    variables: dict[str, str], tenant: str
) -> None:
    directory = Directory(entry_points={"1000": "acme"}, extensions={"1001": "acme"}, default="first")
    assert claim(leg_of("socket", Profile(leg_id="x"), variables), directory).tenant == tenant


def test_a_line_that_went_on_at_another_node_is_not_the_contacts_end_and_the_leg_it_went_on_on_is() -> None:
    moved = VARIABLES | {"cc_state": "leaving", "cc_move": "fs2", "hangup_cause": "BLIND_TRANSFER"}
    left = leg_of("spool", Profile(leg_id=CONTACT), moved)
    assert (left.role, [row.table for row in rows_of_leg(left)]) == ("caller", ["legs"])
    later = VARIABLES | {
        "uuid": "leg-2",
        "direction": "outbound",
        "cc_arrived": "fs2-1795296079812",
        "cc_move": "",
    }
    went_on = leg_of("spool", Profile(leg_id="leg-2"), later)
    assert (went_on.role, went_on.contact_id) == ("caller", CONTACT)
    assert [row.table for row in rows_of_leg(went_on)] == ["legs", "contacts"]
    stays = leg_of("spool", Profile(leg_id=CONTACT), VARIABLES | {"cc_move": "fs2"})
    assert [row.table for row in rows_of_leg(stays)] == ["legs", "contacts"], "it hung up here"


@pytest.mark.parametrize(
    ("variance", "flaws", "packets", "jitter_us", "loss_ppm"),
    [
        ("0.00", "0", "46", 0, 0),
        ("216.31", "0", "46", 14_707, 0),
        ("20.65", "5", "95", 4_544, 50_000),
        ("nan", "x", "", 0, 0),
        ("-1", "3", "0", 0, 1_000_000),
        ("1e999", "1", "999999", 0, 1),
    ],
)
def test_the_quality_of_a_leg_is_what_the_switch_measured(
    variance: str, flaws: str, packets: str, jitter_us: int, loss_ppm: int
) -> None:
    """Values of the recorded event sockets, and those that no switch should write."""
    leg = leg_of(
        "socket",
        Profile(leg_id=CONTACT),
        {
            "rtp_audio_in_jitter_max_variance": variance,
            "rtp_audio_in_flaw_total": flaws,
            "rtp_audio_in_media_packet_count": packets,
            "rtp_audio_in_skip_packet_count": "40",
        },
    )
    assert (leg.jitter_us, leg.packet_loss_ppm) == (jitter_us, loss_ppm)
