"""Who hears whom, and since when: the phones' RTP, with the kernel's time of arrival.

Each phone sends 20 ms packets of A-law whose payload names it, eight bytes again and again. FreeSWITCH passes payloads of one codec
from leg to leg as they are, so the first packet that names the other phone is the first sound of that person. Times are
the kernel's (SO_TIMESTAMPNS), for a thread of Python that shares two processors with a switch reads late.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque

PACKET_S = 0.02
_STEP_S = 0.005  # Phones send in four phases.
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_HEADER = struct.Struct("!BBHII")
_SAMPLES = 160
_MARK = 0x9B


class Phone:
    """One phone's media: a port, a name in its packets, and whom it has heard first at what time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.port: int = self.socket.getsockname()[1]
        self.heard_ms: dict[int, float] = {}
        self.sends_to: tuple[str, int] | None = None
        self._payload = struct.pack("!BBHBBH", _MARK, 0x2D, number, _MARK, 0x5A, number) * (_SAMPLES // 8)
        self._packets = 0

    def send(self) -> None:
        """Send the next packet."""
        to = self.sends_to  # Another thread may take it away at any time.
        if to is None:
            return
        n = self._packets
        self._packets += 1
        head = _HEADER.pack(0x80, 8, n & 0xFFFF, n * _SAMPLES & 0xFFFFFFFF, 0xBE000000 + self.number)
        try:
            self.socket.sendto(head + self._payload, to)
        except OSError:  # The call is over, and the switch has closed its port.
            self.sends_to = None

    def receive(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                data, notes, _, _ = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except OSError:
                continue
            body = data[12:]
            if len(body) < 16 or body[0] != _MARK or body[:8] != body[8:16]:
                continue
            _, _, number, *_ = struct.unpack("!BBHBBH", body[:8])
            if number not in self.heard_ms:
                self.heard_ms[number] = _arrived_ms(notes)


def _arrived_ms(notes: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in notes:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data[:16])
            return float(seconds * 1000 + nanoseconds / 1e6)
    return time.time() * 1000


class Phones:
    """The media of all phones of a run, in a thread of its own."""

    def __init__(self) -> None:
        self._phones: list[Phone] = []
        self._talking: list[list[Phone]] = [[] for _ in range(round(PACKET_S / _STEP_S))]
        self._fresh: deque[Phone] = deque()
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtp", daemon=True)

    def add(self) -> Phone:
        """One phone more; before ``start`` only."""
        phone = Phone(len(self._phones) + 1)
        self._phones.append(phone)
        self._selector.register(phone.socket, selectors.EVENT_READ, phone)
        return phone

    def start(self) -> None:
        self._thread.start()

    def talk(self, phone: Phone, to: tuple[str, int]) -> None:
        """Let a phone send from now on; until ``hush``."""
        phone.sends_to = to
        self._fresh.append(phone)

    def hush(self, phone: Phone) -> None:
        phone.sends_to = None

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for phone in self._phones:
            phone.socket.close()
        self._selector.close()

    def _run(self) -> None:
        step = 0
        due = time.monotonic()
        while not self._ended.is_set():
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                key.data.receive()
            if time.monotonic() < due:
                continue
            while self._fresh:
                phone = self._fresh.popleft()
                self._talking[phone.number % len(self._talking)].append(phone)
            slot = self._talking[step % len(self._talking)]
            step += 1
            due += _STEP_S
            for phone in slot:
                phone.send()
            if step % 50 == 0:
                slot[:] = [phone for phone in slot if phone.sends_to is not None]
