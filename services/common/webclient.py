"""Questions to web services that somebody else runs, asked on behalf of people who may not reach everything that this machine can.

Theory of operation
-------------------
Who writes down an address is not who runs this process: without a check a flow could be made to ask the cloud's metadata service, a database's
HTTP port, or NATS. So what a name resolves to is looked at, and the connection goes to the very address that was looked at; a second
answer of the same name (DNS rebinding) is never asked for in between. Only addresses that are global are connected to, and those
networks that the operator allows. That holds for every connection, so for each redirect too; where redirects may lead at all is the
caller's to say (``follow``), with the headers for that place: those of one service never reach another.

Everything is bounded: the answer's size while it is read, the number of redirects, and time by whoever asks (``asyncio.timeout``): a server that sends
one byte a second costs a connection and nothing else. Names are resolved in threads of our own, one for each name that is asked for, so a name
server that hangs delays no other name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from services.common.errors import ConfigError, WebUnavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Sequence[tuple[str, str]]
Follow = Callable[[str], Headers | None]
"""The headers for the place to which a redirect leads; None: it must not be followed."""

_REDIRECTS = 3
_FRESH_S = 30.0
_RESOLVERS = 16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ALWAYS: Headers = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "peyvand"),
)


@dataclass(frozen=True)
class Question:
    """One request. ``most_bytes``: a longer answer is a failure."""

    method: str
    url: str
    headers: Headers
    body: bytes
    most_bytes: int


@dataclass(frozen=True)
class Answer:
    """What came back; the body only of 200 to 299."""

    status: int
    body: bytes


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as ``10.0.0.0/8``. Raises ConfigError for a text that is none."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as e:
            raise ConfigError(f"not a network: {e}; expected one such as 10.0.0.0/8") from None
    return tuple(found)


def innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or (address.teredo or (0, address))[1]
    return address


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a connection to an address is allowed: a global one, or one of these networks."""
    inner = innermost(address)
    if any(a in network for a in (address, inner) for network in allowed if a.version == network.version):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


class _Guarded(httpcore.AsyncNetworkBackend):
    """Resolves, looks, and connects to what was looked at."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._asked: dict[str, tuple[float, asyncio.Future[list[Address]]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await self._addresses(host)
        reachable = [address for address in found if may_reach(address, self._allowed)]
        if not reachable:
            raise WebUnavailable("forbidden", f"{host} is at {found[0]}, where no web service may be")
        error: Exception | None = None
        for address in reachable:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address)
            except httpcore.ConnectError as e:
                error = e
        assert error is not None
        raise error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise WebUnavailable("forbidden", f"{path} is no web service")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> list[Address]:
        try:
            return [ipaddress.ip_address(host.strip("[]"))]
        except ValueError:
            pass
        loop = asyncio.get_running_loop()
        asked = self._asked.get(host)
        if asked is None or (asked[1].done() and loop.time() - asked[0] > _FRESH_S):
            asked = (loop.time(), loop.run_in_executor(self._threads, resolve, host))
            self._asked[host] = asked
        try:
            # Shielded: who gives up must not take the answer from the others.
            return await asyncio.shield(asked[1])
        except OSError as e:
            self._asked.pop(host, None)
            raise WebUnavailable("resolve", f"{host}: {e}", passes=True) from None


def resolve(host: str) -> list[Address]:
    """The addresses of a name, in the system's order. Raises OSError when there are none."""
    rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows))


class WebClient:
    """Asks web services over HTTP/1.1, their certificates verified."""

    def __init__(self, allowed: Sequence[Network] = (), ca_file: Path | None = None) -> None:
        """``allowed``: networks that are not global and may be connected to. ``ca_file``: authorities beside the system's.

        Raises ConfigError for a file that has none.
        """
        context = ssl.create_default_context()
        if ca_file is not None:
            try:
                context.load_verify_locations(ca_file)
            except (OSError, ssl.SSLError) as e:
                raise ConfigError(f"{ca_file}: no certificates of authorities: {e}") from None
        self._backend = _Guarded(allowed)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=50,
            keepalive_expiry=30.0,
            network_backend=self._backend,
        )

    async def stop(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._backend.close()

    async def ask(self, question: Question, follow: Follow) -> Answer:
        """Ask, following redirects as far as ``follow`` allows. The time is the caller's to limit. Raises WebUnavailable."""
        method, url, headers, body = question.method, question.url, question.headers, question.body
        for _ in range(_REDIRECTS + 1):
            answer, location = await self._once(method, url, headers, body, question.most_bytes)
            if location is None:
                return answer
            url = urljoin(url, location)
            allowed = follow(url)
            if allowed is None:
                raise WebUnavailable("redirect", f"{urlsplit(url).netloc[:80]} is no service of the center")
            headers = allowed
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", b""
        raise WebUnavailable("redirect", f"more than {_REDIRECTS} redirects")

    async def _once(
        self, method: str, url: str, headers: Headers, body: bytes, most_bytes: int
    ) -> tuple[Answer, str | None]:
        sent = [*_ALWAYS, *headers, *([("Content-Type", "application/json")] if body else [])]
        try:
            async with self._pool.stream(method, url, headers=sent, content=body or None) as response:
                told = {name.lower(): value for name, value in response.headers}
                if response.status in (301, 302, 303, 307, 308) and b"location" in told:
                    return Answer(response.status, b""), told[b"location"].decode("latin-1")
                if not 200 <= response.status <= 299:
                    return Answer(response.status, b""), None
                if told.get(b"content-encoding", b"identity").lower() != b"identity":
                    raise WebUnavailable("encoding", "an encoded answer, expected it as it is")
                found = b""
                async for part in response.aiter_stream():
                    found += part
                    if len(found) > most_bytes:
                        raise WebUnavailable("too_large", f"more than {most_bytes} bytes")
                return Answer(response.status, found), None
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as e:
            reason = "certificate" if _is_tls(e) else "connection"
            raise WebUnavailable(reason, str(e), passes=reason == "connection") from None
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as e:
            passes = isinstance(
                e, httpcore.RemoteProtocolError
            )  # A server that closes what was kept open, too.
            raise WebUnavailable("protocol", str(e), passes=passes) from None


def _is_tls(error: BaseException) -> bool:
    """Whether a certificate, and no cable, was the reason: httpcore tells both as one error with the other as its context."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
