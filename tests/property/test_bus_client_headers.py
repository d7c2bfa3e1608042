"""Our client writes and reads headers as nats-py does, byte for byte."""

from __future__ import annotations

import asyncio
from typing import Any

import nats.errors
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from services.common.bus.client import LeanClient

NAMES = st.sampled_from(["ce-id", "Nats-Msg-Id", "x", "a b", "", " ce-id ", "é", "a:b", "a\r\nb"]) | st.text(
    max_size=6
)
VALUES = st.text(max_size=12) | st.sampled_from(
    ["", " x ", "a\r\nNats-Msg-Id: b", "a\nb", "گل", "\x85", "\u2028"]
)


def sent(kind: type[Client], subject: str, headers: dict[str, str] | None, payload: bytes) -> Any:
    """What the client would write, or the error that it raises."""
    written: list[bytes] = []

    async def keep(command: bytes) -> None:
        written.append(bytes(command))

    async def run() -> None:
        client = kind()
        client._send_command = keep  # type: ignore[method-assign]
        await client._send_publish(subject, "_INBOX.1", payload, len(payload), headers)

    try:
        asyncio.run(run())
    except (nats.errors.Error, UnicodeError) as e:
        return type(e), str(e)
    return written


@given(
    headers=st.none() | st.dictionaries(NAMES, VALUES, max_size=4),
    payload=st.binary(max_size=8),
    subject=st.sampled_from(["cc.v1.evt.demo.queue.contact.gone", ""]),
)
@example(headers={"ce-id": "a\r\nNats-Msg-Id: b"}, payload=b"", subject="a.b")
def test_bus_client_sends_what_nats_py_sends(
    headers: dict[str, str] | None, payload: bytes, subject: str
) -> None:
    assert sent(LeanClient, subject, headers, payload) == sent(Client, subject, headers, payload)


@given(
    raw=st.lists(
        st.binary(max_size=20)
        | st.sampled_from([b"ce-id: x", b"A :\t y ", b"a b: c", b":", b"\xc3\xa9: x", b"a:\xff"]),
        max_size=5,
    ).map(b"\r\n".join)
)
@example(raw=b"a\x0bb: c")
@example(raw=b"a\x1cb: c")
@example(raw=b"\x1c: c")
@example(raw=b": c")
@example(raw=b"a\x00: c")
def test_bus_client_reads_what_nats_py_reads(raw: bytes) -> None:
    assert LeanClient._parse_header_lines(raw) == Client._parse_header_lines(raw)
