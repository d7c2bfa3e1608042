"""How mod_event_socket reads commands, byte for byte: the oracle for whatever is written to a FreeSWITCH.

After ``read_packet`` and the head of ``parse_command`` in mod_event_socket.c, and ``switch_event_base_add_header`` in
switch_event.c, of FreeSWITCH 1.10.12 (git a88d069), their oddities included:

* the end of a line is looked for as the first CR in all the rest, and only if there is none as the first LF;
* what comes after 10 MB is the next command;
* a header with an empty value removes those of its name; ``ARRAY::a|:b`` becomes a list; ``name[3]`` is an element of one;
* a ``content-length`` reads its body at once, wherever it stands; the body ends at its first NUL;
* the words that reload the module count anywhere in the head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_BYTES = 10_485_760


@dataclass
class Read:
    """One command as FreeSWITCH has it in the end."""

    line: str
    headers: list[tuple[str, str | list[str]]] = field(default_factory=list)
    body: bytes = b""
    reloads: bool = False
    """It became ``api bgapi reload mod_event_socket``, whatever it was before."""


def read_commands(data: bytes) -> Iterator[Read]:
    """Yield the commands in ``data``; one that is not complete is not yielded. Raises EOFError for a cut body."""
    at = 0
    while True:
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1
        end = _end_of_head(data, at)
        if end < 0:
            return
        head = data[at:end].split(b"\0", 1)[0]  # C
        found, at = _read(head, data, end)
        yield found


def unread(data: bytes) -> bytes:
    """What is left behind the last complete command, newlines aside."""
    at = 0
    while True:
        while data[at : at + 1] in (b"\r", b"\n"):
            at += 1
        end = _end_of_head(data, at)
        if end < 0:
            return data[at:]
        _, at = _read(data[at:end].split(b"\0", 1)[0], data, end)


def _end_of_head(data: bytes, at: int) -> int:
    feeds = 0
    for i in range(at, len(data)):
        c = data[i]
        if c == 10:
            feeds += 1
        elif c != 13:
            feeds = 0
        if feeds == 2 or i - at + 1 >= MAX_BYTES:
            return i + 1
    return -1


def _read(head: bytes, data: bytes, end: int) -> tuple[Read, int]:
    found = Read(_to_first_break(head).decode("utf-8", "surrogateescape"))
    lowered = head.lower()
    found.reloads = b"mod_event_socket" in lowered and (b"reload" in lowered or b"unload" in lowered)
    rest = _behind_break(head)
    while rest:
        name, colon, value = _to_first_break(rest).partition(b":")
        if colon:
            _add(found, name, value.lstrip(b" "))
            length = _atoi(value.lstrip(b" ")) if name.lower() == b"content-length" else 0
            if length > 0:
                if end + length > len(data):
                    raise EOFError("the body is not all there")
                found.body = data[end : end + length].split(b"\0", 1)[0]
                end += length
        rest = _behind_break(rest)
    return found, end


def _to_first_break(text: bytes) -> bytes:
    for i, c in enumerate(text):
        if c in b"\r\n":
            return text[:i]
    return text


def _behind_break(text: bytes) -> bytes:
    at = text.find(b"\r")
    if at < 0:
        at = text.find(b"\n")
    return b"" if at < 0 else text[at:].lstrip(b"\r\n")


def _add(found: Read, raw_name: bytes, raw_value: bytes) -> None:
    name = raw_name.decode("utf-8", "surrogateescape")
    value = raw_value.decode("utf-8", "surrogateescape")
    if name == "_body":
        found.body = raw_value
    if "[" in name:
        found.headers.append((name.partition("[")[0], [value]))
    elif not value:
        found.headers = [(n, v) for n, v in found.headers if n.lower() != name.lower()]
    elif value.startswith("ARRAY::"):
        found.headers.append((name, value[7:].split("|:")))
    else:
        found.headers.append((name, value))


def _atoi(text: bytes) -> int:
    text = text.lstrip(b" \t\n\v\f\r")
    sign = -1 if text[:1] == b"-" else 1
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    count = 0
    while count < len(digits) and digits[count : count + 1].isdigit():
        count += 1
    return sign * int(digits[:count] or b"0")
