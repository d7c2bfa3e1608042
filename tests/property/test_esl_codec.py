"""The codec under arbitrary splits, headers and garbage; quoting there and back."""

from __future__ import annotations

import contextlib
import json

from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.errors import ProtocolError
from services.common.esl import quoting
from services.common.esl.protocol import Decoder, Event, Frame
from services.common.esl.quoting import channel_vars, command, neutralise, separate, setvar_multi

LINE_TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
TRICKY = st.text(st.sampled_from("ab'\\ ,=;:ns{}$^|\"é"), max_size=16)
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True)


def plain(item: Frame | Event) -> object:
    if isinstance(item, Frame):
        return item.content_type, item.headers, item.body
    return item.name, dict(item.headers)


@given(
    values=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
        ),
        max_size=8,
    ),
)
def test_every_header_of_any_event_reads_back(values: dict[str, str | list[str]]) -> None:
    headers = {"Event-Name": "CHANNEL_STATE", **{k: v for k, v in values.items() if k != "Event-Name"}}
    body = json.dumps(headers, ensure_ascii=False, separators=(",", ":")).encode()
    frame = b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body)
    Decoder().feed(frame)  # from now on the name is known, and the second one is not decoded whole
    (event,) = Decoder().feed(frame)
    assert isinstance(event, Event)
    for name, value in headers.items():
        expected = (value[0] if value else "absent") if isinstance(value, list) else value
        assert event.get(name, "absent") == expected
    assert dict(event.headers) == headers


@given(st.binary(max_size=300))
def test_garbage_is_decoded_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        for item in Decoder().feed(data):
            plain(item)
    except ProtocolError:
        pass


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"Content-Length: 5\n", b"Content-Type: text/event-json\n", b"\n", b"{}", b"A: b\n", b"abc"]
            )
        )
    )
)
def test_shuffled_pieces_of_frames_are_decoded_or_refused(pieces: list[tuple[bytes]]) -> None:
    data = b"".join(piece for (piece,) in pieces)
    with contextlib.suppress(ProtocolError):
        Decoder().feed(data)


def read_originate(text: str) -> dict[str, str]:
    """What FreeSWITCH makes of the argument of `originate`: blanks, then commas, then the first equals sign."""
    words = separate(text, " ", 10)
    assert words[1:] == ["&park()"]
    inside, _, rest = words[0].rpartition("}")
    assert rest == "sofia/internal/x"
    pairs = [separate(part, "=", 2) for part in separate(inside[1:], ",")]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


@given(st.dictionaries(WORDS, st.one_of(TRICKY, LINE_TEXT).filter(bool), min_size=1, max_size=5))
def test_channel_variables_come_out_of_originate_as_they_went_in(variables: dict[str, str]) -> None:
    for value in variables.values():
        assume(":_:" not in value)
        depth = 0
        for c in value:
            depth += (c == "{") - (c == "}")
            assume(depth >= 0)
        assume(depth == 0)
    written = channel_vars(variables)
    assert read_originate(f"{written}sofia/internal/x &park()") == variables
    command(f"api originate {written}sofia/internal/x &park()")


@given(
    st.dictionaries(
        WORDS, st.one_of(TRICKY, LINE_TEXT).filter(lambda v: ";" not in v), min_size=1, max_size=5
    )
)
def test_variables_come_out_of_setvar_multi_as_they_went_in(variables: dict[str, str]) -> None:
    read = dict(part.partition("=")[::2] for part in separate(setvar_multi(variables), ";"))
    assert read == variables


@given(st.text())
def test_neutralised_text_is_always_sendable_and_never_expands(text: str) -> None:
    tame = neutralise(text)
    assert "$" not in tame
    assert "\\" not in tame
    assert neutralise(tame) == tame
    assume(not any("\ud800" <= c <= "\udfff" for c in tame))
    command(f"api x {tame}")
    command(f"api reload {tame}")


@given(
    st.text(alphabet="ab ,;='\\n", max_size=20),
    st.sampled_from(" ,;="),
    st.one_of(st.none(), st.integers(0, 4)),
)
def test_the_short_way_to_separate_gives_what_the_long_one_gives(
    text: str, delimiter: str, limit: int | None
) -> None:
    assert separate(text, delimiter, limit) == quoting._by_character(text, delimiter, limit)
