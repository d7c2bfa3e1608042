"""Dial strings: what ``originate`` and ``bridge`` are told to call. Pure. Theory of operation.

A dial string has three levels, and variables at each of them (switch_ivr_originate.c, ``switch_ivr_enterprise_originate``
and ``switch_ivr_originate``, 1.10.12)::

    <a=1>{b=2}[c=3]sofia/agents/1001@host , sofia/agents/1002@host | [c=4]sofia/gateway/trunk/0912 :_: {b=5}user/1003
    |    |    |                           |                        |                                |
    all  this this leg                    rung together            tried after                      at the same time

* ``:_:`` parts the string into *attempts* that run at the same time, each with its own ``{}``;
* ``|`` parts an attempt into *groups*, one tried after the other;
* ``,`` parts a group into *legs* that ring together.

A variable of ``{}`` overrides the same one of ``[]``, unless ``local_var_clobber`` is true (measured: ``{a=1}[a=3]`` gives 1). Brackets
protect the separators inside them; ``^^:`` after an opening bracket makes ``:`` the separator of that list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.core.wire import Value

ENTERPRISE: Final = ":_:"
_EITHER: Final = {
    opening: re.compile(f"[{re.escape(opening + closing)}]") for opening, closing in ("<>", "{}", "[]")
}
_CUTS: Final = {s: re.compile(r"[\[\]{}]|" + re.escape(s)) for s in (ENTERPRISE, "|", ",")}
_TRUE: Final = frozenset({"yes", "on", "true", "t", "enabled", "active", "allow"})


@dataclass(frozen=True, slots=True)
class Destination:
    """One leg to be dialled.

    ``endpoint`` is ``user``, ``sofia``, ``gateway``, ``loopback``, ``null``, ``error``, or anything that was written;
    ``place`` is the domain of a user, the sofia profile, the gateway's name, or the context of a loopback call.
    """

    endpoint: str
    number: str
    place: str
    host: str
    registered: bool
    """Written ``number%domain``: the registration of that number is called."""
    variables: Mapping[str, Value]
    local: Mapping[str, Value]
    """The variables of ``[]`` alone: ``leg_timeout``, ``leg_delay_start`` and such."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Groups that are tried one after the other, each of legs that ring together, and the variables of ``<>`` and ``{}``."""

    groups: tuple[tuple[Destination, ...], ...]
    variables: Mapping[str, Value]


def parse(text: str) -> tuple[Attempt, ...]:
    """Read a dial string. Nothing is refused here: an endpoint that does not exist fails when it is dialled."""
    text = text.strip()
    common: dict[str, Value] = {}
    while text.startswith("<"):
        inner, text = _bracketed(text)
        common |= variables(inner)
    return tuple(_attempt(part.strip(), common) for part in _split(text, ENTERPRISE))


def _attempt(text: str, common: Mapping[str, Value]) -> Attempt:
    shared = dict(common)
    while text.startswith("{"):
        inner, text = _bracketed(text)
        shared |= variables(inner)
    groups = tuple(
        tuple(_destination(leg.strip(), shared) for leg in _split(group, ",")) for group in _split(text, "|")
    )
    return Attempt(groups, shared)


def _destination(text: str, shared: Mapping[str, Value]) -> Destination:
    local: dict[str, Value] = {}
    while text[:1] in ("[", "{"):
        inner, text = _bracketed(text)
        local |= variables(inner)
    merged = {**shared, **local} if is_true(shared.get("local_var_clobber")) else {**local, **shared}
    endpoint, _, rest = text.partition("/")
    endpoint = endpoint.lower()
    number, place, host, registered = rest, "", "", False
    if endpoint == "user":
        number, _, place = rest.partition("@")
    elif endpoint == "sofia":
        first, slash, rest = rest.partition("/")
        if first == "gateway":
            endpoint = "gateway"
            place, _, number = rest.partition("/")
        else:
            place = first
            target = re.split("[;?]", rest.removeprefix("sip:"))[0] if slash else ""
            registered = "%" in target
            number, _, host = target.replace("%", "@").partition("@")
    elif endpoint == "loopback":
        words = [*rest.split("/"), "", ""]
        number, place = words[0], words[1] or "default"
    return Destination(endpoint, number, place, host, registered, merged, local)


def variables(inner: str) -> dict[str, Value]:
    """``a=b,c=d``, or ``^^:a=b:c=d`` with another separator; what has no name is left out."""
    separator = ","
    if inner.startswith("^^") and len(inner) > 2:
        separator, inner = inner[2], inner[3:]
    out: dict[str, Value] = {}
    for pair in separate(inner, separator):
        parts = separate(pair, "=", 2)
        if len(parts) == 2 and parts[0]:
            out[parts[0]] = parts[1]
    return out


def is_true(value: Value | None) -> bool:
    """``switch_true`` of a variable."""
    text = value.lower() if isinstance(value, str) else ""
    return text in _TRUE or (text.isdigit() and int(text) != 0)


def _bracketed(text: str) -> tuple[str, str]:
    """The inside of the bracket that ``text`` starts with, and what follows it."""
    depth = 0
    for found in _EITHER[text[0]].finditer(text):
        depth += 1 if found[0] == text[0] else -1
        if depth == 0:
            return text[1 : found.start()], text[found.end() :].lstrip()
    return text[1:], ""


def _split(text: str, separator: str) -> list[str]:
    """Cut at ``separator`` outside of brackets."""
    if separator not in text:
        return [text]
    out, depth, start = [], 0, 0
    for found in _CUTS[separator].finditer(text):
        if found[0] in "[{":
            depth += 1
        elif found[0] in "]}":
            depth = max(0, depth - 1)
        elif not depth:
            out.append(text[start : found.start()])
            start = found.end()
    out.append(text[start:])
    return out
