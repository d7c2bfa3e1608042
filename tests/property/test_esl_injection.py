"""Nothing that a caller says becomes a command or a header: any text, in every place where text goes in or comes out.

What we send is read by tests/esl_reference.py, which has the oddities of FreeSWITCH's own parser. Either it finds the one
command with exactly the headers that were meant, or nothing was written and the error names the field.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.common.errors import SwitchTimeout, UnsafeCommandError
from services.common.esl import GeventHub, SwitchAddress, SwitchClient
from services.common.esl.client import subscription
from services.common.esl.protocol import Decoder, Event, Frame, event_from_connect, sendmsg
from services.common.esl.quoting import channel_vars, command, multiset, neutralise, separate, setvar_multi
from services.simswitch.core import wire
from services.simswitch.core.command import CommandReader
from tests.esl_reference import Read, read_commands, unread

HOSTILE = st.sampled_from(
    [
        "\r", "\n", "\r\n", "\n\n", "\0", "%0A", "%0D%0A", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c",
        "${system(id)}", "$${x}", "\\${x}", "reload mod_event_socket", "Reload  MOD_EVENT_SOCKET", "mod_event_socket",
        "unload", "reloadxml", "content-length: 5", "Content-Length", "call-command: hangup", "ARRAY::", "|:", "_undef_",
        "api hupall", "sendmsg", ": ", ",", ";", "'", '"', "{", "}", "=", " ", "^^", "\ud800", "\udceb", '","Unique-ID":"victim',
        "Event-Name: CHANNEL_BRIDGE", "Unique-ID: victim", "getvar x", "...", "exit", "-", "/",
    ]
)  # fmt: skip
TEXT = st.lists(st.one_of(HOSTILE, st.text(max_size=6)), max_size=5).map("".join)
SANE = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.one_of(
    st.sampled_from(["execute-app-arg", "A", "Event-Subclass", "content-length", "_body", "a[1]"]), TEXT
)


def arrived(sent: bytes) -> Read:
    """The one command in ``sent``."""
    (found,) = read_commands(sent)
    assert unread(sent) == b""
    assert not found.reloads
    reader = CommandReader()
    (simulated,) = reader.feed(sent)
    assert (simulated.line, reader.pending) == (found.line, 0)
    return found


def written(write: Callable[[], bytes]) -> tuple[bytes, str]:
    """What is sent, or why not."""
    try:
        return write(), ""
    except UnsafeCommandError as e:
        return b"", str(e)


@given(line=TEXT, headers=st.dictionaries(NAMES, TEXT, max_size=4), body=st.none() | TEXT)
@example("sendmsg u", {"Content-Length": "10"}, None)
@example("sendmsg u", {"A": ""}, None)
@example("sendevent X", {"a": "1", "A": "2"}, None)
def test_a_command_arrives_as_it_was_meant_or_is_refused_by_name(
    line: str, headers: dict[str, str], body: str | None
) -> None:
    raw = None if body is None else body.encode("utf-8", "replace")
    sent, error = written(lambda: command(line, headers, raw))
    if error:
        named = [line[:80], *headers]
        assert not line or line[0] == " " or any(repr(word)[1:-1] in error or word in error for word in named)
        return
    found = arrived(sent)
    assert found.line == line
    length = [] if raw is None else [("content-length", str(len(raw)))]
    assert found.headers == [*headers.items(), *length]
    assert found.body == (raw or b"")


@given(
    app=st.sampled_from(["playback", "set", "bridge"]) | TEXT, arg=TEXT, unique_id=TEXT, lock=st.booleans()
)
def test_an_application_arrives_with_its_argument_and_no_other_header(
    app: str, arg: str, unique_id: str, lock: bool
) -> None:
    sent, error = written(lambda: sendmsg(app, arg, "id-1", unique_id=unique_id, event_lock=lock))
    if error:
        assert any(word in error for word in ("application", "argument", "channel"))
        return
    found = arrived(sent)
    assert found.line == f"sendmsg {unique_id}".rstrip()
    wanted = [("call-command", "execute"), ("execute-app-name", app), ("Event-UUID", "id-1")]
    if lock:
        wanted.append(("event-lock", "true"))
    raw = arg.encode("utf-8", "surrogateescape")
    if arg:
        wanted += [("content-type", "text/plain"), ("content-length", str(len(raw)))]
    assert found.headers == wanted
    assert found.body == raw


@pytest.mark.parametrize("verb", ["api uuid_setvar u name", "bgapi originate"])
@given(text=TEXT)
def test_neutralised_text_is_one_harmless_command_wherever_it_is_put(verb: str, text: str) -> None:
    assume(not any("\ud800" <= c <= "\udfff" for c in text))
    tame = neutralise(text)
    found = arrived(command(f"{verb} {tame}", {"Job-UUID": "j"}))
    assert found.line == f"{verb} {tame}"
    assert found.headers == [("Job-UUID", "j")]
    assert not set("$\\\r\n\0") & set(tame)


@given(name=st.sampled_from(["cc_name", "a"]) | TEXT, value=TEXT)
def test_a_variable_stays_one_variable_on_every_way(name: str, value: str) -> None:
    for write, read in (
        (setvar_multi, lambda text: separate(text, ";")),
        (channel_vars, lambda text: separate(separate(text + "user/1", " ")[0].rpartition("}")[0][1:], ",")),
        (multiset, lambda text: text.removeprefix("^^;").split(";")),
    ):
        try:
            text = write({name: value, "last": "1"})
            sent = command(f"api x {text}")
        except UnsafeCommandError:
            continue
        assert arrived(sent).line == f"api x {text}"
        parts = read(text)
        assert len(parts) == 2
        assert parts[1] == "last=1"
        if write is channel_vars:
            assert separate(parts[0], "=", 2) == ([name, value] if value else [name])
        else:
            assert parts[0] == f"{name}={value}"


@given(events=st.lists(TEXT, max_size=3), subclasses=st.lists(TEXT, max_size=3))
def test_a_subscription_names_what_was_asked_for_or_is_refused(
    events: list[str], subclasses: list[str]
) -> None:
    try:
        line = subscription(events, subclasses)
    except ValueError:
        return
    if not line:
        assert not events
        assert not subclasses
        return
    assert arrived(command(line)).line == line
    names, _, customs = line.removeprefix("event json ").partition("CUSTOM ")
    assert set(names.split()) - {"HEARTBEAT"} == set(events) - {"HEARTBEAT", "CUSTOM"}
    assert customs.split() == subclasses


@given(unique_id=TEXT, job_id=TEXT, line=TEXT)
def test_the_client_refuses_before_a_byte_is_handed_to_the_socket(
    unique_id: str, job_id: str, line: str
) -> None:
    """Whatever it takes, it takes whole; what it refuses, it refuses with our own error."""
    sent: list[bytes] = []

    class Hub(GeventHub):
        def post(self, fn: object, *args: object, **kwargs: object) -> None:
            sent.extend(arg for arg in args if isinstance(arg, bytes))

    async def ask() -> None:
        client = SwitchClient(
            Hub(),
            SwitchAddress("fs1", "127.0.0.1", 1, "x"),
            events=[],
            on_event=lambda event: None,
            on_up=_nothing,
            on_down=lambda reason: None,
        )
        for asked in (
            client.execute(unique_id, "set", line, timeout_s=0),
            client.bgapi(line, job_id=job_id, timeout_s=0),
            client.api(line, timeout_s=0),
        ):
            with pytest.raises((UnsafeCommandError, SwitchTimeout)):
                await asked

    asyncio.run(ask())
    for data in sent:
        arrived(data)


async def _nothing() -> None:
    return


# -- what comes in -----------------------------------------------------------------------------------------------------


@given(
    values=st.dictionaries(
        st.sampled_from(["A", "Caller-Caller-ID-Name", "variable_x", "Z"]), TEXT, min_size=1
    )
)
def test_a_value_of_an_event_never_becomes_a_header(values: dict[str, str]) -> None:
    """In both forms, as FreeSWITCH writes them; and in the reply to connect, which is written the same way."""
    sane = {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}
    headers = {"Event-Name": "CHANNEL_CREATE", **sane, "Unique-ID": "real"}
    in_json = json.dumps(headers, ensure_ascii=False, separators=(",", ":")).encode()
    # switch_url_encode() leaves %XX with upper-case digits alone: encoded whole, the value can be compared
    in_plain = "".join(f"{name}: {_encoded(value)}\n" for name, value in headers.items()).encode() + b"\n"
    for body, kind in ((in_json, b"json"), (in_plain, b"plain")):
        frame = b"Content-Length: %d\nContent-Type: text/event-%b\n\n%b" % (len(body), kind, body)
        for event in Decoder().feed(2 * frame):
            assert isinstance(event, Event)
            assert (event.name, event.unique_id) == ("CHANNEL_CREATE", "real")
            assert event.get("Hangup-Cause", "none") == "none"
            assert set(event.headers) == set(headers)
            if kind == b"json":
                assert dict(event.headers) == headers
    (reply,) = Decoder().feed(b"Content-Type: command/reply\n" + in_plain)
    assert isinstance(reply, Frame)
    channel = event_from_connect(reply)
    assert channel.unique_id == "real"
    assert set(channel.headers) == {*headers, "Content-Type"}


@given(values=st.dictionaries(st.sampled_from(["A", "B"]), TEXT, min_size=1), body=st.none() | SANE)
def test_what_the_simulated_switch_writes_is_read_as_it_was_meant(
    values: dict[str, str], body: str | None
) -> None:
    sane = {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}
    written = wire.Event("TRAP", {"Event-Name": "TRAP", **sane}, body or None)
    (in_json,) = Decoder().feed(written.frame("json"))
    (in_plain,) = Decoder().feed(written.frame("plain"))
    for event in (in_json, in_plain):
        assert isinstance(event, Event)
        extra = {"Content-Length", "_body"} if body else set()
        assert set(event.headers) == {"Event-Name", *sane, *extra}
        assert event.body == (body or "")
    assert isinstance(in_json, Event)
    assert {name: in_json.headers[name] for name in sane} == sane


def _encoded(value: str) -> str:
    return (
        "".join(c if c.isascii() and c.isalnum() else "".join(f"%{b:02X}" for b in c.encode()) for c in value)
        or "_undef_"
    )
