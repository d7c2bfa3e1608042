"""The codec against bytes of a real switch, and against what was built to mislead it."""

from __future__ import annotations

import json

import pytest

from services.common.errors import ProtocolError, UnsafeCommandError
from services.common.esl.protocol import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    Decoder,
    Event,
    Frame,
    event_from_connect,
    sendmsg,
)
from tests.esl_transcripts import transcript


def items_of(name: str) -> list[Frame | Event]:
    decoder = Decoder()
    items = decoder.feed(transcript(name).s2c)
    assert decoder.pending == 0, "every transcript ends with a whole frame"
    return items


def events_of(name: str) -> list[Event]:
    return [item for item in items_of(name) if isinstance(item, Event)]


def json_event(headers: dict[str, object], *, spaced: bool = False) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    return in_frame(json.dumps(headers, ensure_ascii=False, separators=separators).encode())


def in_frame(body: bytes, kind: bytes = b"json") -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-%b\n\n%b" % (len(body), kind, body)


def one_event(data: bytes) -> Event:
    (item,) = Decoder().feed(data)
    assert isinstance(item, Event)
    return item


def test_replies_come_with_their_text_and_the_farewell_has_a_body() -> None:
    items = items_of("01_inbound_auth_ok")
    assert all(isinstance(item, Frame) for item in items)
    kinds = [item.content_type for item in items if isinstance(item, Frame)]
    texts = [item.text for item in items if isinstance(item, Frame)]
    assert kinds[0] == "auth/request"
    assert texts[1] == "+OK accepted"
    assert texts[2].startswith("FreeSWITCH Version 1.10.12")
    assert texts[4] == "-ERR No such channel!\n"
    assert "-ERR no reply\n" in texts
    assert kinds[-1] == "text/disconnect-notice"
    assert texts[-1].startswith("Disconnected, goodbye.")


def test_a_refused_address_gets_a_rejection_and_a_farewell_with_bodies() -> None:
    rejection, farewell = items_of("05_rude_rejection")
    assert isinstance(rejection, Frame)
    assert (rejection.content_type, rejection.body) == ("text/rude-rejection", b"Access Denied, go away.\n")
    assert isinstance(farewell, Frame)
    assert farewell.content_type == "text/disconnect-notice"


def test_log_lines_are_frames_with_bodies() -> None:
    lines = [
        item for item in items_of("19_log") if isinstance(item, Frame) and item.content_type == "log/data"
    ]
    assert lines
    assert all(line.body for line in lines)


def test_a_background_job_of_a_plain_subscription_has_its_answer_as_body() -> None:
    jobs = [event for event in events_of("08_bgapi_originate") if event.name == "BACKGROUND_JOB"]
    answers = [job.body for job in jobs]
    assert answers[0].startswith("+OK ")
    assert "-ERR USER_BUSY\n" in answers
    assert "-ERR NO_ANSWER\n" in answers
    assert jobs[0].get("Job-Command-Arg") == "sofia/internal/echo@127.0.0.1:15080 &park()"
    assert "my-own-job-id-1" in [job.get("Job-UUID") for job in jobs]


def test_json_and_plain_forms_of_the_same_events_agree_except_where_plain_loses_information() -> None:
    in_json = events_of("17_encodings_json")
    in_plain = events_of("17_encodings_plain")
    assert [e.name for e in in_json] == [e.name for e in in_plain]
    assert len(in_json) > 20
    different: set[str] = set()
    for one, other in zip(in_json, in_plain, strict=True):
        assert one.unique_id == other.unique_id
        assert one.application_id == other.application_id
        assert one.body == other.body
        assert set(one.headers) == set(other.headers)
        different |= {name for name in one.headers if one.headers[name] != other.headers[name]}
    # a literal %41 cannot be told from an encoded A in plain form: one value, and where it is quoted
    assert different == {"variable_enc_pct", "variable_current_application_data", "Application-Data"}


def test_values_with_line_breaks_stay_values() -> None:
    values = [event.variable("enc_nl") for event in events_of("17_encodings_json")]
    (found,) = {value for value in values if value}
    assert "\n" in found


def test_the_reply_to_connect_is_decoded_once_and_only_there() -> None:
    reply = items_of("21_outbound_json")[0]
    assert isinstance(reply, Frame)
    assert reply.content_type == "command/reply"
    channel = event_from_connect(reply)
    assert channel.name == "CHANNEL_DATA"
    assert channel.unique_id == "78adef13-3d17-45af-9296-36c394503d88"
    assert channel.get("Event-Date-Local") == "2026-11-21 22:08:15"
    assert channel.variable("uuid") == channel.unique_id
    assert reply.headers["Event-Date-Local"] == "2026-11-21%2022%3A08%3A15"


def test_a_diverted_event_has_no_name_and_is_an_event_all_the_same() -> None:
    diverted = [event for event in events_of("21_outbound_json") if not event.name]
    assert [event.body for event in diverted] == ["hello"]
    assert diverted[0].get("X-Test") == "1"


def test_a_newline_encoded_in_a_callers_name_does_not_become_a_header() -> None:
    block = b"Event-Name: CHANNEL_CREATE\nUnique-ID: real\nCaller-Caller-ID-Name: Bob%0AUnique-ID: victim%0AEvent-Name: CHANNEL_BRIDGE\n\n"
    event = one_event(in_frame(block, b"plain"))
    assert (event.name, event.unique_id) == ("CHANNEL_CREATE", "real")
    assert event.get("Caller-Caller-ID-Name") == "Bob\nUnique-ID: victim\nEvent-Name: CHANNEL_BRIDGE"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
@pytest.mark.parametrize("kind", ["plain", "json"])
def test_only_a_line_feed_ends_a_line(separator: str, kind: str) -> None:
    value = f"Bob{separator}Event-Subclass: forged"
    if kind == "plain":
        event = one_event(
            in_frame(f"Event-Name: CUSTOM\nEvent-Subclass: real\nX: {value}\n\n".encode(), b"plain")
        )
    else:
        event = one_event(json_event({"Event-Name": "CUSTOM", "Event-Subclass": "real", "X": value}))
    assert event.subclass == "real"
    assert event.get("X") == value


def test_a_value_that_looks_like_a_header_in_json_is_not_found_as_one() -> None:
    forged = 'x","Unique-ID":"victim","Event-Name":"CHANNEL_BRIDGE'
    headers: dict[str, object] = {
        "Event-Name": "CHANNEL_CREATE",
        "A": "1",
        "X": forged,
        "Answer-State": ',"Y":"',
    }
    for _ in range(2):  # the first of a name is decoded whole, the next ones are not
        event = one_event(json_event(headers))
        assert event.unique_id == ""
        assert event.get("Unique-ID", "none") == "none"
        assert event.get("Y", "none") == "none"
        assert event.get("X") == forged
        assert event.name == "CHANNEL_CREATE"


def test_bytes_that_are_no_utf8_spoil_their_own_value_only() -> None:
    body = b'{"Event-Name":"CHANNEL_CREATE","Caller-Caller-ID-Name":"Zo\xeb","Unique-ID":"u-1","Good":"Zo\xc3\xab"}'
    for _ in range(2):
        event = one_event(in_frame(body))
        assert event.get("Good") == "Zoë"
        assert event.get("Caller-Caller-ID-Name") == "Zo\N{REPLACEMENT CHARACTER}"
        assert event.unique_id == "u-1"
        assert event.raw == body
        event.get("Caller-Caller-ID-Name").encode()  # goes on to protobuf, which refuses lone surrogates


def test_of_a_header_that_comes_twice_the_last_one_counts_however_it_is_read() -> None:
    body = b'{"Event-Name":"CHANNEL_CREATE","Hangup-Cause":"FIRST","B":"b","Hangup-Cause":"LAST"}'
    for _ in range(2):
        event = one_event(in_frame(body))
        assert event.get("Hangup-Cause") == "LAST"
        assert event.headers["Hangup-Cause"] == "LAST"


def test_an_array_gives_its_first_element_and_is_whole_in_the_headers() -> None:
    for _ in range(2):
        event = one_event(
            json_event({"Event-Name": "CHANNEL_CREATE", "variable_x": ["a", "b"], "variable_none": []})
        )
        assert event.variable("x") == "a"
        assert event.variable("none", "nothing") == "nothing"
        assert event.headers["variable_x"] == ["a", "b"]
    plain = one_event(
        in_frame(b"Event-Name: CUSTOM\nvariable_x: ARRAY%3A%3Aa|%3Ab\nempty: _undef_\n\n", b"plain")
    )
    assert plain.headers["variable_x"] == ["a", "b"]
    assert plain.get("empty", "default") == ""


def test_another_writers_json_is_read_too() -> None:
    event = one_event(json_event({"Event-Name": "CHANNEL_CREATE", "Unique-ID": "u", "n": 7}, spaced=True))
    assert (event.name, event.unique_id, event.get("n")) == ("CHANNEL_CREATE", "u", "7")


def test_many_headers_of_one_event_are_read_right() -> None:
    headers: dict[str, object] = {"Event-Name": "CHANNEL_ANSWER", **{f"H-{n}": f"v{n}" for n in range(40)}}
    Decoder().feed(json_event(headers))
    event = one_event(json_event(headers))
    assert [event.get(f"H-{n}") for n in range(40)] == [f"v{n}" for n in range(40)]
    assert event.get("H-40", "?") == "?"


@pytest.mark.parametrize("body", [b'{"Event-Name":', b"[1,2]", b"nonsense", b"", b'{"Event-Name":"X"'])
def test_an_event_that_makes_no_sense_is_handed_over_as_a_frame_and_the_next_one_is_fine(body: bytes) -> None:
    broken, good = Decoder().feed(in_frame(body) + json_event({"Event-Name": "HEARTBEAT"}))
    assert isinstance(broken, Frame)
    assert (broken.content_type, broken.body) == ("text/event-json", body)
    assert isinstance(good, Event)
    assert good.name == "HEARTBEAT"


def test_an_event_broken_in_the_middle_says_so_when_it_is_read() -> None:
    Decoder().feed(json_event({"Event-Name": "CHANNEL_CREATE"}))
    event = one_event(in_frame(b'{"Event-Name":"CHANNEL_CREATE","A":"1" "B","C":"\\u00e9"}'))
    with pytest.raises(ProtocolError, match="no JSON"):
        event.get("C")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\n\n",
        b"Content-Length: many\n\n",
        b"Content-Length: -5\n\n",
        b"Content-Type: api/response\nContent-Length: 1_0\n\n",
        b"Content-Length: %d\n\n" % (MAX_BODY_BYTES + 1),
        b"Content-Length: " + b"9" * 5000 + b"\n\n",
        b"A: " + b"x" * (MAX_HEAD_BYTES + 1),
    ],
    ids=["http", "word", "negative", "underscore", "oversize", "huge", "endless-head"],
)
def test_garbage_is_refused_instead_of_kept(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(data)


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_at_the_bound_passes_and_one_above_is_refused_however_it_comes(whole: bool) -> None:
    longest = b"A: " + b"x" * (MAX_HEAD_BYTES - 3) + b"\n\n"

    def feed(head: bytes) -> list[Frame | Event]:
        decoder = Decoder()
        return [
            item for piece in ([head] if whole else [head[:-1], head[-1:]]) for item in decoder.feed(piece)
        ]

    assert len(feed(longest)) == 1
    with pytest.raises(ProtocolError, match="no end of the headers"):
        feed(b"A" + longest)


def test_what_came_before_bytes_that_make_no_sense_is_returned_first() -> None:
    good = json_event({"Event-Name": "HEARTBEAT"})
    decoder = Decoder()
    (event,) = decoder.feed(good + b"HTTP/1.1 400 Bad Request\n\n")
    assert isinstance(event, Event)
    assert decoder.error is not None
    with pytest.raises(ProtocolError, match="not a header"):
        decoder.feed(good)


def test_an_event_under_two_names_has_the_one_in_front_unless_that_is_a_reused_command() -> None:
    for first, second, name in (
        ("CUSTOM", "CHANNEL_PARK", "CUSTOM"),
        ("COMMAND", "PRIVATE_COMMAND", "PRIVATE_COMMAND"),
    ):
        for _ in range(2):
            body = f'{{"Event-Name":"{first}","A":"1","Event-Name":"{second}"}}'.encode()
            assert one_event(in_frame(body)).name == name
            text = f"Event-Name: {first}\nA: 1\nEvent-Name: {second}\n\n".encode()
            assert one_event(in_frame(text, b"plain")).name == name


def test_a_frame_without_a_content_type_and_one_with_a_header_over_two_lines() -> None:
    bare, multi = Decoder().feed(
        b"Content-Length: 3\n\nabc\nReply-Text: one\ntwo\nContent-Type: command/reply\nEmpty:\n\n"
    )
    assert isinstance(bare, Frame)
    assert (bare.content_type, bare.body) == ("", b"abc")
    assert isinstance(multi, Frame)
    assert multi.text == "one\ntwo"
    assert multi.headers["Empty"] == ""


def test_a_large_answer_passes_and_the_buffer_shrinks_again() -> None:
    decoder = Decoder()
    answer = b"x" * 3_000_000
    data = b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(answer), answer)
    items: list[Frame | Event] = []
    written = 0
    while written < len(data):
        space = decoder.space()
        count = min(len(space), len(data) - written)
        space[:count] = data[written : written + count]
        written += count
        items += decoder.received(count)
    (frame,) = items
    assert isinstance(frame, Frame)
    assert frame.body == answer
    assert decoder.pending == 0
    assert len(decoder.space()) < 1_000_000


def test_sendmsg_carries_the_argument_as_a_body() -> None:
    assert (
        sendmsg("playback", "reload mod_event_socket é", "id-1", unique_id="u-1", event_lock=True)
        == (
            "sendmsg u-1\ncall-command: execute\nexecute-app-name: playback\nEvent-UUID: id-1\nevent-lock: true\n"
            "content-type: text/plain\ncontent-length: 26\n\nreload mod_event_socket é"
        ).encode()
    )
    assert sendmsg("answer", "", "id-2", event_lock=False) == (
        b"sendmsg\ncall-command: execute\nexecute-app-name: answer\nEvent-UUID: id-2\n\n"
    )
    with pytest.raises(UnsafeCommandError):
        sendmsg("set", "a=b\nc", "id", event_lock=True)
