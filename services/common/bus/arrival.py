"""Messages as they come from the server, cut out of what was read and otherwise untouched.

nats-py makes a dict of each message's headers, an object of the message, an entry in a queue and a turn of a task. Whoever reads
stored messages by the thousand needs none of it: what is wanted of them is an envelope, and that is made of these bytes in one step
(``headers.stored_envelope``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, MAX_CONTROL_LINE_SIZE, Parser

_END = b"\r\n"


class Arrival(NamedTuple):
    """One message: ``headers`` is the whole block with its first line, empty without headers."""

    subject: bytes
    reply: bytes
    headers: bytes
    data: bytes

    @property
    def status(self) -> str:
        """What the server says in place of a message: '100', '404' ...; empty for a message."""
        return self.headers[9:12].decode("ascii", "replace") if self.headers[8:9] == b" " else ""

    @property
    def description(self) -> str:
        """What stands behind the status."""
        return self.headers[13:].partition(_END)[0].decode("utf-8", "replace").strip()


class Place(NamedTuple):
    """Where a delivered message stands, as the subject for its acknowledgement says."""

    stream: str
    consumer: str
    deliveries: int
    stream_seq: int
    consumer_seq: int
    pending: int


def place_of(reply: bytes) -> Place:
    """Raises ProtocolError for what is no such subject. It has two forms (ADR-15 of the server: with and without a domain)."""
    parts = reply.decode("ascii", "replace").split(".")
    at = 2 if len(parts) == 9 else 4
    if parts[:2] != ["$JS", "ACK"] or (at == 4 and len(parts) < 11):
        raise ProtocolError(f"nats: {reply[:100]!r} is no subject for an acknowledgement")
    stream, consumer, deliveries, stream_seq, consumer_seq, _, pending = parts[at : at + 7]
    return Place(stream, consumer, int(deliveries), int(stream_seq), int(consumer_seq), int(pending))


class DirectParser(Parser):
    """nats-py's parser, with messages cut out without regular expressions and given straight to who listens directly.

    ``direct``: what is called with an ``Arrival``, by number of the subscription. All other messages go nats-py's way.
    """

    def __init__(self, client: Any) -> None:
        self.direct: dict[int, Callable[[Arrival], None]] = {}
        self._rest = b""
        self._turn = 0
        super().__init__(client)

    def reset(self) -> None:
        super().reset()
        self._rest = b""
        self._turn += 1

    async def parse(self, data: bytes = b"") -> None:
        turn = self._turn
        buffer, at = self._rest + data if self._rest else data, 0
        while (end := buffer.find(_END, at)) >= 0:
            line = buffer[at:end]
            kind = line[:4]
            if kind not in (b"HMSG", b"MSG "):
                await self._control(line)
            else:
                words = line.split()
                try:
                    size = int(words[-1])
                    head = int(words[-2]) if kind == b"HMSG" else 0
                    number = int(words[2])
                    reply = words[3] if len(words) == (6 if kind == b"HMSG" else 5) else b""
                except (ValueError, IndexError):
                    raise ProtocolError("nats: malformed MSG") from None
                begin, end = end + 2, end + 2 + size
                if len(buffer) < end + 2:
                    break
                body = buffer[begin + head : end]
                block = buffer[begin : begin + head]
                listener = self.direct.get(number)
                if listener is not None:
                    listener(Arrival(words[1], reply, block, body))
                else:
                    handle: Callable[..., Awaitable[None]] = self.nc._process_msg
                    await handle(number, words[1], reply, body, block or None)
            if turn != self._turn:
                return  # connected anew meanwhile: what is left was the old connection's
            at = end + 2
        self._rest = buffer[at:]
        if len(self._rest) > MAX_CONTROL_LINE_SIZE and _END not in self._rest:
            raise ProtocolError("nats: unknown protocol")

    async def _control(self, line: bytes) -> None:
        self.buf = bytearray(line + _END)
        self.state = AWAITING_CONTROL_LINE
        await super().parse(b"")
        self.buf.clear()
