"""Web services that hang, drip, flood, redirect, lie about who they are or answer nonsense: a failure, in time, and nobody else waits."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from services.center import Center, load
from services.center.web import SecretHeader, WebService
from services.common import webclient
from services.common.errors import ConfigError, WebUnavailable
from services.common.webclient import WebClient, may_reach, networks
from services.ivr.adapters.web import Web, as_text
from services.ivr.core.model import SendRequest
from tests import certificates as made_certificates
from tests.integration.web_peer import WebPeer

DEMO = Path(__file__).parents[2] / "deploy" / "centers" / "demo.yaml"
LOOPBACK = networks(["127.0.0.0/8", "::1/128"])
WANTED = (
    ("id", "$.id"),
    ("name", "$.name"),
    ("vip", "$.vip"),
    ("balance", "$.balance"),
    ("second", "$.phones[1]"),
)
SECRET = "s3cret-of-crm"


def center(*peers: WebPeer, at_once: int = 50) -> Center:
    services = {
        f"web{i}": WebService(url=peer.url, most_kb=64, at_once=at_once) for i, peer in enumerate(peers)
    }
    return load(DEMO).centers[0].model_copy(update={"web": services})


def ask(
    target: str, *, timeout_ms: int = 2_000, tries: int = 1, method: str = "GET", body: bytes = b""
) -> SendRequest:
    return SendRequest(1, "web0", method, target, (("X-Flow", "main"),), body, timeout_ms, tries, WANTED)


@pytest.fixture
async def client() -> AsyncIterator[WebClient]:
    client = WebClient(LOOPBACK)
    yield client
    await client.stop()


@pytest.fixture
async def peer() -> AsyncIterator[WebPeer]:
    async with WebPeer() as peer:
        yield peer


async def reason(web: Web, of: Center, asked: SendRequest) -> str:
    with pytest.raises(WebUnavailable) as caught:
        await web.ask(of, asked)
    return caught.value.reason


async def test_values_come_as_text_and_what_is_not_there_does_not(client: WebClient, peer: WebPeer) -> None:
    status, values = await Web(client, None).ask(
        center(peer), ask("/ok?n=1", method="POST", body=b'{"a": 1}')
    )
    assert status == 200
    assert values == {"id": "4711", "name": "Sara Ahmadi", "vip": "true", "balance": "12.5", "second": "2"}
    (head,) = peer.requests
    assert head.startswith("POST /ok?n=1 HTTP/1.1\r\n")
    assert "X-Flow: main\r\n" in head
    assert peer.bodies == [b'{"a": 1}']
    _, nothing = await Web(client, None).ask(center(peer), ask("/wrong"))
    assert nothing == {}
    _, nothing = await Web(client, None).ask(center(peer), ask("/list"))
    assert nothing == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hang", "timeout"),
        ("/drip", "timeout"),
        ("/huge", "too_large"),
        ("/loop", "redirect"),
        ("/inside", "redirect"),
        ("/away", "redirect"),
        ("/garbage", "not_json"),
        ("/gzip", "encoding"),
        ("/short", "protocol"),
        ("/noise", "protocol"),
    ],
)
async def test_what_is_of_no_use_is_a_failure_in_time(
    client: WebClient, peer: WebPeer, path: str, expected: str
) -> None:
    async with WebPeer() as other:
        peer.elsewhere = other.url
        async with asyncio.timeout(5):
            assert await reason(Web(client, None), center(peer), ask(path, timeout_ms=300)) == expected
        assert other.requests == []


async def test_a_status_is_an_answer_and_some_are_asked_again(client: WebClient, peer: WebPeer) -> None:
    web, of = Web(client, None), center(peer)
    assert await web.ask(of, ask("/404", tries=3)) == (404, {})
    assert len(peer.requests) == 1
    assert await web.ask(of, ask("/500", tries=2)) == (500, {})
    assert len(peer.requests) == 3
    peer.requests.clear()
    status, values = await web.ask(of, ask("/twice", tries=2))
    assert (status, values["id"]) == (200, "4711")


async def test_nobody_listens_is_asked_again_and_then_a_failure(client: WebClient) -> None:
    async with WebPeer() as peer:
        of = center(peer)
    assert await reason(Web(client, None), of, ask("/ok", tries=2)) == "connection"


async def test_a_redirect_to_another_service_of_the_center_takes_that_ones_headers(
    client: WebClient, peer: WebPeer
) -> None:
    async with WebPeer() as other:
        of = center(peer, other)
        services = dict(of.web)
        services["web0"] = WebService(url=peer.url, headers={"X-Key": "mine"})
        services["web1"] = WebService(url=other.url, headers={"X-Key": "other"})
        of = of.model_copy(update={"web": services})
        peer.elsewhere = other.url
        status, values = await Web(client, None).ask(of, ask("/away"))
        assert (status, values["id"]) == (200, "4711")
        assert "X-Key: mine\r\n" in peer.requests[0]
        assert "X-Key: other\r\n" in other.requests[0]
        assert "mine" not in other.requests[0]
        assert "X-Flow" not in other.requests[0]


async def test_a_slow_service_delays_nobody_but_those_who_ask_it(client: WebClient, peer: WebPeer) -> None:
    async with WebPeer() as quick:
        slow_one = center(peer, at_once=5)
        web = Web(client, None)
        waiting = ask("/hang", timeout_ms=60_000)
        hanging = [asyncio.create_task(web.ask(slow_one, waiting)) for _ in range(200)]
        while peer.open < 5:
            await asyncio.sleep(0.01)
        for _ in range(20):
            status, _ = await web.ask(center(quick), ask("/ok", timeout_ms=30_000))
            assert status == 200
        assert peer.open == 5, "no more at a time than the document says"
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_without_leave_no_connection_goes_inside(peer: WebPeer, host: str) -> None:
    client = WebClient()
    try:
        of = center(peer)
        of = of.model_copy(update={"web": {"web0": WebService(url=f"http://{host}:{peer.port}")}})
        assert await reason(Web(client, None), of, ask("/ok")) == "forbidden"
        assert peer.requests == []
    finally:
        await client.stop()


async def test_a_name_is_resolved_once_and_the_connection_goes_where_was_looked(
    client: WebClient, peer: WebPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[ipaddress.ip_address("10.1.2.3")], [ipaddress.ip_address("127.0.0.1")]]
    asked: list[str] = []

    def resolve(host: str) -> list[webclient.Address]:
        asked.append(host)
        return list(answers[min(len(asked), 2) - 1])

    monkeypatch.setattr(webclient, "resolve", resolve)
    assert await reason(Web(client, None), center(peer), ask("/ok")) == "forbidden"
    assert await reason(Web(client, None), center(peer), ask("/ok")) == "forbidden"
    assert asked == ["localhost"], "a second answer that is harmless does not make the first one so"


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("8.8.8.8", True), ("2a00:1450::1", True), ("10.0.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("127.0.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False), ("240.0.0.1", False), ("::1", False), ("fd00::1", False),
        ("fe80::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::", False), ("192.168.7.7", True),
        ("::ffff:192.168.7.7", True),
    ],
)  # fmt: skip
def test_which_addresses_may_be_reached(address: str, *, reachable: bool) -> None:
    assert may_reach(ipaddress.ip_address(address), networks(["192.168.7.0/24"])) is reachable


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1/8"):
        networks(["10.0.0.1/8"])


async def test_a_secret_is_sent_read_anew_and_in_no_log(
    client: WebClient, peer: WebPeer, tmp_path: Path
) -> None:
    of = center(peer)
    service = WebService.model_construct(
        url=peer.url,
        headers={"Authorization": SecretHeader(secret="crm", before="Bearer ")},
        at_once=5,
        most_kb=64,
    )
    of = of.model_copy(update={"web": {"web0": service}})
    web = Web(client, tmp_path)
    with structlog.testing.capture_logs() as logs:
        assert await reason(web, of, ask("/ok")) == "secret"
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "crm").write_text(SECRET + "\n")
        assert (await web.ask(of, ask("/ok")))[0] == 200
        (tmp_path / "demo" / "crm").write_text("another")
        assert await reason(web, of, ask("/garbage")) == "not_json"
        (tmp_path / "demo" / "crm").write_text("two\nlines")
        assert await reason(web, of, ask("/ok")) == "secret"
    assert f"Authorization: Bearer {SECRET}\r\n" in peer.requests[0]
    assert "Authorization: Bearer another\r\n" in peer.requests[1]
    assert len(logs) == 3
    assert not any(word in str(logs) for word in (SECRET, "another", "two"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server.pem that it signed for ``localhost``, other.pem for another name."""
    folder = tmp_path_factory.mktemp("certificates")
    return made_certificates.make(folder, {"server": "DNS:localhost", "other": "DNS:crm.example.com"})


@pytest.mark.parametrize(
    ("name", "trusted", "expected"),
    [("server", True, ""), ("server", False, "certificate"), ("other", True, "certificate")],
    ids=["right", "unknown authority", "another name"],
)
async def test_certificates_are_verified(
    certificates: Path, name: str, *, trusted: bool, expected: str
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    client = WebClient(LOOPBACK, certificates / "ca.pem" if trusted else None)
    async with WebPeer(tls) as peer:
        try:
            web, of = Web(client, None), center(peer)
            if expected:
                assert await reason(web, of, ask("/ok", tries=2)) == expected
                assert peer.requests == []
            else:
                assert (await web.ask(of, ask("/ok")))[0] == 200
        finally:
            await client.stop()


def test_a_file_without_authorities_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        WebClient((), tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (7, "7"), (12.5, "12.5"), (3.0, "3"), (1e30, None), (None, None), ([1], None), ({}, None),
     ("a\u2028b\x00 ", "a b"), ("x" * 500, "x" * 200)],
)  # fmt: skip
def test_what_a_value_is_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text
