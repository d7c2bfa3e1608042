"""Structs to protobuf and back, subjects and headers: what goes in comes out."""

from __future__ import annotations

import enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.bus import Envelope, codec, subjects
from services.common.bus.headers import from_headers, from_rfc3339, parse_block, rfc3339, to_headers
from services.common.errors import DecodeError
from services.contracts.peyvand.routing.v1 import log_pb2

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORD = TEXT.filter(bool)
INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
TOKEN = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


class Outcome(enum.Enum):
    ACCEPTED = "accepted"
    BUSY = "busy"


class Excluded(msgspec.Struct, frozen=True):
    reason: str
    count: int = 0


class Explanation(msgspec.Struct, frozen=True):
    rule: str = ""
    next_best: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()


class OfferMade(msgspec.Struct, frozen=True):
    offer_id: str
    contact_id: str
    agent_id: str
    extension: str
    queue: str
    node: str
    ring_ms: int
    waited_ms: int = 0
    why: Explanation | None = None


class OfferEnded(msgspec.Struct, frozen=True):
    offer_id: str
    contact_id: str
    agent_id: str
    outcome: Outcome


class Decided(msgspec.Struct, frozen=True):
    epoch: int
    at_us: int
    input_id: str = ""
    facts: tuple[OfferMade | OfferEnded | None, ...] = ()


EXPLANATION = st.builds(
    Explanation,
    TEXT,
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(st.builds(Excluded, WORD, INT32), max_size=3).map(tuple),
)
OFFER_MADE = st.builds(
    OfferMade, WORD, WORD, WORD, WORD, WORD, WORD, INT32.filter(bool), INT64, st.none() | EXPLANATION
)
OFFER_ENDED = st.builds(OfferEnded, WORD, WORD, WORD, st.sampled_from(Outcome))
DECIDED = st.builds(
    Decided,
    INT64.filter(bool),
    INT64.filter(bool),
    TEXT,
    st.lists(OFFER_MADE | OFFER_ENDED, max_size=4).map(tuple),
)


@given(DECIDED)
def test_bus_codec_brings_structs_back(value: Decided) -> None:
    data = codec.to_proto(value, log_pb2.Decided)
    assert codec.from_proto(data, log_pb2.Decided, Decided) == value


@given(st.binary(max_size=60))
def test_bus_codec_refuses_bytes_with_one_kind_of_error(data: bytes) -> None:
    try:
        decoded = codec.from_proto(data, log_pb2.Decided, Decided)
    except DecodeError:
        return
    assert decoded.epoch
    assert decoded.at_us


def test_bus_codec_keeps_the_place_of_an_unknown_alternative() -> None:
    message = log_pb2.Decided(epoch=1, at_us=2)
    message.facts.add().offer_ended.CopyFrom(
        log_pb2.OfferEnded(offer_id="o", contact_id="c", agent_id="a", outcome="busy")
    )
    message.facts.add().owner_changed.CopyFrom(log_pb2.OwnerChanged(owner="x", epoch=1))
    message.facts.add()  # what a newer sender's alternative looks like here
    decoded = codec.from_proto(message.SerializeToString(), log_pb2.Decided, Decided)
    assert decoded.facts == (OfferEnded("o", "c", "a", Outcome.BUSY), None, None)


def test_bus_codec_names_the_missing_field_inside() -> None:
    message = log_pb2.Decided(epoch=1, at_us=2)
    message.facts.add().offer_ended.CopyFrom(log_pb2.OfferEnded(offer_id="o", contact_id="c", outcome="busy"))
    with pytest.raises(DecodeError, match=r"facts\[0\]\.offer_ended\.agent_id is empty"):
        codec.from_proto(message.SerializeToString(), log_pb2.Decided, Decided)


def test_bus_codec_refuses_a_value_that_an_enum_does_not_know() -> None:
    message = log_pb2.OfferEnded(offer_id="o", contact_id="c", agent_id="a", outcome="vanished")
    with pytest.raises(DecodeError, match="'vanished' is no Outcome"):
        codec.from_proto(message.SerializeToString(), log_pb2.OfferEnded, OfferEnded)


class Strange(msgspec.Struct, frozen=True):
    offer_id: str
    colour: str = ""


def test_bus_codec_refuses_a_struct_that_does_not_fit() -> None:
    with pytest.raises(TypeError, match=r"no field for Strange\.colour"):
        codec.to_proto(Strange("o", "red"), log_pb2.OfferEnded)


@given(TOKEN, TOKEN, TOKEN, TOKEN)
def test_bus_subjects_are_parsed_as_they_are_built(tenant: str, service: str, entity: str, what: str) -> None:
    for build, kind in (
        (subjects.fact, "evt"),
        (subjects.rpc, "rpc"),
        (subjects.live, "live"),
        (subjects.snapshot, "snap"),
    ):
        subject = build(tenant, service, entity, what)
        parsed = subjects.parse(subject)
        assert (parsed.kind, parsed.tenant, parsed.service) == (kind, tenant, service)
        assert (parsed.entity, parsed.what) == (entity, what)
        assert str(parsed) == subject
        assert subjects.tenant_of(subject) == tenant


PATTERN = st.lists(st.sampled_from(["cc", "v1", "a", "b", "*"]), min_size=1, max_size=4).flatmap(
    lambda tokens: st.sampled_from([".".join(tokens), ".".join([*tokens, ">"])])
)
SUBJECT = st.lists(st.sampled_from(["cc", "v1", "a", "b"]), min_size=1, max_size=5).map(".".join)


@given(PATTERN, PATTERN, SUBJECT)
def test_bus_pattern_algebra_agrees_with_matching(one: str, other: str, subject: str) -> None:
    both = subjects.matches(one, subject) and subjects.matches(other, subject)
    common = subjects.intersection(one, other)
    assert (bool(common) and subjects.matches(common, subject)) == both
    if subjects.covers(one, other) and subjects.matches(other, subject):
        assert subjects.matches(one, subject)


@given(st.integers(0, 253402300799_999999))
def test_bus_times_survive_their_text(time_us: int) -> None:
    assert from_rfc3339(rfc3339(time_us)) == time_us


LINE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(LINE, LINE, LINE, LINE, LINE, st.booleans())
def test_bus_envelopes_survive_their_headers(
    fact_id: str, source: str, contact: str, cause: str, note: str, stored: bool
) -> None:
    envelope = Envelope(
        id=fact_id,
        type="peyvand.queue.v1.ContactGone",
        time_us=1_700_000_000_000_001,
        source=source,
        tenant="demo",
        correlation_id=contact,
        causation_id=cause,
        subject="cc.v1.evt.demo.queue.contact.gone",
        stream_seq=7,
        data=b"x",
        stream="CC_EVENTS",
        note=note,
    )
    headers = to_headers(envelope, stored=stored)
    block = "NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    assert block.isascii()
    place = {"subject": envelope.subject, "data": b"x", "stream": "CC_EVENTS", "stream_seq": 7}
    assert from_headers(headers, **place) == envelope  # type: ignore[arg-type]
    assert from_headers(parse_block(block.encode()), **place) == envelope  # type: ignore[arg-type]
