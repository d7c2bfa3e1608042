"""Requests to web services: what is asked, filled in with what the call knows. Pure.

Values go into a path percent-encoded and into a body as JSON strings, so none of them can become another path, another field or another
request. A value that would be a step in a path (``.``, ``..``) is refused: servers undo the encoding of dots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_HEADER_UNSAFE = re.compile(r"[^ -~]")


class Wanted(msgspec.Struct, frozen=True):
    """A value of the answer: the variable that gets it, where it stands, and what counts when it does not; None: then it failed."""

    variable: str
    path: str
    default: str | None = None


class Request(msgspec.Struct, frozen=True):
    """A question to a service, with ``{name}`` where a variable goes."""

    service: str
    path: str
    wanted: tuple[Wanted, ...]
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    """A JSON object; None: nothing is sent."""
    timeout_ms: int = 3_000
    tries: int = 1


class Customer(msgspec.Struct, frozen=True):
    """What is known of a caller; empty where nothing is."""

    customer: str = ""
    name: str = ""
    service_class: str = ""
    agent: str = ""
    language: str = ""


class Filled(msgspec.Struct, frozen=True):
    """A request as it is sent."""

    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def fill(request: Request, variables: Mapping[str, str]) -> Filled | None:
    """Put variables in their places; None when one of them would change the path."""
    path, question, query = request.path.partition("?")
    values = [variables.get(name, "") for name in _PLACEHOLDER.findall(path)]
    steps = _put(path, variables).split("/")
    if any(not value for value in values) or any(step in (".", "..") for step in steps):
        return None

    def encoded(match: re.Match[str]) -> str:
        return quote(variables.get(match[1], ""), safe="")

    headers = tuple((name, _HEADER_UNSAFE.sub("", _put(text, variables))) for name, text in request.headers)
    body = b"" if request.body is None else msgspec.json.encode(_filled(request.body, variables))
    return Filled(
        _PLACEHOLDER.sub(encoded, path) + question + _PLACEHOLDER.sub(encoded, query), headers, body
    )


def _put(text: str, variables: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: variables.get(match[1], ""), text)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _put(value, variables)
    if isinstance(value, dict):
        return {name: _filled(part, variables) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, variables) for part in value]
    return value


def taken(request: Request, values: Mapping[str, str]) -> dict[str, str] | None:
    """The variables that an answer sets; None when one has neither a value nor a default."""
    found: dict[str, str] = {}
    for wanted in request.wanted:
        value = values.get(wanted.variable, wanted.default)
        if value is None:
            return None
        found[wanted.variable] = value
    return found


def customer_of(values: Mapping[str, str]) -> Customer:
    """A customer out of the answer to a look-up."""
    return Customer(
        values.get("customer", ""),
        values.get("name", ""),
        values.get("class", ""),
        values.get("agent", ""),
        values.get("language", ""),
    )
