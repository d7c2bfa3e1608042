"""What `make bench-freeswitch` measures with: SIPp's traces and the phones' sound."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from tests.bench_freeswitch.sound import Phones
from tests.bench_freeswitch.traces import Trace

INVITE = """----------------------------------------------- 2026-11-22 04:58:57.051717
UDP message received [520] bytes :

INVITE sip:20001@127.0.0.1:40000 SIP/2.0
From: "Caller" <sip:2100000007@127.0.0.1:56742>;tag=1
Call-ID: 1-10518@127.0.0.1
CSeq: 1 INVITE

v=0
c=IN IP4 127.0.0.1
m=audio 10020 RTP/AVP 8 101

"""
ACK = """----------------------------------------------- 2026-11-22 04:58:57.151000
UDP message sent (100 bytes):

ACK sip:20001@127.0.0.1:40000 SIP/2.0
Call-ID: 1-10518@127.0.0.1

"""


def test_messages_come_with_sipps_times_once_each_and_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "messages.log"
    trace = Trace(path)
    assert trace.more() == []
    path.write_text(INVITE[:250])
    assert trace.more() == []
    path.write_text(INVITE + ACK)
    (invite,) = trace.more()
    assert (invite.start.split()[0], invite.sent, invite.caller) == ("INVITE", False, "2100000007")
    assert invite.media == ("127.0.0.1", 10020)
    (ack,) = trace.more(ended=True)
    assert (ack.start.split()[0], ack.sent, ack.media) == ("ACK", True, None)
    assert round(ack.at_ms - invite.at_ms, 3) == 99.283
    assert trace.more(ended=True) == []


def test_a_phone_hears_another_from_its_first_packet_on() -> None:
    phones = Phones()
    one, two = phones.add(), phones.add()
    phones.start()
    try:
        began_ms = time.time() * 1000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as music:
            music.sendto(b"\x80\x08" + bytes(170), ("127.0.0.1", two.port))
        phones.talk(one, ("127.0.0.1", two.port))
        until = time.monotonic() + 10
        while one.number not in two.heard_ms and time.monotonic() < until:
            time.sleep(0.005)
        assert list(two.heard_ms) == [one.number]
        assert began_ms - 1 <= two.heard_ms[one.number] <= time.time() * 1000
        assert one.heard_ms == {}
    finally:
        phones.stop()
