"""One recogniser as a process: ``python -m services.ivr.recognisers.worker <recogniser> <language>``.

Messages are frames on standard input and output, each four bytes of length and then msgpack. The first frame out says whether the engine is
there. One question at a time; the end of the input is the end of the process, so it never outlives who started it.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import BinaryIO

import msgspec

from services.common.errors import PeyvandError
from services.ivr.recognisers.engine import Engine, load

_LENGTH = struct.Struct(">I")
_NICE = 5
"""Calls come first: they need little, and at once."""


class Question(msgspec.Struct, frozen=True):
    """What a caller said, and what may have been said."""

    sound: bytes
    phrases: tuple[str, ...]


class Reply(msgspec.Struct, frozen=True):
    """What was understood; ``error`` says why nothing could be."""

    text: str = ""
    error: str = ""


def main(recogniser: str, language: str) -> int:
    """Answer questions until the input ends; return the exit code."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What an engine prints must not get between the frames.
    os.nice(_NICE)
    try:
        engine = load(recogniser, language)
    except PeyvandError as e:
        _send(answers, Reply(error=str(e)))
        return 1
    _send(answers, Reply())
    while (frame := _receive(questions)) is not None:
        _send(answers, _answer(engine, msgspec.msgpack.decode(frame, type=Question)))
    return 0


def _answer(engine: Engine, question: Question) -> Reply:
    try:
        return Reply(engine.understand(question.sound, question.phrases))
    except Exception as e:  # Whatever an engine throws ends this answer only.
        return Reply(error=repr(e))


def _send(to: BinaryIO, reply: Reply) -> None:
    data = msgspec.msgpack.encode(reply)
    to.write(_LENGTH.pack(len(data)) + data)
    to.flush()


def _receive(of: BinaryIO) -> bytes | None:
    head = of.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = of.read(length)
    return data if len(data) == length else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
