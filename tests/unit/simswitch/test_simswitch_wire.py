"""The event socket's text, held against bytes recorded from a real FreeSWITCH 1.10.12."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import ProtocolError
from services.simswitch.core import command, subscription, wire

VECTORS = Path(__file__).parents[2] / "vectors" / "simswitch"


def frames(data: bytes) -> list[bytes]:
    out, at = [], 0
    while at < len(data):
        end = data.index(b"\n\n", at)
        found = re.search(rb"Content-Length: (\d+)", data[at:end])
        stop = end + 2 + (int(found[1]) if found else 0)
        out.append(data[at:stop])
        at = stop
    return out


def test_plain_events_are_encoded_byte_for_byte_like_recorded_ones() -> None:
    recorded = frames((VECTORS / "events_plain.s2c").read_bytes())
    assert len(recorded) == 17
    for frame in recorded:
        head, _, rest = frame.partition(b"\n\n")[2].partition(b"\n\n")
        headers: dict[str, wire.Value] = {}
        for line in head.decode().split("\n"):
            name, _, value = line.partition(": ")
            if name not in headers and name != "Content-Length":
                headers[name] = unquote(value.replace("%27", "%2527"))  # this name had a real %27
        lines = [line.partition(": ")[0] for line in head.decode().split("\n")]
        if len(lines) != len(set(lines)):
            continue  # the real switch repeats Hangup-Cause in CHANNEL_HANGUP_COMPLETE; a mapping cannot
        event = wire.Event(str(headers["Event-Name"]), headers, rest.decode() if rest else None)
        assert event.frame("plain") == frame


def test_json_events_are_encoded_byte_for_byte_like_recorded_ones() -> None:
    recorded = frames((VECTORS / "events_json.s2c").read_bytes())
    assert len(recorded) == 14
    compared = 0
    for frame in recorded:
        body = frame.partition(b"\n\n")[2]
        pairs = json.loads(body, object_pairs_hook=list)
        if len(pairs) != len(dict(pairs)):
            continue  # CODEC repeats a header
        event = wire.Event("X", orjson.loads(body))
        assert event.frame("json") == frame
        compared += 1
    assert compared > 8


def test_json_carries_bytes_that_are_no_utf8_unchanged() -> None:
    event = wire.Event("X", {"a": b"\xeb".decode("utf-8", "surrogateescape")})
    assert event.frame("json").endswith(b'{"a":"\xeb"}')


def test_plain_leaves_encoded_percent_alone_and_encodes_a_lone_one() -> None:
    assert wire.url_encode("100% %41 %0A %2f ü+") == "100%25%20%41%20%0A%20%252f%20%C3%BC%2B"


def encoded_by_the_rule(text: str) -> str:
    """``switch_url_encode``, byte by byte."""
    data = text.encode("utf-8", "surrogateescape")
    out = ""
    for i, byte in enumerate(data):
        taken = byte == 0x25 and re.match(rb"[0-9A-F]{2}", data[i + 1 : i + 3])
        safe = 0x20 < byte < 0x7F and chr(byte) not in '"#%&+:;<=>?@[\\]^`{|}'
        out += chr(byte) if safe or taken else f"%{byte:02X}"
    return out


TEXTS = st.one_of(st.text(alphabet="%%0AFa2f .\0\r\n\udceb+=ÿ", max_size=12), st.text(max_size=8))


@given(TEXTS)
def test_a_value_is_encoded_as_the_rule_says_byte_for_byte(text: str) -> None:
    assert wire.url_encode(text) == encoded_by_the_rule(text)


@given(st.lists(st.one_of(TEXTS, st.lists(TEXTS, max_size=3)), max_size=6))
def test_the_lines_of_an_event_are_its_values_encoded_one_by_one(values: list[wire.Value]) -> None:
    headers = {f"h{i}": value for i, value in enumerate(values)}
    expected = b""
    for name, value in headers.items():
        text = value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
        expected += f"{name}: {encoded_by_the_rule(text) or '_undef_'}\n".encode()
    assert wire.header_lines(headers) == expected


def test_an_array_and_an_empty_value() -> None:
    event = wire.Event("X", {"a": ["x y", "z"], "b": ""})
    assert b"a: ARRAY%3A%3Ax%20y%7C%3Az\nb: _undef_\n" in event.frame("plain")


@given(st.lists(st.integers(1, 40), max_size=40))
def test_commands_are_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    data = (
        b"\n\nauth x\r\n\r\nsendmsg abc\ncall-command: execute\nExecute-App-Arg: a: b\n\n"
        b"sendevent X\ncontent-length: 5\n\nab\n\nc\n\napi status\n\n"
    )
    reader = command.CommandReader()
    got: list[command.Command] = []
    at = 0
    for cut in [*cuts, len(data)]:
        got += reader.feed(data[at : at + cut])
        at += cut
    assert [(c.line, dict(c.headers), c.body) for c in got] == [
        ("auth x", {}, ""),
        ("sendmsg abc", {"call-command": "execute", "execute-app-arg": "a: b"}, ""),
        ("sendevent X", {"content-length": "5"}, "ab\n\nc"),
        ("api status", {}, ""),
    ]


def test_an_endless_command_is_refused() -> None:
    reader = command.CommandReader()
    with pytest.raises(ProtocolError):
        list(reader.feed(b"x" * (command.MAX_COMMAND_BYTES + 1)))


def test_every_token_after_custom_is_a_subclass() -> None:
    sub = subscription.Subscription()
    assert sub.event(["json", "CHANNEL_ANSWER", "CUSTOM", "a::b", "HEARTBEAT"])
    assert sub.fmt == "json"
    assert sub.takes_name("CHANNEL_ANSWER")
    assert sub.takes_name("CUSTOM", "a::b")
    assert not sub.takes_name("CUSTOM", "c::d")
    assert not sub.takes_name("HEARTBEAT")


def test_unknown_names_only_are_no_subscription() -> None:
    sub = subscription.Subscription()
    assert sub.event(["plain", "NO_SUCH"]) == "-ERR no keywords supplied"
    assert not sub.listening


def test_nixevent_after_all_keeps_the_others() -> None:
    sub = subscription.Subscription()
    sub.event(["ALL"])
    sub.nixevent(["DTMF"], set)
    assert not sub.takes_name("DTMF")
    assert sub.takes_name("CHANNEL_PARK")


def event(**headers: str) -> wire.Event:
    return wire.Event(headers["name"], {k.replace("_", "-"): v for k, v in headers.items()})


def test_filters_are_alternatives_negatives_win_and_alone_deliver_nothing() -> None:
    sub = subscription.Subscription()
    sub.event(["ALL"])
    mine = event(name="CHANNEL_PARK", Unique_ID="A", x="1")
    job = event(name="BACKGROUND_JOB", Job_UUID="j")
    assert sub.takes(mine)
    assert sub.takes(job)
    assert sub.filter("Unique-ID a") == "+OK filter added. [Unique-ID]=[a]"
    assert sub.takes(mine), "values are compared whatever their case"
    assert not sub.takes(job), "a filter holds for everything"
    sub.filter("name /^BACK/")
    assert sub.takes(job)
    sub.filter("x -1")
    assert not sub.takes(mine)
    sub.filter("delete all")
    sub.filter("x -2")
    assert not sub.takes(mine)
    assert sub.filter("delete x -2") == "+OK filter deleted. [x][-2]"
    assert sub.takes(mine)


def test_myevents_takes_the_leg_and_the_jobs_it_started() -> None:
    sub = subscription.Subscription(session="A", only_session=True, listening=True)
    sub.names = {"CHANNEL_PARK", "BACKGROUND_JOB"}
    assert sub.takes(event(name="CHANNEL_PARK", Unique_ID="A"))
    assert not sub.takes(event(name="CHANNEL_PARK", Unique_ID="B"))
    assert sub.takes(event(name="BACKGROUND_JOB", Job_Owner_UUID="A"))


@given(
    st.dictionaries(
        st.text("ab\0", min_size=1), st.one_of(st.text("a%4FfZ \0é\n"), st.lists(st.text("a%\0")))
    )
)
def test_a_whole_head_is_encoded_as_its_values_one_by_one(headers: dict[str, wire.Value]) -> None:
    def one(value: wire.Value) -> str:
        text = value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
        return wire.url_encode(text) if text else "_undef_"

    expected = "".join(f"{name}: {one(value)}\n" for name, value in headers.items())
    assert wire.header_lines(headers) == expected.encode()
