"""Where the fuzzer begins: pieces of the recorded conversations, and texts that were built to mislead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.esl_transcripts import transcripts

# Longer inputs find nothing that shorter ones do not, and each costs more.
MAX_BYTES = 4_096

HOSTILE = (
    "Bob%0AUnique-ID: victim",
    "a\r\nb",
    "a\n\nauth x",
    "\u2028\x85\x0b",
    "\0",
    "${system(id)}",
    "please Reload my Mod_Event_Socket",
    "ARRAY::a|:b",
    "content-length",
    "x','y=z;{}",
    "\x1e",  # half a surrogate pair, behind ff
)


def seeds(rule: str) -> Iterator[bytes]:
    """Yield the first inputs for a rule."""
    if rule == "client_stream":
        yield from _frames()
    elif rule == "server_stream":
        for recorded in transcripts().values():
            yield recorded.c2s[:MAX_BYTES]
        yield b"sendevent X\r\nContent-Length: 5\r\n\r\nab\n\nc\n\napi status\n\n"
    elif rule == "written_command":
        for recorded in transcripts().values():
            for head in recorded.c2s.split(b"\n\n"):
                line, *rest = head.strip().split(b"\n")
                yield b"\x1f".join(
                    [line, *(part for one in rest for part in re.split(b": ?", one, maxsplit=1))]
                )[:MAX_BYTES]
        for text in HOSTILE:
            word = text.encode()
            for one in (
                word,
                b"api " + word,
                b"sendmsg u\x1fa\x1f" + word,
                b"sendmsg\x1f" + word + b"\x1fb\x1f" + word,
            ):
                yield one
                yield b"\xff" + one
    else:
        for text in HOSTILE:
            word = text.encode()
            yield b"set\x1fcid=" + word + b"\x1fid-1\x1fu-1"
            yield b"playback\x1f" + word + b"\x1f" + word + b"\x1f" + word


def _frames() -> Iterator[bytes]:
    """One short stretch of each kind of frame in each recording, and each short recording whole."""
    for recorded in transcripts().values():
        data = recorded.s2c
        if len(data) <= MAX_BYTES:
            yield data
            continue
        kinds = set()
        at = 0
        while at < len(data):
            end = data.index(b"\n\n", at)
            length = re.search(rb"^Content-Length: (\d+)$", data[at:end], re.MULTILINE)
            stop = end + 2 + (int(length[1]) if length else 0)
            kind = re.search(rb"Content-Type: (.*)", data[at:end])
            named = re.search(rb'Event-Name"?: ?"?(\w+)', data[end:stop])
            key = (kind and kind[1], named and named[1])
            if key not in kinds and stop - at <= MAX_BYTES:
                kinds.add(key)
                yield data[at:stop]
            at = stop
