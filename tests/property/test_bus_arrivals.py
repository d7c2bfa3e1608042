"""Messages are cut out of the stream of bytes as nats-py does it, wherever the reads happen to end; envelopes are the same by both ways."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from services.common.bus import Envelope, Letter
from services.common.bus.arrival import Arrival, DirectParser, place_of
from services.common.bus.headers import from_headers, parse_block, stored_envelope, to_headers


class Told:
    """A client that only writes down what its parser tells it."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def _process_msg(self, sid: int, subject: Any, reply: Any, data: Any, headers: Any) -> None:
        self.heard.append((sid, bytes(subject), bytes(reply), bytes(data), headers and bytes(headers)))

    async def _process_ping(self) -> None:
        self.heard.append("ping")

    async def _process_pong(self) -> None:
        self.heard.append("pong")

    async def _process_err(self, reason: str) -> None:
        self.heard.append(reason)

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.heard.append(info)


TOKENS = st.text("abc.$-0", min_size=1, max_size=8).map(str.encode)


@st.composite
def frames(draw: Any) -> bytes:
    kind = draw(st.sampled_from(["msg", "msg", "msg", "control"]))
    if kind == "control":
        return bytes(
            draw(
                st.sampled_from(
                    [b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'slow'\r\n", b'INFO {"a":1}\r\n']
                )
            )
        )
    subject, reply, data = draw(TOKENS), draw(st.none() | TOKENS), draw(st.binary(max_size=30))
    head = draw(st.sampled_from([b"", b"NATS/1.0\r\nce-id: x\r\n\r\n", b"NATS/1.0 404 No Messages\r\n\r\n"]))
    words = [b"HMSG" if head else b"MSG", subject, str(draw(st.integers(1, 3))).encode()]
    words += [reply] if reply else []
    words += [str(len(head)).encode()] if head else []
    return b" ".join([*words, str(len(head) + len(data)).encode()]) + b"\r\n" + head + data + b"\r\n"


def told(parser: Parser, parts: list[bytes]) -> None:
    async def run() -> None:
        for part in parts:
            await parser.parse(part)

    asyncio.run(run())


@given(st.lists(frames(), max_size=6), st.data())
def test_whatever_the_reads_are_the_messages_are_those_of_nats_py(given_: list[bytes], data: Any) -> None:
    whole = b"".join(given_)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    theirs, ours = Told(), Told()
    told(Parser(theirs), [whole])
    told(DirectParser(ours), parts)
    assert ours.heard == theirs.heard
    direct = Told()
    parser = DirectParser(direct)
    parser.direct[2] = direct.heard.append
    told(parser, parts)
    straight = [h for h in theirs.heard if isinstance(h, tuple) and h[0] == 2]
    arrived = [a for a in direct.heard if isinstance(a, Arrival)]
    assert [(2, a.subject, a.reply, a.data, a.headers or None) for a in arrived] == straight


@pytest.mark.parametrize(
    "broken", [b"HMSG a 1 x 5\r\nabcde\r\n", b"MSG a\r\n", b"HELLO\r\n", b"MSG a b 5\r\n", b"\r\n"]
)
def test_what_is_no_protocol_is_an_error(broken: bytes) -> None:
    with pytest.raises(ProtocolError):
        told(DirectParser(Told()), [broken])


def test_a_new_connection_begins_with_nothing_left_of_the_old_one() -> None:
    client = Told()
    parser = DirectParser(client)
    told(parser, [b"MSG a 1 5\r\nab"])
    parser.reset()
    told(parser, [b"PING\r\n"])
    assert client.heard == ["ping"]


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.CC_EVENTS.reporting-events.3.17.12.1795248000123456789.99",
        "$JS.ACK._.hash.CC_EVENTS.reporting-events.3.17.12.1795248000123456789.99.token",
    ],
)
def test_a_place_is_what_nats_py_reads_in_both_forms(reply: str) -> None:
    theirs, ours = Msg.Metadata._from_reply(reply), place_of(reply.encode())
    assert (ours.stream, ours.consumer, ours.deliveries, ours.pending) == (
        theirs.stream, theirs.consumer, theirs.num_delivered, theirs.num_pending,
    )  # fmt: skip
    assert (ours.stream_seq, ours.consumer_seq) == (theirs.sequence.stream, theirs.sequence.consumer)


@pytest.mark.parametrize("reply", [b"", b"_INBOX.a", b"$JS.ACK.a.b.c", b"$JS.FC.a.b.1.2.3.4.5"])
def test_what_is_no_place_is_an_error(reply: bytes) -> None:
    with pytest.raises(ProtocolError):
        place_of(reply)


PLACE = place_of(b"$JS.ACK.S.c.2.17.12.1795248000123456789.99")
TEXTS = st.sampled_from(["", "x", "a b", "50%", "گل", "c1:waiting:0"]) | st.text(max_size=5)
LETTER = Letter(
    "reporting-events", "rejected", "بد", "cc.v1.evt.demo.queue.contact.gone", "S", 3, "x", "/q/1", 5
)


@given(
    id_=TEXTS, source=TEXTS, tenant=st.sampled_from(["", "demo"]), contact=TEXTS, cause=TEXTS, note=TEXTS,
    letter=st.none() | st.just(LETTER), trace=st.sampled_from(["", "00-4bf9-00f0-01"]),
    time_us=st.integers(0, 2**52), stored=st.booleans(), foreign=st.sampled_from([b"", b"x: y\r\n", b"a b\r\n"]),
)  # fmt: skip
def test_an_envelope_is_the_same_whichever_way_its_headers_are_read(
    id_: str, source: str, tenant: str, contact: str, cause: str, note: str, letter: Letter | None, trace: str,
    time_us: int, stored: bool, foreign: bytes,
) -> None:  # fmt: skip
    sent = Envelope(
        id_, "peyvand.queue.v1.ContactGone", time_us, source, tenant, contact, cause,
        "cc.v1.evt.demo.queue.contact.gone", 0, b"data", note=note, letter=letter, traceparent=trace,
    )  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in to_headers(sent, stored=stored).items())
    block = b"NATS/1.0\r\n" + lines.encode() + foreign + b"\r\n"
    subject = sent.subject.encode()
    wanted = from_headers(
        parse_block(block),
        subject=sent.subject,
        data=b"data",
        stream="S",
        stream_seq=17,
        deliveries=2,
    )
    assert stored_envelope(block, subject, b"data", PLACE) == wanted
    if not foreign and not any(text != text.strip() for text in (id_, source, contact, cause, note)):
        back = msgspec.structs.replace(sent, tenant="demo", stream="S", stream_seq=17, deliveries=2)
        assert wanted == back


def test_nothing_at_all_is_an_envelope_of_nothing() -> None:
    assert stored_envelope(b"", b"a.b", b"", PLACE) == from_headers(
        None, subject="a.b", data=b"", stream="S", stream_seq=17, deliveries=2
    )
