"""Conversations with a real FreeSWITCH 1.10.12 (git a88d069), recorded on 2026-11-21: every byte of both directions.

``tests/vectors/esl/transcripts.tar.xz`` holds three files a connection: ``NAME.s2c`` (what FreeSWITCH sent), ``NAME.c2s`` (what
the client sent) and ``NAME.idx`` (one line of JSON a read or write, in order: seconds since the connection began, direction,
offset and length in its file). All were made on loopback, with tones instead of voices. What a name stands for:

01 password accepted, and error replies · 02 refused · 03 a command before it · 04, 04b, 04c ``userauth``: accepted, refused,
its reply cut off at 511 bytes · 05 a forbidden address · 06 subscriptions in three forms · 07, 07b a whole outbound call, with
an observer · 08 background originates with their causes · 09, 09b ``uuid_bridge`` · 10 transfer · 11 hold · 12 eavesdrop ·
13 recording · 14, 14b CHANNEL_HANGUP_COMPLETE · 15 HEARTBEAT · 16 mod_callcenter · 17 awkward values in three forms · 18 the
words that reload the module · 19 log lines · 20 one queue call as six subscribers saw it · 21 outbound in JSON, diverted events
"""

from __future__ import annotations

import functools
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ARCHIVE = Path(__file__).parent / "vectors" / "esl" / "transcripts.tar.xz"


@dataclass(frozen=True)
class Transcript:
    """One connection. ``order`` tells the reads and writes as they happened: True for FreeSWITCH's, and the bytes; ``times_s`` when
    each was, since the connection began."""

    name: str
    s2c: bytes
    c2s: bytes
    order: tuple[tuple[bool, bytes], ...]
    times_s: tuple[float, ...]

    def packets(self) -> Iterator[bytes]:
        """FreeSWITCH's bytes in the pieces in which they arrived."""
        return (data for from_switch, data in self.order if from_switch)


@functools.cache
def transcripts() -> dict[str, Transcript]:
    """All of them by name. Unpacked once a process: 10 MB."""
    files: dict[str, bytes] = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None, member.name
            files[member.name] = content.read()
    found = {}
    for name in sorted(file.removesuffix(".s2c") for file in files if file.endswith(".s2c")):
        sides = {"s2c": files[f"{name}.s2c"], "c2s": files[f"{name}.c2s"]}
        steps = [json.loads(line) for line in files[f"{name}.idx"].splitlines()]
        order = tuple(
            (step["dir"] == "s2c", sides[step["dir"]][step["off"] : step["off"] + step["len"]])
            for step in steps
        )
        times_s = tuple(float(step["t"]) for step in steps)
        found[name] = Transcript(name, sides["s2c"], sides["c2s"], order, times_s)
    return found


def transcript(name: str) -> Transcript:
    """One of them."""
    return transcripts()[name]
