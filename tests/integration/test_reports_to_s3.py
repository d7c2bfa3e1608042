"""Scheduled reports as objects in a bucket: where they are put, what is with them, and what is said when they are not taken."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import ConfigError
from services.reporting.adapters.deliverers import DeliveryFailed, Parcel
from services.reporting.adapters.s3 import Bucket, S3Deliverer
from services.reporting.app import deliverers_of
from services.reporting.config import ReportingSettings
from tests import certificates
from tests.s3_server import S3Server

SECRET = "wJalr/+Xutn FEMI"
SETTINGS = "PEYVAND_REPORTING_S3_"


def parcel(content: bytes = b"offered,3\n", tenant: str = "demo") -> Parcel:
    return Parcel(
        key="demo morning 1", tenant=tenant, subject="گزارش دیروز", page="", text="", file_name="morning-1405-08-30.csv",
        media_type="text/csv", content=content, at_us=0, labels={"tenant": tenant, "schedule": "morning", "from": "2026-11-21T00:00:00+03:30"},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither credentials nor settings of the machine, nor a request to its cloud."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[S3Server]:
    server = S3Server("reports", secret=SECRET)
    yield server
    server.stop()


def bucket(server: S3Server, **changes: Any) -> Bucket:
    said: dict[str, Any] = {
        "name": "reports", "endpoint": f"http://127.0.0.1:{server.port}", "access_key": server.key, "secret_key": SECRET
    }  # fmt: skip
    return Bucket(**said | changes)


async def reason(deliverer: S3Deliverer) -> str:
    with pytest.raises(DeliveryFailed) as refused:
        await deliverer.deliver("daily", parcel())
    assert SECRET not in str(refused.value)
    return str(refused.value)


async def test_a_report_is_an_object_below_its_tenants_prefix_and_replaces_itself(server: S3Server) -> None:
    deliverer = S3Deliverer(bucket(server, prefix="peyvand/all"))
    await deliverer.deliver("daily/sales", parcel(b"first"))
    await deliverer.deliver("daily/sales", parcel(b"second"))
    await deliverer.deliver("daily/sales", parcel(b"theirs", tenant="other"))
    name = "daily/sales/morning-1405-08-30.csv"
    found = server.objects["reports"]
    assert {key: put.content for key, put in found.items()} == {
        f"peyvand/all/demo/{name}": b"second",
        f"peyvand/all/other/{name}": b"theirs",
    }
    headers = found[f"peyvand/all/demo/{name}"].headers
    assert headers["content-type"] == "text/csv"
    assert headers["content-disposition"] == 'attachment; filename="morning-1405-08-30.csv"'
    assert headers["x-amz-meta-schedule"] == "morning"
    assert headers["x-amz-meta-from"] == "2026-11-21T00:00:00+03:30"
    assert not [name for name in headers if "checksum" in name], "older servers of others refuse it"


@pytest.mark.parametrize(
    ("endpoint", "addressing", "address"),
    [
        ("https://minio.example:9000", "auto", "https://minio.example:9000/reports/demo/daily/"),
        ("https://minio.example:9000", "host", "https://reports.minio.example:9000/demo/daily/"),
        ("", "auto", "https://reports.s3.eu-central-1.amazonaws.com/demo/daily/"),
        ("", "path", "https://s3.eu-central-1.amazonaws.com/reports/demo/daily/"),
    ],
)
async def test_a_bucket_is_part_of_the_path_or_of_the_hosts_name(
    server: S3Server, endpoint: str, addressing: str, address: str
) -> None:
    deliverer = S3Deliverer(bucket(server, endpoint=endpoint, addressing=addressing, region="eu-central-1"))

    def instead_of_sending(request: Any, **_: Any) -> None:
        raise InterruptedError(request.url)

    deliverer._client.meta.events.register("before-send.s3.PutObject", instead_of_sending)  # type: ignore[attr-defined]
    with pytest.raises(InterruptedError) as sent:
        await deliverer.deliver("daily", parcel())
    assert str(sent.value) == f"{address}morning-1405-08-30.csv"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret_key": "another"}, "403 SignatureDoesNotMatch: The request signature we calculated"),
        ({"access_key": "AKNOBODY"}, "403 InvalidAccessKeyId: The AWS Access Key Id you provided"),
        ({"access_key": "", "secret_key": ""}, "Unable to locate credentials"),
        ({"name": "elsewhere"}, "404 NoSuchBucket: The specified bucket does not exist"),
        ({"region": "eu-west-1"}, "400 AuthorizationHeaderMalformed"),
    ],
    ids=["secret", "key", "no credentials", "bucket", "region"],
)
async def test_what_the_server_refuses_is_told_in_its_words(
    server: S3Server, changes: dict[str, Any], said: str
) -> None:
    where = bucket(server, **changes)
    told = await reason(S3Deliverer(where))
    assert said in told
    assert f"bucket {where.name} at {where.endpoint}" in told
    assert server.objects == {"reports": {}}


async def test_a_server_that_is_busy_is_asked_once_an_attempt_and_takes_the_next(server: S3Server) -> None:
    deliverer = S3Deliverer(bucket(server))
    server.refuses = (503, "SlowDown", "Please reduce your request rate.")
    assert "503 SlowDown: Please reduce your request rate." in await reason(deliverer)
    assert len(server.asked) == 1, "the ledger says when the next attempt is due"
    server.refuses = None
    await deliverer.deliver("daily", parcel())
    assert list(server.objects["reports"]) == ["demo/daily/morning-1405-08-30.csv"]


async def test_a_server_that_does_not_answer_is_given_up(server: S3Server) -> None:
    server.lets_go.clear()
    told = await reason(S3Deliverer(bucket(server), answer_s=0.2))
    assert "Read timeout on endpoint URL" in told
    assert server.objects == {"reports": {}}


async def test_a_server_that_is_not_there_is_told(server: S3Server) -> None:
    gone = S3Server("reports")
    gone.stop()
    told = await reason(S3Deliverer(bucket(server, endpoint=f"http://127.0.0.1:{gone.port}")))
    assert "Could not connect to the endpoint URL" in told


async def test_what_is_no_s3_at_all_is_told_in_one_short_line(server: S3Server) -> None:
    server.refuses = (502, "Bad Gateway", "<html>\n" + "please wait " * 500)
    told = await reason(S3Deliverer(bucket(server)))
    assert "502" in told
    assert "\n" not in told
    assert len(told) < 800


async def test_credentials_of_the_machine_serve_where_none_are_set(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    await S3Deliverer(bucket(server, access_key="", secret_key="")).deliver("daily", parcel())
    assert len(server.objects["reports"]) == 1


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_certificate_of_a_known_authority_is_believed(tmp_path: Path, *, trusted: bool) -> None:
    folder = certificates.make(tmp_path, {"server": "IP:127.0.0.1"})
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    server = S3Server("reports", secret=SECRET, tls=tls)
    try:
        endpoint = f"https://127.0.0.1:{server.port}"
        ca = folder / "ca.pem" if trusted else None
        deliverer = S3Deliverer(bucket(server, endpoint=endpoint, ca_file=ca))
        if trusted:
            await deliverer.deliver("daily", parcel())
            assert len(server.objects["reports"]) == 1
        else:
            assert "certificate verify failed" in await reason(deliverer)
            assert server.asked == []
    finally:
        server.stop()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ReportingSettings]:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "x" * 32)

    def of(**values: str) -> ReportingSettings:
        for name, value in values.items():
            monkeypatch.setenv(f"{SETTINGS}{name}", value)
        return ReportingSettings()

    return of


async def test_the_settings_lead_to_the_bucket(
    settings: Callable[..., ReportingSettings], server: S3Server
) -> None:
    told = settings(
        BUCKET="reports", PREFIX="of/us", ENDPOINT=f"http://127.0.0.1:{server.port}", ACCESS_KEY=server.key, SECRET_KEY=SECRET,
        CA="", ADDRESSING="path", REGION="us-east-1",
    )  # fmt: skip
    assert SECRET not in repr(told)
    deliverer = deliverers_of(told)["s3"]
    await deliverer.deliver("daily", parcel())
    assert server.puts == ["reports/of/us/demo/daily/morning-1405-08-30.csv"]
    assert SECRET not in repr(bucket(server))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"ENDPOINT": "minio:9000"}, "ENDPOINT: expected http://host:port"),
        ({"ENDPOINT": f"https://u:{SECRET}@minio"}, "ENDPOINT: expected http://host:port"),
        ({"ENDPOINT": "https://minio/reports"}, "ENDPOINT: expected http://host:port"),
        ({"ENDPOINT": "https://minio:x"}, "ENDPOINT: expected http://host:port"),
        ({"ACCESS_KEY": "AK"}, "SECRET_KEY: is missing"),
        ({"SECRET_KEY": SECRET}, "ACCESS_KEY: is missing"),
    ],
)
def test_settings_that_cannot_be_are_named(
    settings: Callable[..., ReportingSettings], values: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{SETTINGS}{named}") as refused:
        deliverers_of(settings(BUCKET="reports", **values))
    assert SECRET not in str(refused.value)


def test_a_file_without_authorities_is_named(
    settings: Callable[..., ReportingSettings], tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for file in ("ca.pem", "none.pem"):
        with pytest.raises(ConfigError, match=rf"^{SETTINGS}CA: .*{file}: expected certificates"):
            deliverers_of(settings(BUCKET="reports", CA=str(tmp_path / file)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUCKET", "a/b"),
        ("PREFIX", "../up"),
        ("PREFIX", "/root"),
        ("ADDRESSING", "none"),
        ("REGION", "Tehran"),
    ],
)
def test_values_that_no_setting_takes_are_named(
    settings: Callable[..., ReportingSettings], name: str, value: str
) -> None:
    with pytest.raises(ValueError, match=f"reporting_s3_{name.lower()}"):
        settings(**{name: value})
