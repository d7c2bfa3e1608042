"""Absurd values in events, CDRs and facts: stored as well as they can be, and never in the way of what follows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from prometheus_client import REGISTRY

from services.common import ids
from services.common.bus import Envelope, Reject
from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import StoreUnavailable
from services.common.esl.protocol import Decoder, Event
from services.contracts.registry import TYPES
from services.reporting.adapters import spool
from services.reporting.adapters.legs import leg_of_event
from services.reporting.adapters.writer import Writer
from services.reporting.app import Ingest
from services.reporting.books import Books
from services.reporting.core.legs import Directory, Leg

pytestmark = pytest.mark.clickhouse

ROOT = Path(__file__).parents[2]
ALL_DAYS = "from_day = '1970-01-01', to_day = '2149-06-06'"
AT_US = 1_763_769_600_000_000
VALUES = [
    "", "-1", "0", "9" * 26, "9" * 5000, "1e309", "nan", "-inf", "a\x00b", "\\", "'; DROP TABLE legs; --", "{a=b,c=d}",
    "${system(id)}", "a\r\nb: c", "٣٤", "²", "x" * 100_000, "1.5", "0x10", " 7 ", "\U0001f600", "ARRAY::1|:2", "c/", "a//",
    "c/../../etc/x/y",
]  # fmt: skip
VARIABLES = [
    "presence_data",
    "cc_contact",
    "accountcode",
    "cc_tenant",
    "cc_role",
    "start_uepoch",
    "end_uepoch",
    "answer_uepoch",
    "bridge_uepoch",
    "cc_agent_ext",
    "cc_offer",
    "cc_agent",
    "cc_queue",
    "cc_entry",
    "cc_state",
    "cc_node",
    "direction",
    "mduration",
    "billmsec",
    "hold_accum_ms",
    "hangup_cause",
    "hangup_cause_q850",
    "sip_term_status",
    "sip_hangup_disposition",
    "read_codec",
    "sip_network_ip",
    "sip_user_agent",
    "rtp_audio_in_mos",
    "rtp_audio_in_media_packet_count",
    "rtp_audio_in_skip_packet_count",
]
HEADERS = [
    "Call-Direction", "Caller-Caller-ID-Number", "Caller-Caller-ID-Name", "Caller-Destination-Number",
    "Caller-Channel-Created-Time", "Caller-Channel-Answered-Time", "Caller-Channel-Bridged-Time",
    "Caller-Channel-Hangup-Time", "Hangup-Cause", *(f"variable_{name}" for name in VARIABLES),
]  # fmt: skip


def ingest(store: ServerStore, database: str) -> Ingest:
    return Ingest(Writer(store, database), lambda: Directory(entry_points={}, extensions={}))


def plain(tenant: str, leg: str) -> dict[str, str]:
    return {
        "Unique-ID": leg,
        "variable_cc_tenant": tenant,
        "variable_cc_contact": leg,
        "variable_start_uepoch": str(AT_US),
        "variable_end_uepoch": str(AT_US + 1_000_000),
    }


def hangup(body: bytes) -> Event:
    """The event of a leg's end with this JSON behind its name, as it comes from the socket."""
    text = b'{"Event-Name":"CHANNEL_HANGUP_COMPLETE",' + body[1:]
    (item,) = Decoder().feed(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text))
    assert isinstance(item, Event)
    return item


def ended(headers: dict[str, str]) -> Leg:
    leg = leg_of_event(hangup(json.dumps(headers, separators=(",", ":"), ensure_ascii=False).encode()), "fs1")
    assert leg is not None
    return leg


async def test_legs_with_absurd_values_are_stored(store: ServerStore, store_url: StoreUrl) -> None:
    tenant = f"t{ids.new_id()}"
    legs: list[Leg] = []
    for header in HEADERS:
        for value in VALUES:
            headers = {**plain(tenant, f"leg-{len(legs)}"), header: value}
            variables = {name.removeprefix("variable_"): v for name, v in headers.items()}
            document = {"variables": {**variables, "uuid": f"file-{len(legs)}"}}
            legs += [ended(headers), spool.parse(json.dumps(document).encode())]
    assert await ingest(store, store_url.database).legs(legs) == ()
    rows = await store.query(
        f"SELECT count() AS n, uniqExact(leg_id) AS ids FROM {store_url.database}.v_legs"
    )
    assert rows == [{"n": len(legs), "ids": len(legs)}]
    # Whatever was said about a contact, the views that reports are made of can be read.
    await store.query(f"SELECT * FROM {store_url.database}.v_contacts_between({ALL_DAYS})")


async def test_half_a_character_from_a_phone_costs_nothing(store: ServerStore, store_url: StoreUrl) -> None:
    """Bytes that are no UTF-8, control characters and lone surrogates, as a phone may put them into its name."""
    tenant = f"t{ids.new_id()}"
    body = json.dumps(plain(tenant, "leg-?"), separators=(",", ":"))[:-1].encode()
    for n, name in enumerate((b"\\ud800", b"\xff\xfe", b"\x01\x02", b"\\udc00\\ud800", b"ok \\ud83d\\ude00")):
        text = (
            body.replace(b"leg-?", b"leg-%d" % n)
            + b',"Caller-Caller-ID-Name":"'
            + name
            + b'","Hangup-Cause":"X"}'
        )
        leg = leg_of_event(hangup(text), "fs1")
        assert leg is not None
        assert await ingest(store, store_url.database).legs([leg]) == ()
    legs = await Books(store, tenant, AT_US - 1, AT_US + 1).legs()
    assert len(legs) == 5
    assert "ok \U0001f600" in {leg["caller_name"] for leg in legs}


def absurd(kind: type[Message]) -> Iterator[tuple[FieldDescriptor, Any]]:
    """Each field of a message with each absurd value that the wire format lets through."""
    for field in kind.DESCRIPTOR.fields:
        if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32):
            values: list[Any] = [-1, -(2**31), -(2**63), 2**63 - 1, 2**53 + 1]
        elif field.cpp_type in (FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_UINT32):
            values = [2**64 - 1]
        elif field.type == FieldDescriptor.TYPE_STRING:
            values = ["\x00", "x" * 50_000, "../..", "a b\nc"]
        elif field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            values = [math.nan, math.inf, -1e308]
        else:
            values = []
        yield from ((field, value) for value in values)


def facts() -> Iterator[Message]:
    """Every golden example of a fact, with one field made absurd."""
    for path in sorted((ROOT / "proto" / "examples").glob("*.json")):
        kind = TYPES[path.stem]
        for field, value in absurd(kind):
            message = json_format.Parse(path.read_text(), kind())
            try:
                if field.is_repeated:
                    getattr(message, field.name)[:] = [value]
                else:
                    setattr(message, field.name, value)
            except ValueError:  # too large for 32 bits
                continue
            yield message


def on_the_bus(tenant: str) -> Iterator[Envelope]:
    fact, decided = TYPES["peyvand.routing.v1.Fact"], TYPES["peyvand.routing.v1.Decided"]
    places = {f.message_type.full_name: f.name for f in fact.DESCRIPTOR.fields if f.message_type is not None}
    for n, message in enumerate(facts()):
        name = message.DESCRIPTOR.full_name
        subject = f"cc.v1.evt.{tenant}.{name.split('.')[1]}.x.x"
        if name in places:
            inner: Any = fact()
            getattr(inner, places[name]).CopyFrom(message)
            message = decided(epoch=1, at_us=AT_US, facts=[inner])
        elif name.split(".")[1] not in ("ivr", "queue", "recording") and name != decided.DESCRIPTOR.full_name:
            continue
        yield Envelope(
            id=f"{tenant}-{n}",
            type=message.DESCRIPTOR.full_name,
            time_us=AT_US if n % 3 else -5,
            source="/test/1",
            tenant=tenant,
            correlation_id="c1",
            causation_id="",
            subject=subject,
            stream_seq=n + 1,
            data=message.SerializeToString(),
            stream="CC_EVENTS",
        )


async def test_facts_with_absurd_values_are_kept_and_counted(store: ServerStore, store_url: StoreUrl) -> None:
    tenant = f"t{ids.new_id()}"
    batch = list(on_the_bus(tenant))
    before = REGISTRY.get_sample_value("peyvand_reporting_unread_total") or 0.0
    await ingest(store, store_url.database).facts(batch)
    unread = (REGISTRY.get_sample_value("peyvand_reporting_unread_total") or 0.0) - before
    assert 100 < unread < len(batch)
    rows = await store.query(f"SELECT uniqExact(id) AS n FROM {store_url.database}.facts")
    assert rows[0]["n"] >= len(batch)
    for view in (f"v_contacts_between({ALL_DAYS})", "v_offers", "v_recordings"):
        await store.query(f"SELECT * FROM {store_url.database}.{view}")


async def test_values_that_no_table_takes_are_told_from_a_wrong_schema(
    store: ServerStore, store_url: StoreUrl
) -> None:
    """The first is the message's fault and is put aside; the second is for a person to mend, and everything waits."""
    taken = ingest(store, store_url.database)
    good, bad = (
        Leg(leg_id=name, source="socket", tenant="t", started_at_us=AT_US) for name in ("good", "bad")
    )
    bad = Leg(leg_id="bad", source="socket", tenant="t", started_at_us=AT_US, sip_status=2**70)
    assert await taken.legs([good, bad]) == [bad]
    rows = await store.query(f"SELECT leg_id FROM {store_url.database}.v_legs")
    assert rows == [{"leg_id": "good"}]

    class Unfit(Writer):
        async def write_groups(self, groups: Any) -> None:
            await store.insert(f"{store_url.database}.facts", ("seq",), [("no number",)], token="x")

    with pytest.raises(Reject, match="do not fit"):
        await Ingest(Unfit(store, "x"), lambda: Directory(entry_points={}, extensions={})).facts([])
    await store.command(f"DROP TABLE {store_url.database}.legs SYNC")
    with pytest.raises(StoreUnavailable, match=r"code 60"):
        await taken.legs([good])


async def test_a_caller_who_left_while_nobody_looked_is_abandoned_by_the_record_of_the_leg(
    store: ServerStore, store_url: StoreUrl
) -> None:
    tenant = f"t{ids.new_id()}"
    kinds = TYPES["peyvand.routing.v1.Fact"], TYPES["peyvand.routing.v1.Decided"]
    contacts = {"waited": "waiting", "talked": "talking", "unknown": ""}
    taken = ingest(store, store_url.database)
    for n, (contact, state) in enumerate(contacts.items()):
        inner: Any = kinds[0]()
        inner.contact_closed.contact_id = contact
        inner.contact_closed.queue = "sales"
        inner.contact_closed.outcome = "ended_unseen"
        inner.contact_closed.cause = "UNSEEN"
        inner.contact_closed.waiting_since_us = AT_US
        entry = kinds[1](epoch=1, at_us=AT_US + 1, facts=[inner])
        await taken.facts(
            [Envelope(f"d{n}", entry.DESCRIPTOR.full_name, AT_US, "/x/1", tenant, contact, "", f"cc.v1.evt.{tenant}.routing.log.decided", n + 1, entry.SerializeToString(), "CC_ROUTING")]
        )  # fmt: skip
        if state:
            headers = {
                **plain(tenant, contact),
                "variable_cc_state": state,
                "Hangup-Cause": "NORMAL_CLEARING",
            }
            await taken.legs([ended(headers)])
    rows = {
        row["contact_id"]: row
        for row in await store.query(f"SELECT * FROM {store_url.database}.v_contacts_between({ALL_DAYS})")
    }
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "waited": "abandoned", "talked": "ended_unseen", "unknown": "ended_unseen",
    }  # fmt: skip
    assert rows["waited"]["cause"] == "NORMAL_CLEARING"
    assert rows["unknown"]["cause"] == "UNSEEN"
