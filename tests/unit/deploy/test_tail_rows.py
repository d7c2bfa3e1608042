"""`make tail`: how messages become rows, which rows are wanted, and what a person or jq sees of them."""

from __future__ import annotations

import argparse
import asyncio
import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.protoc import PROTO
from deploy.dev.tail import Merge, Start, patterns_of, read_start, read_where
from deploy.dev.tail_rows import Criteria, Row, long, plain, rows, short, to_json
from services.common.bus import Envelope, subjects
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from services.contracts.peyvand.routing.v1.log_pb2 import Decided, Fact, OfferMade
from services.contracts.registry import TYPES

CONTACT = "3f2a9c1e-7b64-4d0a-9a53-0c6f5d2e8b11"
NOON_US = 1_795_262_400_000_000
GONE = subjects.fact("demo", "queue", "contact", "gone")


def told(
    data: bytes = b"",
    kind: str = "peyvand.queue.v1.ContactGone",
    *,
    subject: str = GONE,
    tenant: str = "demo",
    time_us: int = NOON_US,
    note: str = "",
    contact: str = CONTACT,
) -> Envelope:
    return Envelope(
        "id-1", kind, time_us, "/queue/1", tenant, contact, "cause-1", subject, 7, data, "CC_EVENTS", 1, note
    )


def gone(**fields: object) -> Envelope:
    message = ContactGone(contact_id=CONTACT, state="waiting", cause="NORMAL CLEARING", at_us=NOON_US)
    return told(message.SerializeToString(), **fields)  # type: ignore[arg-type]


def decided(*, agents: tuple[str, ...] = ("sara", "ali")) -> Envelope:
    entry = Decided(epoch=4, at_us=NOON_US, input_id="in-1")
    for number, agent in enumerate(agents):
        made = entry.facts.add().offer_made
        made.CopyFrom(OfferMade(offer_id=f"o-{number}", contact_id=f"{number}-{CONTACT}", agent_id=agent))
        made.extension, made.queue, made.node, made.ring_ms = f"100{number}", "sales", "fs1", 15000
        made.why.rule = "longest_idle"
    return told(entry.SerializeToString(), "peyvand.routing.v1.Decided", subject=subjects.log("demo"))


def line_of(envelope: Envelope) -> str:
    [row] = rows(envelope)
    return short(row).plain


def test_tail_line_begins_with_who_and_what_and_shortens_the_rest() -> None:
    line = line_of(gone())
    assert line.split()[1:6] == ["demo", "queue", CONTACT[:8], "ContactGone", "state=waiting"]
    assert line.endswith("state=waiting cause='NORMAL CLEARING'")  # its at_us is the line's own time


def test_tail_shows_the_facts_of_a_log_entry_one_by_one() -> None:
    found = list(rows(decided()))
    assert [(r.name, r.index, r.contact[:2]) for r in found] == [
        ("OfferMade", 0, "0-"),
        ("OfferMade", 1, "1-"),
    ]
    assert "queue=sales agent=sara extension=1000 offer=o-0" in short(found[0]).plain
    assert "ring=15.0s" in short(found[0]).plain


@pytest.mark.parametrize(
    ("criteria", "agents"),
    [
        (Criteria(), ["sara", "ali"]),
        (Criteria(tenant="demo", service="routing", kinds=("evt",)), ["sara", "ali"]),
        (Criteria(tenant="other"), []),
        (Criteria(service="queue"), []),
        (Criteria(kinds=("dead", "live")), []),
        (Criteria(contact=f"1-{CONTACT[:4]}"), ["ali"]),
        (Criteria(agent="sara"), ["sara"]),
        (Criteria(agent="1001"), ["ali"]),
        (Criteria(agent="s*"), ["sara"]),
        (Criteria(queue="sales"), ["sara", "ali"]),
        (Criteria(queue="support"), []),
        (Criteria(types=("offer",)), ["sara", "ali"]),
        (Criteria(types=("Offer?ade",)), ["sara", "ali"]),
        (Criteria(types=("Made*",)), []),
        (Criteria(types=("Wrap*", "*Made")), ["sara", "ali"]),
        (Criteria(where=(("why.rule", "longest_*"),)), ["sara", "ali"]),
        (Criteria(where=(("why.rule", "longest_*"), ("extension", "1000"))), ["sara"]),
        (Criteria(where=(("no.such", "*"),)), []),
    ],
)
def test_tail_filters(criteria: Criteria, agents: list[str]) -> None:
    wanted = [r for r in rows(decided()) if criteria.wants(r)]
    assert [plain(r.message)["agent_id"] for r in wanted if r.message] == agents


def test_tail_shows_what_a_newer_version_says_instead_of_failing() -> None:
    assert "! unknown message type 'peyvand.queue.v9.Strange'" in line_of(
        told(b"x", "peyvand.queue.v9.Strange")
    )
    assert "bytes are no such message" in line_of(told(b"\xff\xff"))
    assert "(no type)" in line_of(told(b"", ""))

    newer_field = b"\xf2\x3f\x02hi"  # field 1022, two bytes of text
    message = ContactGone(contact_id=CONTACT, state="waiting", at_us=1).SerializeToString() + newer_field
    assert "state=waiting" in line_of(told(message))
    assert "field 1022 of ContactGone is not known here" in line_of(told(message))

    entry = Decided(epoch=4, at_us=1, facts=[Fact.FromString(newer_field)])
    [row] = rows(told(entry.SerializeToString(), "peyvand.routing.v1.Decided", subject=subjects.log("demo")))
    assert (row.name, row.index) == ("(newer fact)", 0)
    assert "1022" in row.trouble


def test_tail_tells_dead_letters_of_whom_and_why() -> None:
    dead = gone(subject=subjects.dead_letter("reporting", "rejected"), note="CC_EVENTS 7 x: no such queue")
    [row] = rows(dead)
    assert (row.kind, row.service) == ("dead", "reporting")
    assert "DEAD LETTER CC_EVENTS 7 x: no such queue" in short(row).plain
    assert Criteria(kinds=("dead",), service="reporting").wants(row)


def test_tail_json_is_one_object_with_numbers_as_numbers() -> None:
    first, second = (json.loads(to_json(row)) for row in rows(decided()))
    assert first["data"]["ring_ms"] == 15000
    assert (first["id"], second["id"], second["index"], second["epoch"]) == ("id-1.0", "id-1.1", 1, 4)
    assert first["time"] == "2026-11-21T12:00:00.000000Z"
    [unknown] = rows(told(b"\x00\x01", "peyvand.x.v1.Y"))
    assert json.loads(to_json(unknown))["bytes"] == "AAE="


@pytest.mark.parametrize("name", sorted(TYPES))
def test_tail_shows_every_message_of_the_contracts_in_every_form(name: str) -> None:
    message = json_format.Parse((PROTO / "examples" / f"{name}.json").read_text(), TYPES[name]())
    for row in rows(told(message.SerializeToString(), name)):
        assert row.trouble == ""
        assert "\n" not in short(row).plain
        data = json.loads(to_json(row))["data"]
        assert row.message is not None
        assert set(data) == {f.name for f, _ in row.message.ListFields()}
        assert all(f"  {field}" in long(row).plain for field in data)


@given(
    data=st.binary(max_size=60),
    kind=st.sampled_from([*TYPES, "", "x.y"]),
    texts=st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20)),
    subject=st.sampled_from([GONE, subjects.log("demo"), "cc.dlq.a.b", "cc", "other.subject"]),
    time_us=st.integers(-(2**63), 2**63 - 1),
)
def test_tail_survives_anything_and_nothing_drives_the_terminal(
    data: bytes, kind: str, texts: tuple[str, str, str], subject: str, time_us: int
) -> None:
    tenant, contact, note = texts
    hostile = told(data, kind, subject=subject, tenant=tenant, contact=contact, note=note, time_us=time_us)
    for row in rows(hostile):
        assert short(row).plain.isprintable()
        assert long(row).plain.replace("\n", "").isprintable()
        json.loads(to_json(row))
        Criteria(agent="x", queue="y").wants(row)


def test_tail_reads_where_to_begin() -> None:
    assert read_start("10m") == Start(ago_s=600)
    assert read_start("1.5h") == Start(ago_s=5400)
    assert read_start("CC_ROUTING:12") == Start(stream="CC_ROUTING", after_seq=11)
    for wrong in ("10", "m", "CC_EVENTS:0", "CC_LEASE:4", "CC_EVENTS:", "-5m"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a duration"):
            read_start(wrong)
    assert read_where("a.b=c=d") == ("a.b", "c=d")
    with pytest.raises(argparse.ArgumentTypeError, match="FIELD=VALUE"):
        read_where("=x")


def test_tail_never_listens_where_somebody_asks_who_is_there() -> None:
    for kinds in (("evt",), ("dead",), ("evt", "live", "dead")):
        for pattern in patterns_of(Criteria(kinds=kinds)):
            assert subjects.intersection(pattern, "cc.v1.rpc.>") == ""
            assert subjects.intersection(pattern, "cc.alive.>") == ""
    assert patterns_of(Criteria(tenant="demo", service="queue", kinds=("evt",))) == [
        "cc.v1.evt.demo.queue.*.*"
    ]


async def test_tail_shows_several_streams_in_one_order() -> None:
    shown: asyncio.Queue[int] = asyncio.Queue()
    merge = Merge(["a", "b"], lambda row: shown.put_nowait(row.envelope.time_us))

    def row(time_us: int) -> Row:
        [made] = rows(gone(time_us=time_us))
        return made

    running = asyncio.create_task(merge.run())
    try:
        for time_us in (10, 30, 50):
            await merge.put("a", row(time_us))
        await asyncio.sleep(0)
        assert shown.empty()  # b may still have something earlier
        for time_us in (20, 40):
            await merge.put("b", row(time_us))
        assert [await asyncio.wait_for(shown.get(), 5) for _ in range(5)] == [10, 20, 30, 40, 50]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
