"""The sound of one phone, sent by the test: speech or silence, and keys as telephone events (RFC 4733, which replaced RFC 2833).

SIPp signals the call and says in its SDP that the sound is here; its own sender of telephone events needs raw sockets, and its sender of sound
cannot wait for what the switch does. One packet goes out every 20 ms, in one stream with one SSRC and one sequence, as from a phone: a key's
packets stand in the place of the sound's. A ``Line`` loses and delays packets as networks do, the same ones in each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.freeswitch.sipp import a_law

A_LAW, EVENTS = 8, 101  # Payload types that the scenarios of SIPp offer.
PACKET_S = 0.020
SAMPLES = 160
SILENCE = b"\xd5" * SAMPLES
ENDS = 3  # The last packet of an event is sent so often (RFC 4733, 2.5.1.4).
VOLUME = 10  # -10 dBm0
KEYS = "0123456789*#ABCD"


@dataclass(frozen=True)
class Line:
    """What is between a phone and the switch."""

    noise: float = 0
    """How loud it is when nobody speaks: root mean square, of 32,767; 0: the codec's silence."""
    loss: float = 0
    """The share of packets that never arrive."""
    jitter_ms: float = 0
    """Each packet is late by up to so much, so that one may overtake another."""
    seed: int = 1


class PhoneSound:
    """A UDP port that is a phone's sound. ``port`` belongs into its SDP; ``speak_to`` says where its sound goes."""

    def __init__(self, line: Line) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.port = int(self._sock.getsockname()[1])
        self._to: tuple[str, int] | None = None
        self._wanted: asyncio.Queue[tuple[Iterator[bytes], asyncio.Future[None]]] = asyncio.Queue()
        self._sequence = random.randrange(1 << 15)
        self._timestamp = random.randrange(1 << 31)
        self._ssrc = random.randrange(1 << 32)
        self._line = line
        self._chance = random.Random(line.seed)
        noise = np.random.default_rng(line.seed).normal(0, line.noise, 50 * SAMPLES)
        self._quiet = itertools.cycle(_payloads(a_law(noise.astype(np.int32))) if line.noise else [SILENCE])

    def speak_to(self, port: int) -> None:
        """Send to this port of the switch from now on."""
        self._to = ("127.0.0.1", port)

    async def press(self, keys: str, *, hold_ms: int = 100, rest_ms: int = 100) -> None:
        """Press keys one after the other, each so long; returns when the last one is let go and its rest is over."""
        for key in keys:
            await self._send(itertools.chain(self._key(key, hold_ms), self._pause(rest_ms)))

    async def say(self, sound: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Say 16 bit samples; returns when the last of them has gone."""
        await self._send(self._packet_of_sound(payload) for payload in _payloads(a_law(sound)))

    async def say_nothing(self, for_ms: int) -> None:
        """Returns when the line has sent so much of its own noise."""
        await self._send(self._pause(for_ms))

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        packets = self._packets()
        while True:
            self._bring(next(packets), loop)
            due = max(due + PACKET_S, loop.time() - 5 * PACKET_S)
            await asyncio.sleep(max(0.0, due - loop.time()))  # the pace of a phone

    async def _send(self, packets: Iterator[bytes]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.put_nowait((packets, done))
        await done

    def _bring(self, packet: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Let a packet go through the line."""
        if self._chance.random() < self._line.loss:
            return
        if self._line.jitter_ms:
            loop.call_later(self._chance.uniform(0, self._line.jitter_ms) / 1000, self._arrive, packet)
        else:
            self._arrive(packet)

    def _arrive(self, packet: bytes) -> None:
        if self._to is not None and self._sock.fileno() >= 0:
            with contextlib.suppress(ConnectionRefusedError):  # the call is over
                self._sock.sendto(packet, self._to)

    def _packets(self) -> Iterator[bytes]:
        while True:
            if self._wanted.empty():
                yield self._packet_of_sound(next(self._quiet))
                continue
            packets, done = self._wanted.get_nowait()
            yield from packets
            if not done.done():
                done.set_result(None)

    def _key(self, key: str, hold_ms: int) -> Iterator[bytes]:
        count = max(1, hold_ms // 20)
        for n in range(1, count + ENDS):
            # One timestamp for the whole event: when it began.
            yield self._packet(EVENTS, _event(key, min(n, count) * SAMPLES, ended=n >= count), first=n == 1)
        self._timestamp += (count + ENDS - 1) * SAMPLES

    def _pause(self, for_ms: int) -> Iterator[bytes]:
        for _ in range(for_ms // 20):
            yield self._packet_of_sound(next(self._quiet))

    def _packet_of_sound(self, payload: bytes) -> bytes:
        packet = self._packet(A_LAW, payload)
        self._timestamp += SAMPLES
        return packet

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


def _payloads(sound: bytes) -> list[bytes]:
    """A-law in packets, the last one filled up with silence."""
    return [sound[at : at + SAMPLES].ljust(SAMPLES, SILENCE[:1]) for at in range(0, len(sound), SAMPLES)]


def _event(key: str, duration: int, *, ended: bool) -> bytes:
    return struct.pack("!BBH", KEYS.index(key), (0x80 if ended else 0) | VOLUME, duration)


@contextlib.asynccontextmanager
async def phone_sound(line: Line = Line()) -> AsyncIterator[PhoneSound]:
    """The sound of one phone while the block runs."""
    sound = PhoneSound(line)
    sending = asyncio.create_task(sound.run())
    try:
        yield sound
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        sound.close()
