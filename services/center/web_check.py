"""What must hold where flows ask web services: services that there are, secrets that stay inside.

Pure; yields faults as (path, message), as ``flow_check`` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from services.center.callers import normal
from services.center.flow import BUILT_IN_VARIABLES
from services.center.flow_edges import Fault, unknown
from services.center.flow_web import HttpNode
from services.center.model import CenterDocument
from services.center.source import Path
from services.center.web import NUMBER, Customer, Request, placeholders, texts


def read_by(request: Request) -> Iterator[tuple[Path, str]]:
    """Where a request reads a variable, with the variable."""
    for name in placeholders(request.path):
        yield ("path",), name
    for header, text in request.headers.items():
        for name in placeholders(text):
            yield ("headers", header), name
    for text in texts(request.body):
        for name in placeholders(text):
            yield ("body",), name


def request(document: CenterDocument, asked: Request, hidden: Collection[str]) -> Iterator[Fault]:
    """A request to a service that there is, with secrets where nobody writes them down."""
    service = document.web.get(asked.http)
    if service is None:
        yield ("http",), _unknown_service(asked.http, document)
    plain = service is not None and not service.url.startswith("https:")
    for path, name in read_by(asked):
        if name in hidden and path[0] != "body":
            yield (
                path,
                f'variable "{name}" is secret and belongs into the body: addresses and headers are logged',
            )
        elif name in hidden and plain:
            yield path, f'variable "{name}" is secret and "{asked.http}" has no https address'
    for header in asked.headers:
        fixed = {name.lower() for name in service.headers} if service is not None else set()
        if header.lower() in fixed:
            yield ("headers", header), f'header "{header}" is that of the service "{asked.http}" already'


def http_node(document: CenterDocument, node: HttpNode, hidden: Collection[str]) -> Iterator[Fault]:
    """An HTTP node by itself."""
    yield from request(document, node, hidden)
    for variable in node.into:
        if variable in BUILT_IN_VARIABLES:
            yield ("into", variable), f'variable "{variable}" is set by the call itself'


def customers(document: CenterDocument) -> Iterator[Fault]:
    """What is known of customers names what there is, and each number is one customer's."""
    seen: dict[str, str] = {}
    country = document.country_code or ""
    for number, customer in document.customers.items():
        plain = normal(number, country)
        if plain in seen:
            yield ("customers", number), f'number {number} is the same as "{seen[plain]}"'
        seen.setdefault(plain, number)
        for path, message in _customer(document, customer):
            yield ("customers", number, *path), message
    if (asked := document.customer_lookup) is not None:
        for path, message in request(document, asked, ()):
            yield ("customer_lookup", *path), message
        names = list(read_by(asked))
        for path, name in names:
            if name != NUMBER:
                yield ("customer_lookup", *path), unknown("variable", name, (NUMBER,))
        if not any(name == NUMBER for _, name in names):
            yield ("customer_lookup",), f"nothing in it names the number: {{{NUMBER}}}"
    for i, message in _services(document):
        yield ("web", i, "url"), message


def _services(document: CenterDocument) -> Iterator[tuple[str, str]]:
    """An address belongs to one service: a redirect to it must know whose headers to send."""
    seen: dict[str, str] = {}
    for name, service in document.web.items():
        origin = service.url.split("/", 3)[2]
        if origin in seen:
            yield name, f'"{origin}" is that of the service "{seen[origin]}" already'
        seen.setdefault(origin, name)


def _customer(document: CenterDocument, customer: Customer) -> Iterator[Fault]:
    if customer.class_ is not None and customer.class_ not in document.routing.classes:
        yield ("class",), unknown("class", customer.class_, document.routing.classes)
    if customer.agent is not None and customer.agent not in document.agents:
        yield ("agent",), unknown("agent", customer.agent, document.agents)
    if customer.language is not None and customer.language not in document.languages:
        yield ("language",), unknown("language", customer.language, document.languages)


def can_look_up(document: CenterDocument) -> bool:
    """Whether a look-up could ever find anybody."""
    return bool(document.customers) or document.customer_lookup is not None


def _unknown_service(name: str, document: CenterDocument) -> str:
    if not document.web:
        return f'unknown web service "{name}"; none is declared under web'
    return f'unknown web service "{name}"; expected one of {", ".join(sorted(document.web))}'
