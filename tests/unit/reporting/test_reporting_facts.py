"""The structs of facts and the messages in proto/ are the same, field by field."""

from __future__ import annotations

import typing

import msgspec
import pytest

from services.common.bus import Envelope, codec
from services.contracts.registry import TYPES
from services.reporting.adapters.bus import placed_facts
from services.reporting.core import facts as f
from services.reporting.core.rows import rows_of
from services.reporting.core.tables import COLUMNS

PACKAGES = ("peyvand.ivr.v1.", "peyvand.queue.v1.", "peyvand.recording.v1.", "peyvand.reporting.v1.")
PARTS = {"peyvand.reporting.v1.Mark"}
FACT_MESSAGES = sorted(
    name
    for name in TYPES
    if (name.startswith(PACKAGES) and "rpc.proto" not in TYPES[name].DESCRIPTOR.file.name)
    or name in {f"peyvand.routing.v1.{kind.__name__}" for kind in typing.get_args(f.RoutingFact)}
)


@pytest.mark.parametrize("name", FACT_MESSAGES)
def test_a_struct_has_every_field_of_its_message(name: str) -> None:
    struct = getattr(f, name.rpartition(".")[2])
    assert set(struct.__struct_fields__) == {field.name for field in TYPES[name].DESCRIPTOR.fields}


def test_every_alternative_of_the_routing_log_is_known() -> None:
    alternatives = {field.message_type.name for field in TYPES["peyvand.routing.v1.Fact"].DESCRIPTOR.fields}
    assert alternatives == {kind.__name__ for kind in typing.get_args(f.RoutingFact)}
    assert {kind.__name__ for kind in f.OBSERVATIONS} == {
        name.rpartition(".")[2] for name in FACT_MESSAGES if name.startswith(PACKAGES) and name not in PARTS
    }


def envelope(subject: str, kind: str, data: bytes) -> Envelope:
    return Envelope(
        id="m1", type=kind, time_us=5, source="/x/1", tenant="header", correlation_id="c", causation_id="cause",
        subject=subject, stream_seq=9, data=data, stream="CC_ROUTING",
    )  # fmt: skip


ROUTING = "cc.v1.evt.demo.routing.log.decided"


def decided(entry: f.Decided) -> Envelope:
    kind = TYPES["peyvand.routing.v1.Decided"]
    return envelope(ROUTING, "peyvand.routing.v1.Decided", codec.to_proto(entry, kind))


def test_an_entry_of_the_log_becomes_a_fact_each() -> None:
    queued = f.ContactQueued(contact_id="c1", queue="sales", waiting_since_us=3)
    offered = f.OfferMade(
        offer_id="o1", contact_id="c1", agent_id="sara", extension="1001", queue="sales", node="fs1", ring_ms=1,
        why=f.Explanation(rule="longest_idle", excluded=(f.Excluded(reason="busy", count=2),)),
    )  # fmt: skip
    placed = placed_facts(
        decided(f.Decided(epoch=1, at_us=77, input_id="in", facts=(queued, offered), revision="r"))
    )
    assert [(p.id, p.idx, p.type, p.tenant, p.at_us) for p in placed] == [
        ("m1.0", 0, "peyvand.routing.v1.ContactQueued", "demo", 77),
        ("m1.1", 1, "peyvand.routing.v1.OfferMade", "demo", 77),
    ]
    assert placed[1].fact == offered
    payload = rows_of(placed[1])[0].values[COLUMNS["facts"].index("payload")]
    assert msgspec.json.decode(payload, type=f.OfferMade) == offered


@pytest.mark.parametrize(
    ("subject", "kind", "data"),
    [
        ("cc.v1.evt.demo.queue.contact.dreamt", "peyvand.queue.v1.ContactDreamt", b"\x01\x02"),
        ("cc.v1.evt.demo.queue.contact.waiting", "peyvand.queue.v1.ContactWaiting", b"\xff\xff\xff"),
        ("cc.v1.evt.demo.queue.contact.waiting", "peyvand.queue.v1.ContactWaiting", b""),
        (ROUTING, "peyvand.routing.v1.Decided", b"\xff"),
    ],
)
def test_what_cannot_be_read_is_kept_as_it_came(subject: str, kind: str, data: bytes) -> None:
    (placed,) = placed_facts(envelope(subject, kind, data))
    assert isinstance(placed.fact, f.Unread)
    assert placed.fact.data_hex == data.hex()
    assert (placed.id, placed.type, placed.tenant, placed.contact_id) == ("m1", kind, "demo", "c")
    assert [row.table for row in rows_of(placed)] == ["facts"]


def test_an_unknown_kind_in_the_log_keeps_the_places_of_the_others() -> None:
    known = f.NodeChanged(node="fs1", up=True)
    message = codec.fill(
        f.Decided(epoch=1, at_us=7, facts=(known, known)), TYPES["peyvand.routing.v1.Decided"]
    )
    message.facts[0].Clear()  # type: ignore[attr-defined]  # as if its member had a number of the future
    placed = placed_facts(envelope(ROUTING, "peyvand.routing.v1.Decided", message.SerializeToString()))
    assert [type(p.fact) for p in placed] == [f.Unread, f.NodeChanged]
    assert [p.id for p in placed] == ["m1.0", "m1.1"]


IVR = "cc.v1.evt.demo.ivr.contact."


def told(message: msgspec.Struct) -> list[f.Placed]:
    """What reporting makes of a message of ivr."""
    kind = f"peyvand.ivr.v1.{type(message).__name__}"
    return placed_facts(envelope(IVR + "ended", kind, codec.to_proto(message, TYPES[kind])))


STEPS = (
    f.IvrStepTaken(
        contact_id="c1", step_no=1, flow="main", flow_version=3, flow_node="menu", kind="menu", input="2",
        result="digit:2", entered_at_us=1_000, spent_ms=4, at_us=5_000,
    ),
    f.IvrStepTaken(contact_id="c1", step_no=2, flow_node="bye", kind="play", result="hung_up", spent_ms=2, at_us=7_000),
)  # fmt: skip


def test_steps_told_with_the_end_are_facts_of_their_own_in_front_of_it() -> None:
    ended = f.IvrEnded(contact_id="c1", outcome="hung_up", at_us=7_000, steps=STEPS)
    placed = told(ended)
    assert [(p.id, p.idx, p.type.rpartition(".")[2], p.at_us) for p in placed] == [
        ("m1.0", 0, "IvrStepTaken", 5_000),
        ("m1.1", 1, "IvrStepTaken", 7_000),
        ("m1", 2, "IvrEnded", 7_000),
    ]
    assert {p.contact_id for p in placed} == {"c1"}
    assert placed[2].fact == msgspec.structs.replace(ended, steps=()), "nothing is kept twice"
    rows = [row for p in placed for row in rows_of(p) if row.table == "ivr_steps"]
    columns = ("step_no", "flow", "flow_version", "flow_node", "entered_at", "input", "result", "spent_ms")
    assert [tuple(row.values[COLUMNS["ivr_steps"].index(c)] for c in columns) for row in rows] == [
        (1, "main", 3, "menu", 1_000, "2", "digit:2", 4),
        (2, "", 0, "bye", 5_000, "", "hung_up", 2),
    ]


def test_steps_of_a_call_that_goes_on_are_nothing_but_steps() -> None:
    placed = told(f.IvrStepsTaken(contact_id="c1", steps=STEPS, at_us=7_000))
    assert [p.id for p in placed] == ["m1.0", "m1.1"]
    assert [p.fact for p in placed] == list(STEPS)


def test_a_step_that_makes_no_sense_does_not_hide_how_the_call_ended() -> None:
    absurd = msgspec.structs.replace(STEPS[0], entered_at_us=2**60)
    placed = told(f.ContactHandedOver(contact_id="c1", queue="sales", at_us=9_000, steps=(absurd, STEPS[1])))
    assert [type(p.fact) for p in placed] == [f.Unread, f.IvrStepTaken, f.ContactHandedOver]
    assert all(p.contact_id == "c1" and rows_of(p) for p in placed)


def test_a_revision_of_the_center_has_no_hash_of_a_pin() -> None:
    kind = "peyvand.center.v1.CenterRevised"
    revised = TYPES[kind](
        number=4, revision="1f0c3a9b7d52", kind="edited", actor="admin:maryam", document=b"pin: scrypt$1", at_us=9,
        changes=[
            {"path": "agents.sara.pin", "before": "", "after": '"scrypt$14$8$1$c2FsdA==$aGFzaA=="'},
            {"path": "agents.omid", "before": '{"name": "Omid", "pin": "scrypt$14$8$1$c2FsdA=…', "after": ""},
        ],
    )  # type: ignore[call-arg]  # fmt: skip
    subject = "cc.v1.evt.demo.center.document.revised"
    (placed,) = placed_facts(envelope(subject, kind, revised.SerializeToString()))
    rows = {row.table: dict(zip(COLUMNS[row.table], row.values, strict=True)) for row in rows_of(placed)}
    assert "scrypt" not in repr(rows)
    assert rows["center_revisions"]["changes"] == [
        ("agents.sara.pin", "", '"(secret)"'),
        ("agents.omid", '{"name": "Omid", "pin": "(secret)', ""),
    ]
    assert (rows["center_revisions"]["number"], rows["facts"]["revision"]) == (4, "1f0c3a9b7d52")


def test_of_two_conversations_the_first_wait_and_the_last_agent_count() -> None:
    rows = []
    for seq, (agent, wait_ms) in enumerate([("sara", 0), ("omid", 9000)], start=1):
        connected = f.ContactConnected(
            contact_id="c",
            offer_id=f"o-{agent}",
            agent_id=agent,
            queue="sales",
            wait_ms=wait_ms,
            connected_at_us=seq,
        )
        placed = f.Placed(
            id=str(seq), stream="CC_ROUTING", seq=seq, idx=0, type="t", tenant="demo", contact_id="c", at_us=seq,
            fact=connected,
        )  # fmt: skip
        rows += [row for row in rows_of(placed) if row.table == "contacts"]
    for name, expected in (("agent_id", "omid"), ("answer_wait_ms", 0), ("connected_at_us", 1)):
        at = COLUMNS["contacts"].index(name)
        assert max(row.values[at] for row in rows)[1] == expected, name


@pytest.mark.parametrize(
    ("queued", "start"),
    [
        (f.ContactQueued(contact_id="c", queue="sales", waiting_since_us=1, channel="chat"), "chat"),
        (f.ContactQueued(contact_id="c", queue="sales", waiting_since_us=1, callback_id="b"), "callback"),
        (f.ContactQueued(contact_id="c", queue="sales", waiting_since_us=1), "queue"),
    ],
)
def test_the_start_of_a_contact_tells_its_channel(queued: f.ContactQueued, start: str) -> None:
    """The sums of the books leave out what no caller began; see ``sql``."""
    (placed,) = placed_facts(decided(f.Decided(epoch=1, at_us=1, facts=(queued,))))
    card = next(row for row in rows_of(placed) if row.table == "contacts")
    assert card.values[COLUMNS["contacts"].index("start")][1] == start
