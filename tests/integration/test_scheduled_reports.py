"""Scheduled reports from the center document to a mail server and a folder, on a real ClickHouse."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml

from services.center import Center
from services.center.loader import load
from services.common import auth
from services.common.bus import Appended, Outgoing, codec, subjects
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clickhouse import Row, StoreRefused, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.clock import ManualClock
from services.common.errors import BusUnavailable, ConfigError
from services.common.http import Readiness, make_app
from services.reporting import schedules, schedules_api
from services.reporting.adapters.deliverers import FolderDeliverer, MailDeliverer, Parcel, SmtpUrl
from services.reporting.adapters.s3 import Bucket, S3Deliverer
from services.reporting.api import Reports
from services.reporting.app import deliverers_of
from services.reporting.asking import Defaults
from services.reporting.config import ReportingSettings
from services.reporting.core.facts import ReportFailed, ReportSent
from services.reporting.core.schedules import BACKOFF_US, TELL_US, UNKNOWN_US, Attempt, Schedule, latest
from services.reporting.core.sql import Statement
from services.reporting.schedules import Ledger, Scheduler
from tests.mail_server import MailServer
from tests.reporting_records import Records
from tests.s3_server import S3Server

pytestmark = pytest.mark.clickhouse

SECRET = "a secret of thirty-two characters and more"
DEMO = Path(__file__).parents[2] / "deploy/centers/demo.yaml"
TEHRAN = ZoneInfo("Asia/Tehran")


def us(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=TEHRAN).timestamp()) * 1_000_000


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    yield server
    await server.stop()


class Office:
    """A scheduler, what it writes to, and its clock."""

    def __init__(
        self, store: ServerStore, url: StoreUrl, mail: MailServer, folder: Path, center: Path
    ) -> None:
        self.mail, self.folder = mail, folder
        self.clock = ManualClock(us("2026-11-22T07:29:59"))
        self.center = _read(center)
        self.reports = Reports(store, self.clock, lambda: None)
        self.reports.open()
        self.ledger = Ledger(store, self.reports.ask, url.database)
        self.records = Records(store, url)
        self.bus = MemoryBus(MemoryBroker(self.clock), source="/reporting/1")

    def owner(self) -> Scheduler:
        """A process that has become the owner."""
        sender = MailDeliverer(
            SmtpUrl("127.0.0.1", self.mail.port, "", "", False), "Peyvand <reports@example.com>"
        )
        return Scheduler(
            self.ledger, self.reports.ask, self.clock, lambda: [self.center],
            lambda tenant: Defaults(zone="Asia/Tehran", months="jalali", week_start="sat"),
            {"email": sender, "folder": FolderDeliverer(self.folder)}, self.bus,
        )  # fmt: skip

    async def facts(self) -> list[ReportSent | ReportFailed]:
        """What was told on the bus."""
        kinds: dict[str, type[ReportSent | ReportFailed]] = {
            f"peyvand.reporting.v1.{kind.__name__}": kind for kind in (ReportSent, ReportFailed)
        }
        pattern = subjects.any_fact("demo", "reporting")
        return [
            codec.read(envelope, kinds[envelope.type])
            async for envelope in self.bus.read_log(pattern, after_seq=0)
        ]

    async def told(self) -> dict[str, dict[str, Any]]:
        app = make_app("reporting", "test", Readiness(), auth_secret=SECRET)
        app.include_router(schedules_api.build_router(self.reports, self.owner(), self.ledger, self.clock))
        token = auth.issue(SECRET, tenant="demo", role="supervisor", subject="me", ttl_s=60)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            answer = await client.get("/v1/reports/schedules", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200
            assert (await client.get("/v1/reports/schedules")).status_code == 401
        return {one["id"]: one for one in answer.json()["schedules"]}


SCHEDULED = {
    "morning": {
        "name": {"en": "Yesterday", "fa": "گزارش دیروز"}, "measures": ["offered", "service_level"], "by": ["queue"], "every": "day",
        "at": "07:30", "language": "fa", "to": [{"email": "boss@example.com"}, {"folder": "daily"}],
    },
    "english": {
        "name": {"en": "Yesterday", "fa": "گزارش دیروز"}, "measures": ["offered"], "interval": "hour", "queues": ["sales"], "every": "day",
        "at": "08:00", "format": "csv", "to": [{"folder": "english"}],
    },
}  # fmt: skip


def written(tmp_path: Path, scheduled: dict[str, Any]) -> Path:
    text = DEMO.read_text(encoding="utf-8")
    (line,) = re.findall(r"^reports: \{.*$", text, re.MULTILINE)
    path = tmp_path / "demo.yaml"
    added = yaml.safe_dump({"reports": {"scheduled": scheduled}}, allow_unicode=True)
    path.write_text(text.replace(line, added), encoding="utf-8")
    return path


def _read(path: Path) -> Center:
    (center,) = load(path).centers
    return center


@pytest.fixture
async def office(store: ServerStore, store_url: StoreUrl, mail: MailServer, tmp_path: Path) -> Office:
    office = Office(store, store_url, mail, tmp_path / "out", written(tmp_path, SCHEDULED))
    rows = [
        {"contact_id": f"c{n}", "queue": "sales", "outcome": outcome, "wait_ms": 1000 * n, "started_at": us("2026-11-21T09:00")}
        for n, outcome in enumerate(("answered", "answered", "abandoned"), start=10)
    ]  # fmt: skip
    await office.records.add("segments", *rows)
    await office.records.add("segments", rows[0] | {"contact_id": "theirs"}, tenant="other")
    await office.records.summed()
    return office


async def test_a_report_is_sent_once_when_it_is_due(office: Office) -> None:
    await office.owner().look()
    assert office.mail.taken == []
    office.clock.advance_ms(1000)
    for _ in range(2):  # the second is another owner, which knows nothing but the ledger
        await office.owner().look()
        office.clock.advance_ms(11 * 60_000)
    ((receiver, message),) = office.mail.taken
    assert receiver == "boss@example.com"
    assert message["Subject"] == "گزارش دیروز 1405-08-30"
    assert message["From"] == "Peyvand <reports@example.com>"
    page = message.get_body(("html",))
    assert page is not None
    html = page.get_content()
    assert 'dir="rtl"' in html
    assert "sales" in html
    assert "۶۶٫۷٪" in html
    (file,) = message.iter_attachments()
    assert file.get_filename() == "morning-1405-08-30.xlsx"
    content = file.get_content()
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    assert [path.name for path in sorted((office.folder / "demo" / "daily").iterdir())] == [
        "morning-1405-08-30.xlsx"
    ]
    told = await office.told()
    assert [t["state"] for t in told["morning"]["targets"]] == ["sent", "sent"]
    assert [t["attempts"] for t in told["morning"]["targets"]] == [1, 1]
    assert told["morning"]["next_at"] == "2026-11-23T07:30:00+03:30"
    assert told["english"]["targets"][0]["state"] == "waiting"
    office.clock.advance_ms(30 * 60_000)
    await office.owner().look()
    (path,) = (office.folder / "demo" / "english").iterdir()
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert any(line.startswith("1405-08-30 09:00") and line.endswith(",3") for line in lines), lines
    assert len(office.mail.taken) == 1


async def test_a_refused_mail_is_seen_and_tried_again_and_the_folder_does_not_wait_for_it(
    office: Office,
) -> None:
    office.mail.refuses = True
    office.clock.advance_ms(1000)
    await office.owner().look()
    told = (await office.told())["morning"]["targets"]
    assert [t["state"] for t in told] == ["failed", "sent"]
    assert "550 no such person" in told[0]["error"]
    office.mail.refuses = False
    office.clock.advance_ms(BACKOFF_US[0] // 1000 - 1)
    await office.owner().look()
    assert office.mail.taken == []
    office.clock.advance_ms(1)
    await office.owner().look()
    ((_, message),) = office.mail.taken
    page = message.get_body(("html",))
    assert page is not None
    assert "پیش‌تر" not in page.get_content(), "the first one did not arrive, and that is known"
    told = (await office.told())["morning"]["targets"]
    assert [(t["state"], t["attempts"]) for t in told] == [("sent", 2), ("sent", 1)]


async def test_what_may_have_arrived_is_sent_again_with_a_word_and_the_same_name(office: Office) -> None:
    office.clock.advance_ms(1000)
    owner = office.owner()
    schedule = next(s for s in owner.schedules("demo") if s.id == "morning")
    occurrence = latest(schedule, office.clock.now_us())
    lost = Attempt("email:boss@example.com", 1, "began", office.clock.now_us())
    await office.ledger.write(schedule, occurrence, lost)  # and then its process was killed
    await owner.look()
    assert office.mail.taken == []
    office.clock.advance_ms(UNKNOWN_US // 1000)
    await owner.look()
    ((_, message),) = office.mail.taken
    page = message.get_body(("html",))
    assert page is not None
    assert "پیش‌تر" in page.get_content()
    assert message["Message-ID"].endswith("@example.com>")


async def test_a_measure_that_there_is_not_is_told_as_an_error(office: Office, tmp_path: Path) -> None:
    wrong = {"bad": SCHEDULED["english"] | {"measures": ["happiness"]}}
    office.center = _read(written(tmp_path, wrong))
    office.clock.advance_ms(31 * 60_000)
    await office.owner().look()
    (target,) = (await office.told())["bad"]["targets"]
    assert target["state"] == "failed"
    assert "'happiness' is none" in target["error"]
    assert not office.folder.exists()


async def test_what_became_of_a_report_is_told_once(office: Office) -> None:
    office.mail.refuses = True
    office.clock.advance_ms(1000)
    for _ in range(2):  # the second is another owner, which tells what its predecessor may not have told
        await office.owner().look()
    at_us = due_us = us("2026-11-22T07:30:00")
    day = {"from_us": us("2026-11-21T00:00:00"), "to_us": us("2026-11-22T00:00:00")}
    said = "550 no such person"
    failed, sent = await office.facts()
    assert isinstance(failed, ReportFailed)
    assert (failed.schedule, failed.target, failed.due_at_us, failed.attempt) == (
        "morning",
        "email:boss@example.com",
        due_us,
        1,
    )
    assert said in failed.reason
    assert sent == ReportSent(
        schedule="morning",
        target="folder:daily",
        due_at_us=due_us,
        file_name="morning-1405-08-30.xlsx",
        attempt=1,
        at_us=at_us,
        **day,
    )
    office.mail.refuses = False
    office.clock.advance_ms(BACKOFF_US[0] // 1000)
    await office.owner().look()
    again = (await office.facts())[2:]
    assert [(type(fact), fact.target, fact.attempt) for fact in again] == [
        (ReportSent, "email:boss@example.com", 2)
    ]


async def test_a_report_does_not_wait_for_the_bus_and_is_told_when_it_is_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.clock.advance_ms(1000)
    owner = office.owner()

    async def down(fact: Outgoing, *, timeout_s: float = 30.0) -> Appended:
        raise BusUnavailable("no answer")

    with monkeypatch.context() as outage:
        outage.setattr(office.bus, "append", down)
        await owner.look()
    assert len(office.mail.taken) == 1
    assert await office.facts() == []
    office.clock.advance_ms(2 * TELL_US // 1000)
    await owner.look()
    assert [type(fact) for fact in await office.facts()] == [ReportSent, ReportSent]
    await owner.look()
    assert len(await office.facts()) == 2


async def test_a_report_that_cannot_be_made_does_not_hold_up_the_others(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"first": SCHEDULED["english"], "second": SCHEDULED["english"] | {"to": [{"folder": "second"}]}}
    office.center = _read(written(office.folder.parent, both))
    office.clock.advance_ms(31 * 60_000)
    made = schedules.parcel_of

    def broken(schedule: Schedule, *args: Any) -> Parcel:
        if schedule.id == "first":
            raise ZeroDivisionError("a defect")
        return made(schedule, *args)

    monkeypatch.setattr(schedules, "parcel_of", broken)
    await office.owner().look()
    assert [path.name for path in office.folder.rglob("*.csv")] == ["second-1405-08-30.csv"]
    assert (await office.told())["first"]["targets"][0]["state"] == "began"


async def test_a_report_that_clickhouse_refuses_has_failed(office: Office) -> None:
    office.clock.advance_ms(31 * 60_000)
    ask = office.reports.ask

    async def refusing(statement: Statement) -> list[Row]:
        if "v_report_deliveries" not in statement.sql:
            raise StoreRefused(241, "memory limit exceeded")
        return await ask(statement)

    owner = office.owner()
    owner._ask = refusing
    await owner.look()
    (target,) = (await office.told())["english"]["targets"]
    assert target["state"] == "failed"
    assert "memory limit exceeded" in target["error"]


async def test_a_target_without_its_setting_names_it(office: Office) -> None:
    owner = office.owner()
    owner._deliverers = {}
    office.clock.advance_ms(1000)
    await owner.look()
    errors = [t["error"] for t in (await office.told())["morning"]["targets"]]
    assert "PEYVAND_REPORTING_SMTP" in errors[0]
    assert "PEYVAND_REPORTING_FOLDER" in errors[1]


async def test_a_report_goes_to_a_bucket_and_a_refused_one_is_tried_again(
    office: Office, tmp_path: Path
) -> None:
    office.center = _read(written(tmp_path, {"both": SCHEDULED["english"] | {"to": [{"s3": "daily/sales"}]}}))
    office.clock.advance_ms(31 * 60_000)
    server = S3Server("reports")
    try:
        bucket = Bucket(
            "reports", "", f"http://127.0.0.1:{server.port}", "us-east-1", "auto", server.key, server.secret
        )
        owner = office.owner()
        owner._deliverers = {"s3": S3Deliverer(bucket)}
        server.refuses = (503, "SlowDown", "Please reduce your request rate.")
        await owner.look()
        (target,) = (await office.told())["both"]["targets"]
        assert (target["target"], target["state"]) == ("s3:daily/sales", "failed")
        assert "503 SlowDown: Please reduce your request rate." in target["error"]
        assert server.secret not in target["error"]
        server.refuses = None
        office.clock.advance_ms(BACKOFF_US[0] // 1000)
        await owner.look()
        await owner.look()
        (target,) = (await office.told())["both"]["targets"]
        assert (target["state"], target["attempts"]) == ("sent", 2)
        (name,) = server.puts
        assert name == "reports/demo/daily/sales/both-1405-08-30.csv"
        put = server.objects["reports"][name.removeprefix("reports/")]
        assert "1405-08-30 09:00" in put.content.decode("utf-8-sig")
        assert put.headers["x-amz-meta-to"] == "2026-11-22T00:00:00+03:30"
    finally:
        server.stop()


async def test_tenants_with_folders_of_one_name_do_not_replace_each_others_reports(
    office: Office,
) -> None:
    office.clock.advance_ms(31 * 60_000)
    await office.owner().look()
    other = office.center.model_copy(update={"tenant": "other"})
    owner = office.owner()
    owner._centers = lambda: [other]
    await owner.look()
    files = [path.relative_to(office.folder).as_posix() for path in office.folder.rglob("*.csv")]
    assert sorted(files) == ["demo/english/english-1405-08-30.csv", "other/english/english-1405-08-30.csv"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"at": "25:00"}, "bad time"),
        ({"at": "24:00"}, "bad time"),
        ({"to": []}, "to"),
        ({"to": [{"email": "nobody"}]}, "email"),
        ({"to": [{"email": "a@b.ir\nBcc: c@d.ir"}]}, "email"),
        ({"to": [{"folder": "../out"}]}, "folder"),
        ({"to": [{"email": "a@b.ir", "folder": "x"}]}, "exactly one of email, folder and s3"),
        ({"to": [{}]}, "exactly one of email, folder and s3"),
        ({"to": [{"s3": "../other"}]}, "s3"),
        ({"to": [{"s3": "a//b"}]}, "s3"),
        ({"to": [{"s3": "/a"}]}, "s3"),
        ({"to": [{"s3": "a/"}]}, "s3"),
        ({"every": "year"}, "every"),
        ({"queues": ["nowhere"]}, "nowhere"),
    ],
)
def test_a_wrong_schedule_is_named_in_the_document(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        _read(written(tmp_path, {"bad": SCHEDULED["morning"] | change}))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"SMTP": "http://mail"}, "PEYVAND_REPORTING_SMTP: expected smtp://"),
        ({"SMTP": "smtp://u:secret@mail:x"}, "PEYVAND_REPORTING_SMTP"),
        ({"SMTP": "smtp://mail:25"}, "PEYVAND_REPORTING_MAIL_FROM"),
    ],
)
def test_wrong_settings_are_named_without_the_password(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "x" * 32)
    for name, value in values.items():
        monkeypatch.setenv(f"PEYVAND_REPORTING_{name}", value)
    with pytest.raises(ConfigError, match=named) as refused:
        deliverers_of(ReportingSettings())
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(ReportingSettings())
