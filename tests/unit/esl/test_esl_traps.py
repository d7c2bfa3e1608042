"""The traps of FreeSWITCH's event socket, one test each. This half needs no socket; the other is
tests/integration/test_esl_traps_on_sockets.py.

Each trap was measured on FreeSWITCH 1.10.12 or read in its source (``mod_event_socket.c`` unless another file is named). The
inventory of all of them, with the cure and the tests, is tests/esl_traps.py; the last tests here hold it to the truth.
"""

from __future__ import annotations

import ast
import functools
import importlib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from services.common.errors import ConfigError, UnsafeCommandError
from services.common.esl.client import SwitchAddress, subscription
from services.common.esl.link import _REFUSE_AFTER_S
from services.common.esl.protocol import Decoder, Event, Frame, Item, event_from_connect, sendmsg
from services.common.esl.quoting import (
    MAX_HEAD_BYTES,
    channel_vars,
    checked_id,
    checked_job_id,
    command,
    multiset,
    neutralise,
    setvar_multi,
)
from tests import esl_reference
from tests.esl_reference import read_commands
from tests.esl_transcripts import transcript
from tests.esl_traps import TRAPS

ROOT = Path(__file__).parents[3]
DIALPLAN = ROOT / "freeswitch" / "conf" / "dialplan" / "peyvand.xml"
OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


def decoded(data: bytes) -> list[Item]:
    decoder = Decoder()
    items = decoder.feed(data)
    assert decoder.pending == 0
    return items


def framed(body: bytes, kind: bytes = b"plain") -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-%b\n\n%b" % (len(body), kind, body)


def an_event(data: bytes) -> Event:
    (item,) = decoded(data)
    assert isinstance(item, Event)
    return item


# -- 1.1 connection ----------------------------------------------------------------------------------------------------


def test_userauth_whose_reply_is_cut_is_never_used() -> None:
    """The reply to ``userauth`` is cut at 511 bytes, its end included, and the next reply is glued on: a client hangs."""
    (_, glued) = decoded(transcript("04c_userauth_truncated_reply").s2c)
    assert isinstance(glued, Frame)
    assert list(glued.headers).count("Reply-Text") == 1, "two replies came as one"
    with pytest.raises(ConfigError, match="must have the form"):
        SwitchAddress.parse("fs1=esl://user@domain:secret@fs1.example")


def test_a_password_goes_out_to_the_letter_or_is_refused() -> None:
    """The password is all that follows ``auth `` up to the line's end, blanks included."""
    assert SwitchAddress.parse("fs1=esl://:%20two%20words%20@h").password == " two words "
    assert command("auth  two words ") == b"auth  two words \n\n"
    (read,) = read_commands(command("auth  two words "))
    assert read.line.removeprefix("auth ") == " two words "
    for ended in ("a%0Ab", "a%0Db", "%00"):
        with pytest.raises(ConfigError, match="line break"):
            SwitchAddress.parse(f"fs1=esl://:{ended}@h")


def test_addresses_of_version_six_are_read() -> None:
    address = SwitchAddress.parse("fs1=esl://:ClueCon@[::1]:18021")
    assert (address.host, address.port) == ("::1", 18021)


@pytest.mark.parametrize("size", [0, 31, 39, 67])
def test_a_farewell_has_a_body_of_any_size(size: int) -> None:
    """Whoever does not skip the body of a disconnect notice reads it as the next head."""
    body = (b"bye\n\nContent-Length: 5\n\n" * 3)[:size]
    notice = b"Content-Type: text/disconnect-notice\nContent-Length: %d\n\n%b" % (size, body)
    first, second = decoded(notice + OK)
    assert isinstance(first, Frame)
    assert first.body == body
    assert isinstance(second, Frame)
    assert second.text == "+OK"


def test_a_forbidden_address_gets_a_rejection_instead_of_the_request_for_a_password() -> None:
    rejection, farewell = decoded(transcript("05_rude_rejection").s2c)
    assert isinstance(rejection, Frame)
    assert isinstance(farewell, Frame)
    assert (rejection.content_type, len(rejection.body)) == ("text/rude-rejection", 24)
    assert farewell.content_type == "text/disconnect-notice"


# -- 1.2 framing -------------------------------------------------------------------------------------------------------


def test_the_order_of_a_frames_lines_means_nothing() -> None:
    """Content-Length is first in events, second in log lines, missing in replies; a body need not end in a newline."""
    for head in (b"Content-Length: 2\nContent-Type: x", b"Content-Type: x\nContent-Length: 2\nLog-Level: 7"):
        frame, after = decoded(head + b"\n\nok" + OK)
        assert isinstance(frame, Frame)
        assert (frame.content_type, frame.body) == ("x", b"ok")
        assert isinstance(after, Frame)
    for head in (
        b"Content-Type: text/event-json\nContent-Length: 21",
        b"Content-Length: 21\nX: y\nContent-Type: text/event-json",
    ):
        assert an_event(head + b'\n\n{"Event-Name":"TRAP"}').name == "TRAP"


def test_a_carriage_return_in_a_value_swallows_the_headers_before_it() -> None:
    """The end of a line is looked for as the first CR in all the rest of the command."""
    (read,) = read_commands(
        b"sendmsg u\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: a=b\rc\n\n"
    )
    assert read.headers == [], "call-command and all others are gone"
    for value in ("b\rc", "b\nc", "b\r\nc"):
        with pytest.raises(UnsafeCommandError, match="execute-app-arg"):
            command("sendmsg u", {"call-command": "execute", "execute-app-arg": value})


def test_a_command_of_ten_megabytes_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 MB FreeSWITCH takes what it has for a command, and the rest for the next one."""
    assert MAX_HEAD_BYTES == esl_reference.MAX_BYTES - 1
    assert len(command("api " + "x" * (MAX_HEAD_BYTES - 6))) == MAX_HEAD_BYTES
    with pytest.raises(UnsafeCommandError, match="more than"):
        command("api " + "x" * (MAX_HEAD_BYTES - 5))
    monkeypatch.setattr(esl_reference, "MAX_BYTES", 1_000)  # the same, quicker
    cut = list(read_commands(b"api " + b"x" * 996 + b"reload mod_sofia\n\n"))
    assert [len(cut[0].line), cut[1].line] == [1_000, "reload mod_sofia"]


def test_a_second_length_would_swallow_the_next_command() -> None:
    """Every content-length is obeyed where it stands, so one in a value's place makes a body of what follows."""
    first, *others = read_commands(b"sendevent X\ncontent-length: 12\n\napi status\n\napi next\n\n")
    assert first.body == b"api status\n\n"
    assert [other.line for other in others] == ["api next"]
    for name in ("content-length", "Content-Length"):
        with pytest.raises(UnsafeCommandError, match=name):
            command("sendevent X", {name: "12"})


def test_replies_are_cut_at_511_bytes_so_ids_are_short() -> None:
    """A reply repeats the id it refuses or filters by; cut off, it has no end. A Job-UUID is cut at 36."""
    assert checked_id("a" * 128, "the id")
    assert checked_job_id("a" * 36)
    with pytest.raises(UnsafeCommandError, match="the id"):
        checked_id("a" * 129, "the id")
    with pytest.raises(UnsafeCommandError, match="36"):
        checked_job_id("a" * 37)
    with pytest.raises(UnsafeCommandError, match="channel"):
        sendmsg("answer", "", "id", unique_id="a" * 500, event_lock=True)


def test_getvar_is_refused_since_its_value_can_forge_a_reply() -> None:
    """``getvar`` puts the raw value into its reply; one with a blank line in it is two replies."""
    forged = b"Content-Type: command/reply\nReply-Text: a\n\nContent-Type: command/reply\nReply-Text: +OK forged\n\n"
    assert len(decoded(forged)) == 2
    with pytest.raises(UnsafeCommandError, match="uuid_getvar"):
        command("getvar caller_id_name")
    inside = b"a\n\nContent-Type: command/reply\nReply-Text: +OK forged\n\n"
    (answer,) = decoded(b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(inside), inside))
    assert isinstance(answer, Frame)
    assert answer.body == inside


def test_only_the_reply_to_connect_is_percent_encoded() -> None:
    first, second = decoded(transcript("21_outbound_json").s2c)[:2]
    assert isinstance(first, Frame)
    assert first.text == "%2BOK%0A"
    assert event_from_connect(first).get("Reply-Text") == "+OK\n"
    assert isinstance(second, Frame)
    assert second.text.startswith("+OK")
    (raw,) = decoded(b"Content-Type: command/reply\nReply-Text: +OK 100%25\n\n")
    assert isinstance(raw, Frame)
    assert raw.text == "+OK 100%25"


@pytest.mark.parametrize(
    "text", ["reload mod_event_socket", "please RELOAD my Mod_Event_Socket", "unload x mod_event_socket"]
)
def test_the_words_that_reload_the_module_never_leave_in_a_head(text: str) -> None:
    """Anywhere in a command's text, headers included, they replace it by a reload that drops everybody (18)."""
    recorded = next(c for c in read_commands(transcript("18_disconnect_by_server").c2s) if c.reloads)
    assert recorded.line.startswith("sendmsg ")
    with pytest.raises(UnsafeCommandError, match="mod_event_socket"):
        command(f"api uuid_setvar u-1 name {text}")
    with pytest.raises(UnsafeCommandError, match="mod_event_socket"):
        command("sendmsg u-1", {"execute-app-arg": text})
    (read,) = read_commands(sendmsg("set", f"cid={text}", "id", unique_id="u-1", event_lock=True))
    assert not read.reloads, "in a body they are only words"
    (read,) = read_commands(command(f"api uuid_setvar u-1 name {neutralise(text)}"))
    assert not read.reloads


# -- 1.3 subscriptions -------------------------------------------------------------------------------------------------


def test_standard_names_stand_before_custom() -> None:
    """Every word after CUSTOM is a subclass: ``CUSTOM a::b HEARTBEAT`` never delivers HEARTBEAT, and answers +OK."""
    assert subscription(["CUSTOM", "CHANNEL_ANSWER"], ["a::b"]) == (
        "event json CHANNEL_ANSWER HEARTBEAT CUSTOM a::b"
    )


def test_custom_alone_is_refused() -> None:
    """``event plain CUSTOM`` delivers nothing."""
    with pytest.raises(ValueError, match="delivers nothing"):
        subscription(["CHANNEL_ANSWER", "CUSTOM"], [])


@pytest.mark.parametrize(
    ("events", "subclasses"),
    [(["CHANNEL_ANSWER CUSTOM"], ["a::b"]), (["channel answer"], []), (["X"], ["a b"])],
)
def test_names_that_freeswitch_would_split_or_ignore_are_refused(
    events: list[str], subclasses: list[str]
) -> None:
    """Unknown names are ignored without a word, if one other is known."""
    with pytest.raises(ValueError, match="not the name"):
        subscription(events, subclasses)


@pytest.mark.parametrize("unique_id", ["-u-1", "/.*/", "u 1", "", "u-1\nfilter delete all"])
def test_an_id_that_would_be_a_negative_filter_or_an_expression_is_refused(unique_id: str) -> None:
    """Only negative filters deliver nothing ever; ``/x/`` is a regular expression."""
    with pytest.raises(UnsafeCommandError, match="the id of a channel"):
        checked_id(unique_id, "the id of a channel")


def test_an_event_without_a_name_is_an_event() -> None:
    """``divert_events`` delivers events that have no Event-Name, and two lengths."""
    nameless = [
        item
        for item in decoded(transcript("21_outbound_json").s2c)
        if isinstance(item, Event) and not item.name
    ]
    assert [event.body for event in nameless] == ["hello"]


def test_log_lines_between_replies_take_nobodys_place() -> None:
    kinds = [item.content_type for item in decoded(transcript("19_log").s2c) if isinstance(item, Frame)]
    assert kinds.count("log/data") == 22
    assert kinds.count("command/reply") == 5


# -- 1.4 outbound: what the dialplan must say --------------------------------------------------------------------------


def actions(name: str) -> list[str]:
    return [
        action.get("data", "")
        for action in ET.parse(DIALPLAN).iter("action")
        if action.get("application") == name
    ]


def test_the_dialplan_asks_for_async_and_full() -> None:
    """Without ``full`` there is no linger, api or event; without ``async`` all waits until an application ends."""
    sockets = actions("socket")
    assert len(sockets) == 5, (
        "entry points, those that come unanswered, surveys, feature codes, numbers that phones dial"
    )
    assert all(data.endswith(" async full") for data in sockets)


def test_the_dialplan_goes_on_without_us_and_survives_a_failed_bridge() -> None:
    """A socket that dies within a millisecond leaves the call parked for ever without socket_resume; a failed bridge hangs
    up the caller without continue_on_fail."""
    for extension in ET.parse(DIALPLAN).iter("extension"):
        done = [(action.get("application"), action.get("data", "")) for action in extension.iter("action")]
        names = [name for name, _ in done]
        if "socket" in names:
            before = [data for name, data in done[: names.index("socket")] if name == "multiset"]
            variables = {pair for data in before for pair in data.removeprefix("^^;").split(";")}
            assert {"socket_resume=true", "continue_on_fail=true"} <= variables
            assert names[-1] != "socket", "something must follow when we are gone"


def test_a_refused_call_is_let_go_after_the_dangerous_moment() -> None:
    """14 of 20 calls were orphaned when the socket closed at once, none after 2 ms."""
    assert _REFUSE_AFTER_S >= 0.002


# -- 1.5 sendmsg -------------------------------------------------------------------------------------------------------


def test_arguments_go_as_a_body_and_wait_their_turn() -> None:
    """A body takes any text. Without event-lock a command runs nested in the one before, and they complete backwards."""
    (read,) = read_commands(sendmsg("say", "en NUMBER: 5 é\u2028", "id-1", unique_id="u-1", event_lock=True))
    assert read.body.decode() == "en NUMBER: 5 é\u2028"
    assert dict(read.headers)["content-type"] == "text/plain"
    assert dict(read.headers)["event-lock"] == "true"
    assert dict(read.headers)["Event-UUID"] == "id-1"


@pytest.mark.parametrize("app", ["", "play back", "set\nloops: -1", "playback\rx", "répéter"])
def test_what_is_no_applications_name_is_refused(app: str) -> None:
    """An unknown application is answered +OK and hangs up the call."""
    with pytest.raises(UnsafeCommandError, match="application"):
        sendmsg(app, "", "id", event_lock=True)


def test_what_would_be_expanded_is_refused_or_made_harmless() -> None:
    """Arguments are expanded, and ``set`` expands twice: ``\\${x}`` protects once."""
    for value in ("${system(id)}", "\\${system(id)}", "$${x}"):
        with pytest.raises(UnsafeCommandError, match="cc_name"):
            multiset({"cc_name": value})
        assert "$" not in neutralise(value)
        assert "\\" not in neutralise(value)
        assert multiset({"cc_name": neutralise(value)}).startswith("^^;cc_name=")
    # not expanded, so carried as it is
    assert setvar_multi({"cc_name": "${x}"}) == "cc_name=${x}"


# -- 1.6 encoding ------------------------------------------------------------------------------------------------------


def test_a_plus_is_a_plus() -> None:
    """A blank is %20 and a plus %2B; a form decoder would make blanks of raw pluses."""
    event = an_event(framed(b"Event-Name: TRAP\nA: %2B98+21%20x\n\n"))
    assert event.get("A") == "+98+21 x"


def test_events_are_asked_for_as_json_which_loses_nothing() -> None:
    """In plain form ``%41`` in a SIP header and an encoded ``A`` look the same; JSON keeps them apart."""
    assert subscription(["CHANNEL_ANSWER"], []).startswith("event json ")
    assert an_event(framed(b'{"Event-Name":"TRAP","A":"%41%0A"}', b"json")).get("A") == "%41%0A"
    assert an_event(framed(b"Event-Name: TRAP\nA: %41\n\n")).get("A") == "A"


def test_lines_are_split_before_values_are_decoded() -> None:
    """``%0A`` in a caller's name is data, and so are U+2028 and a vertical tab."""
    event = an_event(framed("Event-Name: TRAP\nA: x%0AB: forged\u2028C: forged\x0bD: forged\n\n".encode()))
    assert set(event.headers) == {"Event-Name", "A"}
    (frame,) = decoded("Content-Type: command/reply\nReply-Text: +OK x\u2028Content-Length: 5\n\n".encode())
    assert isinstance(frame, Frame)
    assert frame.text == "+OK x\u2028Content-Length: 5"


def test_bytes_that_are_no_utf8_spoil_one_value() -> None:
    """cJSON copies bytes as they are: a JSON decoder refuses the whole event."""
    for body, kind in (
        (b'{"Event-Name":"TRAP","A":"Zo\xeb","B":"b"}', b"json"),
        (b"Event-Name: TRAP\nA: Zo%EB\nB: b\n\n", b"plain"),
        (b"Event-Name: TRAP\nA: Zo\xeb\nB: b\n\n", b"plain"),
    ):
        event = an_event(framed(body, kind))
        assert (event.get("A"), event.get("B")) == ("Zo\N{REPLACEMENT CHARACTER}", "b")


def test_an_empty_value_is_empty_in_both_forms_and_never_sent() -> None:
    """Plain form writes ``_undef_``. Sending an empty header removes those of its name."""
    assert an_event(framed(b"Event-Name: TRAP\nA: _undef_\n\n")).get("A", "?") == ""
    assert an_event(framed(b'{"Event-Name":"TRAP","A":""}', b"json")).get("A", "?") == ""
    with pytest.raises(UnsafeCommandError, match="header A"):
        command("sendevent TRAP", {"A": ""})


def test_a_variable_is_text_or_a_list() -> None:
    """The same variable is text with one element, and a list with two."""
    for body, kind in (
        (b"Event-Name: TRAP\nvariable_x: ARRAY%3A%3Aa|%3Ab\n\n", b"plain"),
        (b'{"Event-Name":"TRAP","variable_x":["a","b"]}', b"json"),
        (b"Event-Name: TRAP\nvariable_x: a\n\n", b"plain"),
        (b'{"Event-Name":"TRAP","variable_x":"a"}', b"json"),
    ):
        assert an_event(framed(body, kind)).variable("x") == "a"


@pytest.mark.parametrize("write", [channel_vars, setvar_multi, multiset])
def test_text_that_would_become_a_list_is_refused(write: object) -> None:
    """A value that starts with ``ARRAY::`` is taken apart (switch_event.c)."""
    assert callable(write)
    with pytest.raises(UnsafeCommandError, match="list"):
        write({"cc_name": "ARRAY::a|:b"})
    write({"cc_name": neutralise("ARRAY::a|:b")})
    with pytest.raises(UnsafeCommandError, match="ARRAY"):
        command("sendevent TRAP", {"A": "ARRAY::a|:b"})


def test_a_header_that_comes_twice_counts_once() -> None:
    """Hangup-Cause is in every CHANNEL_HANGUP_COMPLETE twice."""
    recorded = transcript("14_channel_hangup_complete").s2c
    events = [
        item
        for item in decoded(recorded)
        if isinstance(item, Event) and item.name == "CHANNEL_HANGUP_COMPLETE"
    ]
    assert events
    for event in events:
        assert event.raw.count(b"\nHangup-Cause: ") == 2
        assert event.get("Hangup-Cause") == event.headers["Hangup-Cause"] != ""
    again = framed(b'{"Event-Name":"TRAP","A":"first","A":"last"}', b"json")
    _, differing = decoded(again * 2)  # the second one is read without decoding all of it
    assert isinstance(differing, Event)
    assert differing.get("A") == differing.headers["A"] == "last"


def test_a_body_in_an_event_is_raw_and_no_header() -> None:
    """``sendevent`` with a body yields content-length and Content-Length; in JSON the body is ``_body``."""
    block = b"Event-Name: TRAP\ncontent-length: 9\nContent-Length: 9\n\nA: %41\n\nb"
    assert an_event(framed(block)).body == "A: %41\n\nb"
    assert an_event(framed(block)).get("A", "none") == "none"
    assert an_event(framed(b'{"Event-Name":"TRAP","_body":"A: %41\\n\\nb"}', b"json")).body == "A: %41\n\nb"


def test_xml_is_never_asked_for_and_read_over() -> None:
    """It costs the switch six times as much."""
    assert "xml" not in subscription(["CHANNEL_ANSWER"], ["a::b"])
    items = decoded(transcript("06_subscribe_xml").s2c)
    assert sum(isinstance(item, Frame) and item.content_type == "text/event-xml" for item in items) == 47
    assert not any(isinstance(item, Event) for item in items)


# -- the inventory -----------------------------------------------------------------------------------------------------

HALVES = ("tests/unit/esl/test_esl_traps.py", "tests/integration/test_esl_traps_on_sockets.py")


@functools.cache
def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }


def test_every_trap_has_its_tests_or_a_reason() -> None:
    assert len({trap.sentence for trap in TRAPS}) == len(TRAPS)
    for trap in TRAPS:
        assert bool(trap.tests) != bool(trap.none_because), trap.sentence
        for name in trap.tests:
            path, _, function = name.partition("::")
            assert function in named_in(path), f"{name} of {trap.sentence!r} is not there"


def test_every_test_of_a_trap_is_in_the_inventory() -> None:
    named = {name for trap in TRAPS for name in trap.tests}
    of_the_inventory = {
        "test_every_trap_has_its_tests_or_a_reason",
        "test_every_test_of_a_trap_is_in_the_inventory",
        "test_every_cure_is_where_the_inventory_says",
    }
    there = {f"{path}::{function}" for path in HALVES for function in named_in(path) - of_the_inventory}
    assert there - named == set()


def test_every_cure_is_where_the_inventory_says() -> None:
    for trap in TRAPS:
        for cure in trap.cures:
            if "/" in cure:
                assert (ROOT / cure).exists(), cure
                continue
            module, _, name = cure.partition(":")
            found: object = importlib.import_module(f"services.common.esl.{module}")
            for part in name.split("."):
                found = getattr(found, part)
