"""The fuzzer's rules over its seeds, and over every input that once broke one (each a defect that was mended)."""

from __future__ import annotations

import pytest

from tests.fuzz.esl_rules import RULES, small_bounds
from tests.fuzz.esl_seeds import seeds


def event(text: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text)


FINDINGS = {
    # A body announced as a superscript two is "digits" to str.isdigit(), and int() raises ValueError.
    "length-in-other-digits": ("server_stream", b"sendevent X\ncontent-length: \xc2\xb2\n\nabcdef"),
    # A body of any announced length was waited for, and kept.
    "endless-body": ("server_stream", b"sendevent X\ncontent-length: 9999999999999\n\n" + b"x" * 4_000),
    # A length of few digits was not held against the bound.
    "short-length": ("client_stream", b"Content-Length: 55378\nContent-Type: text/event-plain\n\nx"),
    # What came before the bytes that make no sense was thrown away or not, as the reads happened to fall.
    "good-before-bad": (
        "client_stream",
        event(b"{}") + b"HTTP/1.1 400\n\n",
    ),
    # The name of an event with two depended on whether it was the first of its kind.
    "two-names": (
        "client_stream",
        event(b'{"Event-Name":"CUSTOM","Event-Name":"CHANNEL_PARK"}') + event(b'{"Event-Name":"CUSTOM"}'),
    ),
    # `unique_id` took the first of two, `get` the last.
    "two-ids": (
        "client_stream",
        2 * event(b'{"Event-Name":"CUSTOM","Unique-ID":"a","Unique-ID":"b"}'),
    ),
    # Half a surrogate pair raised UnicodeEncodeError where a command was written.
    "half-a-pair": ("written_command", b"\xffapi x \x1e"),
    # A second length swallows the next command; an empty value removes the header; a first blank is lost.
    "second-length": ("written_command", b"sendevent X\x1fContent-Length\x1f7\x1fbody"),
    "empty-value": ("written_command", b"sendevent X\x1fa\x1f"),
    "first-blank": ("written_command", b"sendevent X\x1fa\x1f b"),
    "body-with-nul": ("written_command", b"sendevent X\x1fa\0b"),
    # FreeSWITCH makes a list of such a value.
    "list": ("written_command", b"sendevent X\x1fa\x1fARRAY::b"),
    "list-again": ("written_application", b"set\x1fARRAY:::x"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_the_fuzzer_found_holds_now(name: str) -> None:
    rule, data = FINDINGS[name]
    with small_bounds():
        RULES[rule](data)


@pytest.mark.parametrize("rule", RULES)
def test_the_seeds_hold(rule: str) -> None:
    with small_bounds():
        for seed in seeds(rule):
            RULES[rule](seed)
