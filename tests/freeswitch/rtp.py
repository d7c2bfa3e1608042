"""The sound of one phone, sent by the test: speech or silence, and keys as telephone events (RFC 4733, which replaced RFC 2833).

SIPp signals the call and says in its SDP that the sound is here; its own sender of telephone events needs raw sockets. One packet goes out
every 20 ms, in one stream with one SSRC and one sequence, as from a phone: a key's packets stand in the place of the sound's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator

A_LAW, EVENTS = 8, 101  # Payload types that the scenarios of SIPp offer.
PACKET_S = 0.020
SAMPLES = 160
SILENCE = b"\xd5" * SAMPLES
ENDS = 3  # The last packet of an event is sent so often (RFC 4733, 2.5.1.4).
VOLUME = 10  # -10 dBm0
KEYS = "0123456789*#ABCD"


class PhoneSound:
    """A UDP port that is a phone's sound. ``port`` belongs into its SDP; ``speak_to`` says where its sound goes."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.port = int(self._sock.getsockname()[1])
        self._to: tuple[str, int] | None = None
        self._keys: asyncio.Queue[tuple[str, int, int, asyncio.Future[None]]] = asyncio.Queue()
        self._sequence = random.randrange(1 << 15)
        self._timestamp = random.randrange(1 << 31)
        self._ssrc = random.randrange(1 << 32)

    def speak_to(self, port: int) -> None:
        """Send to this port of the switch from now on."""
        self._to = ("127.0.0.1", port)

    async def press(self, keys: str, *, hold_ms: int = 100, rest_ms: int = 100) -> None:
        """Press keys one after the other, each so long; returns when the last one is let go and its rest is over."""
        for key in keys:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._keys.put_nowait((key, hold_ms, rest_ms, done))
            await done

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        packets = self._packets()
        while True:
            packet = await anext(packets)
            if self._to is not None:
                with contextlib.suppress(ConnectionRefusedError):  # the call is over
                    self._sock.sendto(packet, self._to)
            due = max(due + PACKET_S, loop.time() - 5 * PACKET_S)
            await asyncio.sleep(max(0.0, due - loop.time()))  # the pace of a phone

    async def _packets(self) -> AsyncIterator[bytes]:
        while True:
            if self._keys.empty():
                yield self._packet(A_LAW, SILENCE)
                self._timestamp += SAMPLES
                continue
            key, hold_ms, rest_ms, done = self._keys.get_nowait()
            count = max(1, hold_ms // 20)
            for n in range(1, count + ENDS):
                # One timestamp for the whole event: when it began.
                yield self._packet(
                    EVENTS, _event(key, min(n, count) * SAMPLES, ended=n >= count), first=n == 1
                )
            self._timestamp += (count + ENDS - 1) * SAMPLES
            for _ in range(rest_ms // 20):
                yield self._packet(A_LAW, SILENCE)
                self._timestamp += SAMPLES
            done.set_result(None)

    def _packet(self, kind: int, payload: bytes, *, first: bool = False) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        head = struct.pack(
            "!BBHII",
            0x80,
            kind | (0x80 if first else 0),
            self._sequence,
            self._timestamp & 0xFFFFFFFF,
            self._ssrc,
        )
        return head + payload

    def close(self) -> None:
        self._sock.close()


def _event(key: str, duration: int, *, ended: bool) -> bytes:
    return struct.pack("!BBH", KEYS.index(key), (0x80 if ended else 0) | VOLUME, duration)


@contextlib.asynccontextmanager
async def phone_sound() -> AsyncIterator[PhoneSound]:
    """The sound of one phone while the block runs."""
    sound = PhoneSound()
    sending = asyncio.create_task(sound.run())
    try:
        yield sound
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        sound.close()
