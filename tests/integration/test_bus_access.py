"""Logging in to a real server: user and password, an nkey, a credentials file, TLS with and without our own certificate."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.common.bus import Outgoing, subjects
from services.common.bus.access import NatsAccess, from_environment
from services.common.bus.base import Unstored
from services.common.bus.embedded import EmbeddedNats
from services.common.bus.migrate import migrate
from services.common.bus.nats import NatsBus
from services.common.clock import SystemClock
from services.common.errors import ConfigError
from services.contracts.peyvand.queue.v1.events_pb2 import ContactGone
from tests import certificates as made_certificates

pytestmark = pytest.mark.nats
nkeys = pytest.importorskip("nkeys", reason="the package nkeys is not installed: make install")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def servers() -> Iterator[list[EmbeddedNats]]:
    started: list[EmbeddedNats] = []
    yield started
    for server in started:
        server.stop()


def start(servers: list[EmbeddedNats], folder: Path, more: str) -> str:
    server = EmbeddedNats(folder / "nats", more=more)
    servers.append(server)
    return server.start()


def set_environment(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"PEYVAND_NATS_{name.upper()}", str(value))


async def works(url: str, access: NatsAccess) -> None:
    """The streams are made and a fact is stored, with the login of the environment."""
    await migrate(url, replicas=1)
    bus = NatsBus(url, source="/test/1", clock=SystemClock(), access=access)
    bus.start()
    try:
        await bus.connected(10)
        message = ContactGone(contact_id="c", state="waiting", at_us=1)
        await bus.append(Outgoing(subjects.fact("demo", "queue", "contact", "gone"), message, "id", "demo"))
    finally:
        await bus.stop()


async def refused(url: str, access: NatsAccess | None, expected: str) -> str:
    """What readiness says, in these words sooner or later, about a login that the server does not take."""
    said: list[str] = []
    bus = NatsBus(
        url,
        source="/test/1",
        clock=SystemClock(),
        access=access,
        on_ready=lambda part, ok, detail: said.append(detail),
    )
    bus.start()
    try:
        with pytest.raises(Unstored):
            await bus.connected(1.5)
        async with asyncio.timeout(10):
            while not any(expected in detail for detail in said):
                await asyncio.sleep(0.02)
    finally:
        await bus.stop()
    return next(detail for detail in said if expected in detail)


async def test_access_by_user_and_password(
    servers: list[EmbeddedNats], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = start(servers, folder, 'authorization { user: "queue", password: "p w@rd%" }')
    set_environment(monkeypatch, user="queue", password="p w@rd%")
    access = from_environment()
    assert "w@rd" not in repr(access)
    await works(url, access)
    detail = await refused(url, NatsAccess(user="queue", password="wrong"), "refuses us")
    assert "PEYVAND_NATS_USER" in detail
    assert "wrong" not in detail


async def test_access_by_nkey(
    servers: list[EmbeddedNats], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = nkeys.encode_seed(hashlib.sha256(b"for tests").digest(), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (folder / "user.nk").write_bytes(seed)
    url = start(servers, folder, f'authorization {{ users: [ {{ nkey: "{public}" }} ] }}')
    set_environment(monkeypatch, nkey_file=folder / "user.nk")
    await works(url, from_environment())
    await refused(url, None, "refuses us")


def jwt(claims: dict[str, Any], issuer: Any) -> str:
    """A token of NATS' second version, signed by an nkey."""

    def part(value: Any) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"iat": 1_700_000_000, "iss": issuer.public_key.decode(), **claims}
    claims["jti"] = (
        base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).rstrip(b"=").decode()
    )
    signed = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(claims)}"
    return f"{signed}.{part(issuer.sign(signed.encode()))}"


async def test_access_by_credentials_file(
    servers: list[EmbeddedNats], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(name: bytes, prefix: int) -> tuple[bytes, Any]:
        seed = nkeys.encode_seed(hashlib.sha256(name).digest(), prefix)
        return seed, nkeys.from_seed(bytearray(seed))

    operator = key(b"operator", nkeys.PREFIX_BYTE_OPERATOR)[1]
    account = key(b"account", nkeys.PREFIX_BYTE_ACCOUNT)[1]
    seed, user = key(b"user", nkeys.PREFIX_BYTE_USER)
    unlimited = dict.fromkeys(("subs", "data", "payload"), -1)
    limits = {
        **unlimited, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    }  # fmt: skip
    of_operator = jwt(
        {"sub": operator.public_key.decode(), "name": "o", "nats": {"type": "operator", "version": 2}},
        operator,
    )
    system = key(b"system", nkeys.PREFIX_BYTE_ACCOUNT)[1]

    def an_account(name: str, who: Any, granted: dict[str, Any]) -> str:
        claims = {"limits": granted, "type": "account", "version": 2}
        return jwt({"sub": who.public_key.decode(), "name": name, "nats": claims}, operator)

    preload = {
        account.public_key.decode(): an_account("a", account, limits),
        system.public_key.decode(): an_account(
            "SYS",
            system,
            {
                k: v
                for k, v in limits.items()
                if k not in ("mem_storage", "disk_storage", "streams", "consumer")
            },
        ),
    }
    of_user = jwt(
        {
            "sub": user.public_key.decode(),
            "name": "u",
            "nats": {"pub": {}, "sub": {}, **unlimited, "type": "user", "version": 2},
        },
        account,
    )
    (folder / "user.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
    url = start(
        servers,
        folder,
        f'operator: "{of_operator}"\nsystem_account: {system.public_key.decode()}\nresolver: MEMORY\n'
        f"resolver_preload: {{ {', '.join(f'{who}: {token}' for who, token in preload.items())} }}",
    )
    set_environment(monkeypatch, creds_file=folder / "user.creds")
    await works(url, from_environment())
    await refused(url, None, "refuses us")


@pytest.fixture
def certificates(folder: Path) -> Path:
    """ca.pem, and server.pem and client.pem with their keys, which it signed."""
    return made_certificates.make(folder, {"server": "IP:127.0.0.1", "client": "IP:127.0.0.1"})


def tls(folder: Path, more: str = "") -> str:
    cert, key, ca = (json.dumps(str(folder / name)) for name in ("server.pem", "server.key", "ca.pem"))
    return f"tls {{ cert_file: {cert}, key_file: {key}, ca_file: {ca} {more} }}"


async def test_access_over_tls_trusts_only_the_named_signer(
    servers: list[EmbeddedNats], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = start(servers, certificates, tls(certificates)).replace("nats://", "tls://")
    set_environment(monkeypatch, tls_ca_file=certificates / "ca.pem")
    await works(url, from_environment())
    await refused(url, None, "no TLS that both agree on")


async def test_access_over_tls_with_our_own_certificate(
    servers: list[EmbeddedNats], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = start(servers, certificates, tls(certificates, ", verify: true"))
    set_environment(
        monkeypatch,
        tls_ca_file=certificates / "ca.pem",
        tls_cert_file=certificates / "client.pem",
        tls_key_file=certificates / "client.key",
    )
    await works(url, from_environment())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"user": "queue"}, "PEYVAND_NATS_USER and PEYVAND_NATS_PASSWORD together"),
        ({"password": "secret"}, "PEYVAND_NATS_USER and PEYVAND_NATS_PASSWORD together"),
        ({"creds_file": "/nowhere/x.creds"}, "PEYVAND_NATS_CREDS_FILE: expected a file that can be read"),
        ({"user": "a", "password": "secret", "nkey_file": __file__}, "expected one of"),
        ({"tls_cert_file": __file__}, "TLS_CERT_FILE and PEYVAND_NATS_TLS_KEY_FILE together"),
        ({"tls_ca_file": __file__}, "expected certificates and a key in PEM"),
    ],
)
def test_access_that_cannot_be_is_refused_at_start(
    values: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, **values)
    with pytest.raises(ConfigError, match=expected) as caught:
        from_environment()
    assert "secret" not in str(caught.value)


def test_access_of_empty_variables_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, user="", creds_file="", tls_ca_file="")
    assert from_environment().options() == {}
