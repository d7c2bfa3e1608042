"""Mail servers with TLS, without, with a certificate of nobody known, and with passwords: what is sent, and what is said instead."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import ConfigError
from services.reporting.adapters.deliverers import (
    DeliveryFailed,
    MailDeliverer,
    Parcel,
    SmtpUrl,
    Starttls,
    trusting,
)
from services.reporting.app import deliverers_of
from services.reporting.config import ReportingSettings
from tests import certificates as made_certificates
from tests.mail_server import MailServer

SENDER = "Peyvand <reports@example.com>"
PASSWORD = "p@ss:w/rd"
QUOTED = "p%40ss%3Aw%2Frd"
PARCEL = Parcel(
    key="demo morning 1", tenant="demo", subject="گزارش دیروز", page="<p>سلام</p>", text="سلام", file_name="morning.csv",
    media_type="text/csv", content=b"offered,3\n", at_us=0,
)  # fmt: skip
NO_STARTTLS = "it offers no STARTTLS, and nothing is sent in the clear"

Start = Callable[..., Awaitable[MailServer]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    return made_certificates.make(folder, {"server": "IP:127.0.0.1", "other": "DNS:mail.example.com"})


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[MailServer] = []

    async def begin(**how: Any) -> MailServer:
        servers.append(MailServer(**how))
        await servers[-1].start()
        return servers[-1]

    yield begin
    for server in servers:
        await server.stop()


def shown(folder: Path, name: str = "server") -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def sender(
    url: str, ca_file: Path | None = None, starttls: Starttls = "offered", *, timeout_s: float = 30.0
) -> MailDeliverer:
    return MailDeliverer(SmtpUrl.parse(url), SENDER, trusting(ca_file), starttls, timeout_s=timeout_s)


async def reason(deliverer: MailDeliverer) -> str:
    with pytest.raises(DeliveryFailed) as failed:
        await deliverer.deliver("boss@example.com", PARCEL)
    assert PASSWORD not in str(failed.value)
    assert QUOTED not in str(failed.value)
    return str(failed.value)


async def test_tls_from_the_start(start: Start, certificates: Path) -> None:
    server = await start(tls=shown(certificates), user="us", password=PASSWORD)
    await sender(f"smtps://us:{QUOTED}@127.0.0.1:{server.port}", certificates / "ca.pem").deliver(
        "boss@example.com", PARCEL
    )
    ((receiver, message),) = server.taken
    assert receiver == "boss@example.com"
    assert message["Subject"] == "گزارش دیروز"
    assert server.in_tls == [True]
    assert server.logins == [("us", PASSWORD)]


@pytest.mark.parametrize("starttls", ["offered", "required"])
async def test_tls_by_starttls(start: Start, certificates: Path, starttls: Starttls) -> None:
    server = await start(starttls=shown(certificates), user="us", password=PASSWORD)
    url = f"smtp://us:{QUOTED}@127.0.0.1:{server.port}"
    await sender(url, certificates / "ca.pem", starttls).deliver("boss@example.com", PARCEL)
    assert server.in_tls == [True]
    assert server.logins == [("us", PASSWORD)]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
@pytest.mark.parametrize(
    ("shows", "trusts", "said"),
    [
        ("server", None, "unable to get local issuer certificate"),
        ("other", "ca.pem", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
    ids=["unknown authority", "another name"],
)
async def test_a_certificate_that_is_not_trusted_gets_nothing(
    start: Start, certificates: Path, scheme: str, shows: str, trusts: str | None, said: str
) -> None:
    context = shown(certificates, shows)
    server = await start(
        **{"tls" if scheme == "smtps" else "starttls": context}, user="us", password=PASSWORD
    )
    ca_file = certificates / trusts if trusts else None
    told = await reason(sender(f"{scheme}://us:{QUOTED}@127.0.0.1:{server.port}", ca_file))
    assert f"its certificate is not trusted: {said}" in told
    assert "PEYVAND_REPORTING_SMTP_CA" in told
    assert (server.taken, server.logins) == ([], [])


async def test_no_password_is_sent_in_the_clear_unless_it_is_meant_so(start: Start) -> None:
    server = await start(user="us", password=PASSWORD)
    url = f"smtp://us:{QUOTED}@127.0.0.1:{server.port}"
    assert NO_STARTTLS in await reason(sender(url))
    assert server.logins == []
    await sender(url, starttls="never").deliver("boss@example.com", PARCEL)
    assert (server.logins, server.in_tls) == ([("us", PASSWORD)], [False])


async def test_a_relay_without_password_or_tls_serves_unless_tls_is_required(start: Start) -> None:
    server = await start()
    url = f"smtp://127.0.0.1:{server.port}"
    assert NO_STARTTLS in await reason(sender(url, starttls="required"))
    assert server.taken == []
    await sender(url).deliver("boss@example.com", PARCEL)
    assert server.in_tls == [False]


async def test_a_relay_whose_certificate_nobody_signed_serves_in_the_clear_if_it_is_meant_so(
    start: Start, certificates: Path
) -> None:
    server = await start(starttls=shown(certificates))
    await sender(f"smtp://127.0.0.1:{server.port}", starttls="never").deliver("boss@example.com", PARCEL)
    assert server.in_tls == [False]


async def test_a_wrong_password_is_told_in_the_servers_words(start: Start, certificates: Path) -> None:
    server = await start(tls=shown(certificates), user="us", password="another")
    told = await reason(sender(f"smtps://us:{QUOTED}@127.0.0.1:{server.port}", certificates / "ca.pem"))
    assert "535 5.7.8 Authentication credentials invalid" in told
    assert server.taken == []


async def test_a_server_without_tls_where_tls_was_expected_is_told(start: Start) -> None:
    server = await start()
    assert "no TLS that both agree on" in await reason(sender(f"smtps://127.0.0.1:{server.port}"))


async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in await reason(sender(url, timeout_s=0.2))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ReportingSettings]:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "x" * 32)
    monkeypatch.setenv("PEYVAND_REPORTING_MAIL_FROM", SENDER)

    def of(**values: str) -> ReportingSettings:
        for name, value in values.items():
            monkeypatch.setenv(f"PEYVAND_REPORTING_{name}", value)
        return ReportingSettings()

    return of


async def test_the_settings_lead_to_the_server(
    settings: Callable[..., ReportingSettings], start: Start, certificates: Path
) -> None:
    server = await start(starttls=shown(certificates), user="us", password=PASSWORD)
    url = f"smtp://us:{QUOTED}@127.0.0.1:{server.port}"
    told = settings(SMTP=url, SMTP_CA=str(certificates / "ca.pem"), SMTP_STARTTLS="required")
    await deliverers_of(told)["email"].deliver("boss@example.com", PARCEL)
    assert server.in_tls == [True]
    await asyncio.to_thread(deliverers_of, settings(SMTP_CA=""))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"SMTP_CA": "nowhere.pem"}, r"PEYVAND_REPORTING_SMTP_CA: nowhere\.pem: expected certificates"),
        ({"SMTP": "smtp://us:%D8%B1%D9%85%D8%B2@mail"}, "PEYVAND_REPORTING_SMTP: expected user and password in ASCII"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(
    settings: Callable[..., ReportingSettings], values: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        deliverers_of(settings(**{"SMTP": "smtp://mail"} | values))
