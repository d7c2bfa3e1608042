"""Web services that flows ask, and the customers that a center knows: their form in the center document.

A flow asks a *service* that the document names, never an address of its own: the services are the list of allowed hosts, also for
redirects, and their headers (with secrets that stand in files, never in the document) go to no other host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jsonpath
from pydantic import AfterValidator, Discriminator, Field, JsonValue, StringConstraints, Tag, model_validator

from services.center.words import Language, OutsideNumber, Part, Token

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,30}")
_PATHS = jsonpath.JSONPathEnvironment(strict=True)

NUMBER = "number"
"""The one variable of ``customer_lookup``: whose customer is looked for."""


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as e:
        raise ValueError(f'bad address "{text}": {e}') from None
    host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname or ""
    if url.scheme not in ("https", "http") or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(f'bad address "{text}"; expected https://host, perhaps with a port and a path')
    if url.username is not None or url.query or url.fragment or text.endswith("/"):
        raise ValueError(f'bad address "{text}"; expected no user, no question mark, no / at the end')
    return text


def placeholders(text: str) -> list[str]:
    """The variables that stand in a text as ``{name}``. Raises ValueError for a brace that is none of them."""
    found = _PLACEHOLDER.findall(text)
    if "{" in _PLACEHOLDER.sub("", text) or "}" in _PLACEHOLDER.sub("", text):
        raise ValueError(f'"{text}": a brace without its other one')
    for name in found:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f'"{text}": {{{name}}} names no variable')
    return list(found)


def _filled(text: str) -> str:
    placeholders(text)
    return text


def _path(text: str) -> str:
    if any(part in (".", "..") for part in text.partition("?")[0].split("/")):
        raise ValueError(f'"{text}": expected no . and .. in a path')
    return _filled(text)


def texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value, the names of its fields left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def _body(value: dict[str, Any]) -> dict[str, Any]:
    for text in texts(value):
        placeholders(text)
    return value


def _json_path(text: str) -> str:
    try:
        path = _PATHS.compile(text)
    except jsonpath.JSONPathError as e:
        first = str(e).splitlines()[0]
        raise ValueError(f'bad JSON path "{text}": {first}') from None
    if not (isinstance(path, jsonpath.JSONPath) and path.singular_query()):
        raise ValueError(f'JSON path "{text}" may find several values; expected one, such as $.customer.name')
    return text


HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
HeaderText = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,500}[!-~])?$")]
JsonPath = Annotated[str, StringConstraints(max_length=200), AfterValidator(_json_path)]
"""Where a value stands in an answer (RFC 9535, names and indexes only): ``$.customer.name``."""
Status = Annotated[str, StringConstraints(pattern=r"^[2-5][0-9]{2}$")]


class SecretHeader(Part):
    """A header whose value is in a file of the installation (``PEYVAND_IVR_SECRETS_DIR``/<tenant>/<name>)."""

    secret: Token
    before: Annotated[str, StringConstraints(pattern=r"^[ -~]{0,40}$")] = ""
    """What stands before it: ``"Bearer "``."""


def _one_or_more(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<more>"


HeaderValue = Annotated[
    Annotated[HeaderText, Tag("<text>")] | Annotated[SecretHeader, Tag("<more>")],
    Discriminator(_one_or_more),
]


class WebService(Part):
    """A web service that flows may ask, and to which a redirect of another one may lead."""

    url: Annotated[str, StringConstraints(max_length=500), AfterValidator(_address)]
    """Where its paths begin: ``https://crm.example.com/api``."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Of every request to it."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 50
    """So many requests of a process at a time; one more waits within its own time limit."""
    most_kb: Annotated[int, Field(ge=1, le=1024)] = 64
    """A longer answer is a failure."""

    @model_validator(mode="after")
    def _secret(self) -> WebService:
        secret = any(isinstance(value, SecretHeader) for value in self.headers.values())
        if secret and not self.url.startswith("https:"):
            raise ValueError("a secret header needs an address that begins with https")
        return self


class ValueAt(Part):
    """Where a value stands in an answer, and what counts when it is not there."""

    path: JsonPath
    default: Annotated[str, StringConstraints(max_length=200)]


Wanted = Annotated[
    Annotated[JsonPath, Tag("<text>")] | Annotated[ValueAt, Tag("<more>")],
    Discriminator(_one_or_more),
]


class Request(Part):
    """A question to a web service. ``{name}`` in the path, a header or a text of the body is what the variable has."""

    http: Token
    """The service, one of ``web``."""
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=500), AfterValidator(_path)] = "/"
    """Behind the service's address, with a query perhaps: ``/customers?number={caller}``. Values are percent-encoded."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[HeaderName, Annotated[HeaderText, AfterValidator(_filled)]] = {}
    body: Annotated[dict[str, JsonValue], AfterValidator(_body)] | None = None
    """Sent as JSON."""
    timeout_s: Annotated[int, Field(ge=1, le=30)] = 3
    """Of one try, from looking for the host to the last byte."""
    retries: Annotated[int, Field(ge=0, le=3)] = 0
    """More tries after a failure that may pass: no connection, no answer in time, 429, 500 to 599. Also of what changes something."""

    @model_validator(mode="after")
    def _sends(self) -> Request:
        if self.body is not None and self.method in ("GET", "DELETE"):
            raise ValueError(f"{self.method} has no body; expected method: POST, PUT or PATCH")
        return self


class CustomerLookup(Request):
    """What a customer is asked for by number, where ``customers`` does not know it. The path or body has ``{number}``."""

    into: Annotated[
        dict[Literal["customer", "name", "class", "agent", "language"], Wanted], Field(min_length=1)
    ]


class Customer(Part):
    """What is known of who calls from a number."""

    customer: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+*#_.:-]{1,64}$")] | None = None
    """As other systems call them; goes to the agent and into the reports."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\r\n]+$")] | None = None
    class_: Token | None = Field(None, alias="class")
    """One of ``routing.classes``."""
    agent: Token | None = None
    """Whom they prefer to speak to."""
    language: Language | None = None


Customers = dict[OutsideNumber, Customer]
