"""Scheduled reports: one process of an installation, the owner of the shard ``schedules``, sends what is due.

What to do is decided in ``core/schedules.py`` from the attempts that ClickHouse keeps. An attempt is confirmed there before it is made:
a process that dies in between, or a second owner for a moment, knows of it. While ClickHouse is away nothing is sent; there would be nothing to
send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge

from services.center import Center
from services.center.reports import ReportTarget
from services.center.words import minutes
from services.common import ids
from services.common.bus import Bus, Outgoing, subjects
from services.common.clickhouse import Store, StoreRefused
from services.common.clock import Clock
from services.common.errors import BusUnavailable, Refused, StoreUnavailable
from services.reporting import exports
from services.reporting.adapters.deliverers import Deliverer, DeliveryFailed, Parcel
from services.reporting.asking import Defaults, iso
from services.reporting.core import schedules as core
from services.reporting.core.facts import ReportFailed, ReportSent
from services.reporting.core.kpi.calendars import Calendar
from services.reporting.core.kpi.question import Question, QuestionInvalid
from services.reporting.core.report_page import page
from services.reporting.core.schedules import Attempt, Job, Occurrence, Schedule, Target
from services.reporting.core.sql import Statement
from services.reporting.questions import Answer, Ask, answered

log = structlog.get_logger()

SENT = Counter("peyvand_reporting_reports_total", "Attempts to send scheduled reports", ["result"])
FAILING = Gauge(
    "peyvand_reporting_reports_failing", "Scheduled reports whose last attempt failed or cannot be made"
)
LOOK_S: Final = 15.0
_TELL_S: Final = 5.0
_SETTINGS: Final = {
    "email": "PEYVAND_REPORTING_SMTP",
    "folder": "PEYVAND_REPORTING_FOLDER",
    "s3": "PEYVAND_REPORTING_S3_BUCKET",
}
"""Without which nothing is sent to a kind of target."""
_MEDIA: Final = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


def schedules_of(center: Center, defaults: Defaults) -> list[Schedule]:
    """The scheduled reports of a center document."""
    calendar = Calendar(defaults.zone, defaults.months, defaults.week_start)
    return [
        Schedule(
            tenant=center.tenant,
            id=name,
            title=center.text(report.name, report.language),
            every=report.every,
            at_minute=minutes(report.at),
            calendar=calendar,
            measures=tuple(report.measures),
            by=tuple(report.by),
            interval=report.interval,
            filters={"queue": tuple(report.queues)} if report.queues else {},
            language=report.language,
            format=report.format,
            targets=tuple(_target(target) for target in report.to),
        )
        for name, report in center.reports.scheduled.items()
    ]


def _target(told: ReportTarget) -> Target:
    """The one that is given; the document has exactly one."""
    if told.email is not None:
        return Target("email", told.email)
    if told.folder is not None:
        return Target("folder", told.folder)
    return Target("s3", str(told.s3))


def question_of(schedule: Schedule, occurrence: Occurrence, defaults: Defaults, now_us: int) -> Question:
    """What the report asks."""
    return Question(
        tenant=schedule.tenant,
        measures=schedule.measures,
        by=schedule.by,
        interval=schedule.interval,
        span=occurrence.span,
        calendar=schedule.calendar,
        now_us=now_us,
        filters=schedule.filters,
        fcr_days=defaults.fcr_days,
        tariffs=defaults.tariffs,
    )


def fact_of(schedule: Schedule, occurrence: Occurrence, attempt: Attempt) -> Outgoing:
    """What is told of an attempt that has ended; told twice, it is stored once."""
    told: dict[str, Any] = {
        "schedule": schedule.id,
        "target": attempt.target,
        "due_at_us": occurrence.due_us,
        "attempt": attempt.number,
        "at_us": attempt.at_us,
    }
    if attempt.state == "sent":
        fact: ReportSent | ReportFailed = ReportSent(
            from_us=occurrence.span.from_us,
            to_us=occurrence.span.to_us,
            file_name=file_name(schedule, occurrence),
            repeated=attempt.repeated,
            **told,
        )
    else:
        fact = ReportFailed(reason=attempt.error, **told)
    subject = subjects.fact(schedule.tenant, "reporting", "report", attempt.state)
    name = (schedule.tenant, schedule.id, str(occurrence.due_us), attempt.target, str(attempt.number))
    return Outgoing(subject, fact, ids.derived_id("report", *name), schedule.tenant, time_us=attempt.at_us)


class Ledger:
    """The attempts, in ClickHouse. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, ask: Ask, database: str) -> None:
        """``ask`` answers, or says that ClickHouse is not ready yet."""
        self._store = store
        self._ask = ask
        self._table = f"{database}.report_deliveries"
        self._view = f"{database}.v_report_deliveries"

    async def attempts(self, schedule: Schedule, occurrence: Occurrence) -> list[Attempt]:
        """Those of one occurrence."""
        sql = (
            f"SELECT target, attempt, state, repeated, error, toUnixTimestamp64Micro(at) AS at_us FROM {self._view}"  # noqa: S608 - a checked name
            " WHERE tenant = {tenant:String} AND schedule = {schedule:String}"
            " AND due_at = fromUnixTimestamp64Micro({due_us:Int64}, 'UTC')"
        )
        params = {"tenant": schedule.tenant, "schedule": schedule.id, "due_us": occurrence.due_us}
        rows = await self._ask(Statement(sql, params))
        return [
            Attempt(r["target"], r["attempt"], r["state"], r["at_us"], bool(r["repeated"]), r["error"])
            for r in rows
        ]

    async def write(self, schedule: Schedule, occurrence: Occurrence, attempt: Attempt) -> None:
        """Returns after ClickHouse confirmed."""
        version = 1 if attempt.state == "began" else 2
        await self._store.insert(
            self._table,
            ("tenant", "schedule", "due_at", "target", "attempt", "state", "repeated", "error", "at", "version"),
            [
                (
                    schedule.tenant, schedule.id, occurrence.due_us, attempt.target, attempt.number, attempt.state,
                    attempt.repeated, attempt.error, attempt.at_us, version,
                )
            ],
            token=f"{schedule.tenant} {schedule.id} {occurrence.due_us} {attempt.target} {attempt.number} {version} {attempt.at_us}",
        )  # fmt: skip


class Scheduler:
    """Sends what is due, for as long as it is the owner."""

    def __init__(
        self,
        ledger: Ledger,
        ask: Ask,
        clock: Clock,
        centers: Callable[[], Iterable[Center]],
        defaults: Callable[[str], Defaults],
        deliverers: Mapping[str, Deliverer],
        bus: Bus,
    ) -> None:
        """``deliverers`` by kind of target; a kind that is missing fails, and says which setting it wants. ``bus``: who hears of it."""
        self._bus = bus
        self._owed: dict[str, Outgoing] = {}
        self._told: dict[str, int] = {}
        """When what was told ended, by id of the fact."""
        self._ledger = ledger
        self._ask = ask
        self._clock = clock
        self._centers = centers
        self._defaults = defaults
        self._deliverers = deliverers

    def schedules(self, tenant: str | None = None) -> list[Schedule]:
        """The running ones, of one tenant or all."""
        return [
            schedule
            for center in self._centers()
            if tenant is None or center.tenant == tenant
            for schedule in schedules_of(center, self._defaults(center.tenant))
        ]

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as e:
                log.warning("reports_wait_for_clickhouse", reason=str(e))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Send what is due now. Raises StoreUnavailable."""
        failing = 0
        for schedule in self.schedules():
            try:
                failing += await self._look_at(schedule)
            except StoreUnavailable:
                raise
            except Exception:  # a defect that one report shows must not keep all others from being sent
                failing += 1
                log.exception("report_failed", tenant=schedule.tenant, schedule=schedule.id)
        FAILING.set(failing)
        await self._tell()

    async def _look_at(self, schedule: Schedule) -> bool:
        """Send what is due of one; returns whether a target of it has failed."""
        now_us = self._clock.now_us()
        occurrence = core.latest(schedule, now_us)
        attempts = await self._ledger.attempts(schedule, occurrence)
        jobs = core.decide(schedule, occurrence, attempts, now_us)
        if jobs:
            await self._send(schedule, occurrence, jobs)
            attempts = await self._ledger.attempts(schedule, occurrence)
        for attempt in core.news(attempts, self._clock.now_us()):
            fact = fact_of(schedule, occurrence, attempt)
            if fact.id not in self._told:
                self._owed[fact.id] = fact
        return any(made[-1].state == "failed" for made in core.newest(attempts).values())

    async def _tell(self) -> None:
        """Tell what ended. Without NATS it is told later: no report waits for it."""
        for name, fact in list(self._owed.items()):
            try:
                await self._bus.append(fact, timeout_s=_TELL_S)
            except BusUnavailable as e:
                log.warning("reports_not_told", facts=len(self._owed), reason=str(e))
                break
            del self._owed[name]
            self._told[name] = fact.time_us
        oldest_us = self._clock.now_us() - 2 * core.TELL_US
        self._told = {name: at_us for name, at_us in self._told.items() if at_us > oldest_us}

    async def _send(self, schedule: Schedule, occurrence: Occurrence, jobs: list[Job]) -> None:
        defaults = self._defaults(schedule.tenant)
        asked = question_of(schedule, occurrence, defaults, self._clock.now_us())
        answer: Answer | None = None
        wrong = ""
        try:
            answer = await answered(self._ask, asked)
        except (QuestionInvalid, Refused, StoreRefused) as e:
            wrong = str(e)
        for job in jobs:
            began = Attempt(str(job.target), job.number, "began", self._clock.now_us(), job.repeated)
            await self._ledger.write(schedule, occurrence, began)
            error = wrong
            if answer is not None:
                parcel = await asyncio.to_thread(
                    parcel_of, schedule, occurrence, answer, job.repeated, self._clock.now_us()
                )
                error = await self._deliver(job.target, parcel)
            ended = Attempt(
                began.target,
                began.number,
                "failed" if error else "sent",
                self._clock.now_us(),
                job.repeated,
                error,
            )
            await self._ledger.write(schedule, occurrence, ended)
            SENT.labels(ended.state).inc()
            facts: dict[str, Any] = {
                "tenant": schedule.tenant,
                "schedule": schedule.id,
                "target": job.target.kind,
            }
            if error:
                log.warning("report_not_sent", attempt=job.number, reason=error, **facts)
            else:
                log.info("report_sent", attempt=job.number, repeated=job.repeated, **facts)

    async def _deliver(self, target: Target, parcel: Parcel) -> str:
        """Why not; empty when it was taken over."""
        deliverer = self._deliverers.get(target.kind)
        if deliverer is None:
            setting = _SETTINGS[target.kind]
            return f"{setting} is not set: reports cannot be sent to {target.kind}"
        try:
            await deliverer.deliver(target.where, parcel)
        except DeliveryFailed as e:
            return str(e)
        return ""


def _days(schedule: Schedule, occurrence: Occurrence) -> list[str]:
    """The first and the last that the report is about, in its calendar; of one day that one."""
    calendar = schedule.calendar
    days = (
        "{:04}-{:02}-{:02}".format(*calendar.parts(calendar.local(at_us).date()))
        for at_us in (occurrence.span.from_us, occurrence.span.to_us - 1)
    )
    return list(dict.fromkeys(days))


def file_name(schedule: Schedule, occurrence: Occurrence) -> str:
    """What the file of a report is called, wherever it goes."""
    return f"{'-'.join([schedule.id, *_days(schedule, occurrence)])}.{schedule.format}"


def parcel_of(
    schedule: Schedule, occurrence: Occurrence, answer: Answer, repeated: bool, now_us: int
) -> Parcel:
    """What is sent: the page, and the file with all rows."""
    match schedule.format:
        case "csv":
            content = exports.to_csv(answer, None, schedule.language)
        case "xlsx":
            content = exports.to_xlsx(answer, None, schedule.language)
        case "parquet":
            content = exports.to_parquet(answer, None)
    calendar = schedule.calendar
    when = " – ".join(_days(schedule, occurrence))
    html = page(
        schedule.title, f"{when} ({calendar.zone})", answer.columns, answer.lines, answer.totals, schedule.language,
        repeated=repeated,
    )  # fmt: skip
    return Parcel(
        key=f"{schedule.tenant} {schedule.id} {occurrence.due_us}",
        tenant=schedule.tenant,
        subject=f"{schedule.title} {when}",
        page=html,
        text=f"{schedule.title}\n{when} ({calendar.zone})\n",
        file_name=file_name(schedule, occurrence),
        media_type=_MEDIA[schedule.format],
        content=content,
        at_us=now_us,
        labels={
            "tenant": schedule.tenant,
            "schedule": schedule.id,
            "from": iso(calendar, occurrence.span.from_us),
            "to": iso(calendar, occurrence.span.to_us),
        },
    )


def told(schedule: Schedule, occurrence: Occurrence, attempts: list[Attempt], now_us: int) -> dict[str, Any]:
    """A schedule as HTTP shows it."""
    calendar = schedule.calendar
    made = core.newest(attempts)
    targets = []
    for target in schedule.targets:
        last = made[str(target)][-1] if str(target) in made else None
        targets.append(
            {
                "target": str(target),
                "state": last.state if last is not None else "waiting",
                "attempts": len(made.get(str(target), [])),
                "error": last.error if last is not None else "",
                "at": iso(calendar, last.at_us) if last is not None else None,
            }
        )
    return {
        "id": schedule.id,
        "name": schedule.title,
        "every": schedule.every,
        "next_at": iso(calendar, core.following(schedule, now_us)),
        "due_at": iso(calendar, occurrence.due_us),
        "from": iso(calendar, occurrence.span.from_us),
        "to": iso(calendar, occurrence.span.to_us),
        "given_up": now_us >= occurrence.due_us + core.GIVEN_UP_US,
        "targets": targets,
    }
