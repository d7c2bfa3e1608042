"""The shell of reporting: facts and legs in, rows out, reports over HTTP.

Nothing of a fact is kept here. A message is acknowledged after ClickHouse confirmed its rows; until then the streams and
the spool hold it, so the process may end at any moment. While ClickHouse is away the consumers hold their batch and the
streams keep what follows.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Collection, Coroutine, Sequence
from decimal import Decimal
from typing import Any, Final

import structlog
from prometheus_client import Counter

from services.center import CenterSet, open_centers
from services.center.reports import Tariffs
from services.common import pages
from services.common.bus import Bus, Envelope, Reject
from services.common.bus.lease import Lease, LeaseKeeper
from services.common.clickhouse import Store, StoreRefused, StoreUrl, ValuesRefused
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable
from services.common.esl import Event, GeventHub, SwitchAddress, SwitchClient
from services.common.parts import start_bus, start_hub, switch_part
from services.common.runtime import Runtime
from services.reporting import (
    books_api,
    contacts_api,
    evaluation_api,
    flow_api,
    live_api,
    migrate,
    page_api,
    query_api,
    retention,
    schedules_api,
    survey_api,
)
from services.reporting.adapters.audit import Audit
from services.reporting.adapters.bus import (
    CENTER_SUBJECTS,
    EVENT_SUBJECTS,
    ROUTING_SUBJECTS,
    placed_facts,
)
from services.reporting.adapters.deliverers import (
    Deliverer,
    FolderDeliverer,
    MailDeliverer,
    SmtpUrl,
    trusting,
)
from services.reporting.adapters.dimensions import Dimensions
from services.reporting.adapters.legs import HANGUP, LegBuffer, leg_of_event
from services.reporting.adapters.s3 import Bucket, S3Deliverer
from services.reporting.adapters.settler import Settler
from services.reporting.adapters.spool import Spool
from services.reporting.adapters.writer import Writer
from services.reporting.api import Reports, build_router
from services.reporting.asking import Defaults
from services.reporting.config import ReportingSettings
from services.reporting.core.cards import Groups, rows_of_batch
from services.reporting.core.facts import Placed
from services.reporting.core.kpi import cost
from services.reporting.core.legs import Directory, Leg, claim, rows_of_leg
from services.reporting.schedules import Ledger, Scheduler

log = structlog.get_logger()

# Legs whose values no table takes. Above zero: report the log line; from the spool, the file is under <spool>/bad.
LEGS_REFUSED = Counter("peyvand_reporting_legs_refused_total", "Legs that no table takes")

EVENTS_CONSUMER: Final = "reporting-events"
ROUTING_CONSUMER: Final = "reporting-routing"
CENTER_CONSUMER: Final = "reporting-center"
CONSUMERS: Final = {
    EVENTS_CONSUMER: EVENT_SUBJECTS,
    ROUTING_CONSUMER: ROUTING_SUBJECTS,
    CENTER_CONSUMER: CENTER_SUBJECTS,
}
# Messages of one insert when there are as many: ClickHouse takes them best so. Fewer after LINGER_S.
BATCH: Final = 10_000
_AT_ONCE: Final = 250
LINGER_S: Final = 0.5
# A message is put aside when its handler ended so often without a verdict. Rows are a function of the message, so a
# crash is hardly the message's fault; putting a fact aside would make a hole in the books.
MAX_DELIVER: Final = 1000
_CHECK_S: Final = 5.0
_RETRY_S: Final = 1.0


class Ingest:
    """Whatever comes, to rows. Each method returns after ClickHouse confirmed and raises StoreUnavailable before."""

    def __init__(self, writer: Writer, directory: Callable[[], Directory]) -> None:
        self._writer = writer
        self._directory = directory

    async def facts(self, batch: Sequence[Envelope]) -> None:
        """Messages of the bus. Raises Reject too: there is a message in the batch that no table takes."""
        placed: list[Placed] = []
        for begin in range(0, len(batch), _AT_ONCE):
            for envelope in batch[begin : begin + _AT_ONCE]:
                placed += placed_facts(envelope)
            await asyncio.sleep(0)  # a full batch takes a third of a second, and people look at the wallboard
        try:
            await self._write(rows_of_batch(placed))
        except ValuesRefused as e:
            raise Reject(str(e)) from e

    async def legs(self, batch: Sequence[Leg]) -> Collection[Leg]:
        """Ended channels; returns those that no table takes."""
        directory = self._directory()

        async def write(legs: Sequence[Leg]) -> None:
            groups: Groups = {}
            for row in (row for leg in legs for row in rows_of_leg(claim(leg, directory))):
                groups.setdefault(row.table, []).append(row.values)
            await self._write(groups)

        try:
            await write(batch)
        except ValuesRefused:
            refused = []
            for leg in batch:
                try:
                    await write((leg,))
                except ValuesRefused as e:
                    LEGS_REFUSED.inc()
                    log.error("leg_refused", leg=leg.leg_id, source=leg.source, reason=str(e))
                    refused.append(leg)
            return refused
        return ()

    async def _write(self, groups: Groups) -> None:
        try:
            await self._writer.write_groups(groups)
        except ValuesRefused:
            raise
        except StoreRefused as e:
            # The statements are ours and were tested: the schema or the rights are wrong, and that is for a person to mend.
            raise StoreUnavailable(str(e)) from e

    async def consume(self, bus: Bus, *, batch: int = BATCH, linger_s: float = LINGER_S) -> None:
        """Begin to read the streams; goes on in the background until the bus is stopped."""
        for durable, subjects in CONSUMERS.items():
            await bus.consume(
                durable, subjects, self.facts, batch=batch, linger_s=linger_s, max_deliver=MAX_DELIVER
            )


def spare_collector() -> None:
    """Let Python look for cycles less often: a batch is a hundred thousand objects without any, and looking through them again and
    again is a sixth of the work (adr/0048)."""
    gc.set_threshold(100_000, 50, 100)


class _Background:
    """A task that is cancelled when its turn comes in the order of closing, not at the very end."""

    def __init__(self, rt: Runtime, coro: Coroutine[Any, Any, None], name: str) -> None:
        self._task = rt.spawn(coro, name)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class _LegIntake:
    """The buffer of the event socket's legs; what is there at the end is written once more."""

    def __init__(self, rt: Runtime, ingest: Ingest) -> None:
        self.buffer = LegBuffer(ingest.legs)
        self._task = rt.spawn(self.buffer.run(), "legs")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if len(self.buffer):
            await self.buffer.flush()


async def prepare(
    url: StoreUrl, cluster: str, ready: Callable[[bool, str], None], keep: retention.Keep | None = None
) -> None:
    """Bring the schema up to date, however long ClickHouse is away. Raises ConfigError and StoreRefused."""
    store = ServerStore(url, threads=1, database="default")
    said: set[str] = set()
    try:
        while True:
            try:
                applied = await migrate.apply(store, database=url.database, cluster=cluster)
                if cluster:
                    await migrate.spread(store, database=url.database, cluster=cluster, applied=applied)
                if keep is not None:
                    await retention.apply(store, keep, database=url.database, cluster=cluster)
                return
            except StoreUnavailable as e:
                if str(e) not in said:
                    said.add(str(e))
                    log.warning("waiting_for_clickhouse", reason=str(e))
                ready(False, str(e))
                await asyncio.sleep(_RETRY_S)
    finally:
        await store.stop()


async def watch_store(store: Store, ready: Callable[[bool, str], None]) -> None:
    """Say every few seconds whether ClickHouse is there; forever."""
    while True:
        try:
            ready(True, f"version {await store.ping()}")
        except StoreUnavailable as e:
            ready(False, str(e))
        await asyncio.sleep(_CHECK_S)


def defaults_of(centers: CenterSet, tenant: str) -> Defaults:
    """What the tenant's questions mean when they do not say."""
    center = centers.tenant(tenant)
    if center is None:
        return Defaults()
    reports, prices = center.reports, center.tariffs
    return Defaults(
        zone=center.timezone,
        months=reports.calendar,
        week_start=reports.week_start,
        fcr_days=reports.fcr_days,
        tariffs=None if prices is None else tariffs_of(prices),
    )


def tariffs_of(prices: Tariffs) -> cost.Tariffs:
    """The document's prices as reports compute with them."""

    def micro(amount: Decimal) -> int:
        return int(amount * cost.MICRO)

    return cost.Tariffs(
        currency=prices.currency,
        user_month=micro(prices.user_month),
        line_month=micro(prices.line_month),
        lines=prices.lines,
        minute=micro(prices.minute),
        contact={channel: micro(price) for channel, price in prices.contact.items()},
    )


def directory_of(centers: CenterSet) -> Directory:
    """Whose numbers are whose, from the running center documents."""
    return Directory(
        entry_points={number: c.tenant for c in centers.centers for number in c.entry_points},
        extensions={agent.extension: c.tenant for c in centers.centers for agent in c.agents.values()},
        default=centers.centers[0].tenant,
    )


def deliverers_of(settings: ReportingSettings) -> dict[str, Deliverer]:
    """How scheduled reports leave, by kind of target. Raises ConfigError that names the setting."""
    found: dict[str, Deliverer] = {}
    if settings.reporting_smtp:
        try:
            url = SmtpUrl.parse(settings.reporting_smtp)
        except ConfigError as e:
            raise ConfigError(f"PEYVAND_REPORTING_SMTP: {e}") from None
        try:
            tls = trusting(settings.reporting_smtp_ca)
        except ConfigError as e:
            raise ConfigError(f"PEYVAND_REPORTING_SMTP_CA: {e}") from None
        try:
            found["email"] = MailDeliverer(
                url, settings.reporting_mail_from, tls, settings.reporting_smtp_starttls
            )
        except ConfigError as e:
            raise ConfigError(f"PEYVAND_REPORTING_MAIL_FROM: {e}") from None
    if settings.reporting_folder is not None:
        found["folder"] = FolderDeliverer(settings.reporting_folder)
    if settings.reporting_s3_bucket:
        try:
            bucket = Bucket(
                name=settings.reporting_s3_bucket,
                prefix=settings.reporting_s3_prefix,
                endpoint=settings.reporting_s3_endpoint,
                region=settings.reporting_s3_region,
                addressing=settings.reporting_s3_addressing,
                access_key=settings.reporting_s3_access_key,
                secret_key=settings.reporting_s3_secret_key,
                ca_file=settings.reporting_s3_ca,
            )
            found["s3"] = S3Deliverer(bucket)
        except ConfigError as e:
            raise ConfigError(f"PEYVAND_REPORTING_S3_{e}") from None
    return found


async def start(settings: ReportingSettings, rt: Runtime) -> None:
    """Wire the service. Raises ConfigError for addresses and documents that cannot be."""
    spare_collector()
    url = StoreUrl.parse(settings.clickhouse_url)
    addresses = settings.addresses()
    feed = live_api.LiveFeed(rt.clock, source_ok=lambda: bus_ok[0])
    bus_ok = [False]

    def bus_ready(part: str, ok: bool, detail: str) -> None:
        if part == "nats":
            bus_ok[0] = ok
        rt.ready(part, ok, detail)

    def store_ready(ok: bool, detail: str) -> None:
        rt.ready("clickhouse", ok, detail)

    # On a cluster rows are written and reports read over all shards; settled is the shard that the URL names, by a process of its own each.
    serving = migrate.serving(url.database, settings.clickhouse_cluster)
    store = ServerStore(url, database=serving)
    shard = ServerStore(url, threads=2)
    rt.add(shard, "clickhouse-shard")
    rt.add(store, "clickhouse")
    store_ready(False, "not reached yet")
    ingest = Ingest(Writer(store, serving), lambda: directory_of(watch.current))
    settler = Settler(shard, rt.clock)
    reports = Reports(store, rt.clock, lambda: settler.settled_until_us)
    rt.app.include_router(build_router(reports))
    rt.app.include_router(survey_api.build_router(reports))
    rt.app.include_router(flow_api.build_router(reports))
    bus = start_bus(settings, rt, on_ready=bus_ready)
    evaluations = evaluation_api.Evaluations(reports, store, bus, rt.clock)
    rt.app.include_router(evaluation_api.build_router(evaluations))
    dimensions = Dimensions(store, rt.clock, lambda: watch.current)

    def center_changed(centers: CenterSet) -> None:
        feed.reconfigure(centers.centers)
        dimensions.changed()

    watch = await open_centers(settings, bus, rt.clock, center_changed, ready=rt.ready)
    keep = retention.Keep(
        settings.reporting_keep_facts_days,
        settings.reporting_keep_records_days,
        settings.reporting_keep_states_days,
    )
    prepared = asyncio.Event()

    def defaults(tenant: str) -> Defaults:
        return defaults_of(watch.current, tenant)

    rt.app.include_router(query_api.build_router(reports, rt.clock, defaults))
    rt.app.include_router(contacts_api.build_router(reports, rt.clock, defaults))

    ledger = Ledger(store, reports.ask, serving)
    scheduler = Scheduler(
        ledger,
        reports.ask,
        rt.clock,
        lambda: watch.current.centers,
        defaults,
        deliverers_of(settings),
        bus,
    )
    rt.app.include_router(schedules_api.build_router(reports, scheduler, ledger, rt.clock))

    async def own_schedules(lease: Lease) -> None:
        await prepared.wait()  # the ledger is a table
        await scheduler.run()

    keeper = LeaseKeeper(
        bus,
        rt.clock,
        service="reporting",
        instance=settings.instance,
        shards=("schedules",),
        work=own_schedules,
    )

    async def fill() -> None:
        await prepare(url, settings.clickhouse_cluster, store_ready, keep)
        prepared.set()
        reports.open()
        await ingest.consume(bus)
        await watch_store(store, store_ready)

    async def settle() -> None:
        await prepared.wait()
        # What is settled goes by the queues' targets and the agents' teams.
        dimensions.changed()
        async with asyncio.TaskGroup() as group:
            group.create_task(dimensions.run())
            group.create_task(
                settler.run(settings.reporting_settle_s, lambda ok, detail: rt.ready("settling", ok, detail))
            )

    audit = Audit(bus, store, rt.clock, CONSUMERS, keep_days=settings.reporting_keep_facts_days)
    rt.app.include_router(books_api.build_router(audit))

    async def check_books() -> None:
        await prepared.wait()
        await audit.run(settings.reporting_books_every_s)

    rt.ready("settling", False, "not begun yet")
    rt.add(_Background(rt, fill(), "clickhouse"), "clickhouse-watch")
    rt.add(_Background(rt, settle(), "settling"), "settling")
    rt.add(_Background(rt, check_books(), "books"), "books")

    intake = _LegIntake(rt, ingest)
    rt.add(intake, "legs")
    if settings.reporting_cdr_spool is not None:
        spool = Spool(
            settings.reporting_cdr_spool, ingest.legs, lambda ok, detail: rt.ready("cdr_spool", ok, detail)
        )
        rt.add(_Background(rt, spool.run(), "cdr-spool"), "cdr-spool")
    if addresses:
        hub = start_hub(rt)
        for address in addresses:
            client = _listen(rt, hub, address, intake.buffer)
            await client.start()
            rt.add(client, switch_part(address.name))

    await feed.start(bus, watch.current.centers)
    rt.add(feed, "wallboard")
    rt.app.include_router(live_api.build_router(feed))
    rt.app.include_router(pages.build_router(live_api.PAGES))
    rt.app.include_router(page_api.build_router(lambda tenant: watch.current.tenant(tenant)))
    watch.start()
    rt.add(watch, "centers")
    await keeper.start()
    rt.add(keeper, "schedules")


def _listen(rt: Runtime, hub: GeventHub, address: SwitchAddress, buffer: LegBuffer) -> SwitchClient:
    part = switch_part(address.name)
    rt.ready(part, False, "not reached yet")

    def on_event(event: Event) -> None:
        leg = leg_of_event(event, address.name)
        if leg is not None:
            buffer.add(leg)

    async def on_up() -> None:
        rt.ready(part, True, f"{address.host}:{address.port}")

    def on_down(reason: str) -> None:
        rt.ready(part, False, reason)

    return SwitchClient(hub, address, events=[HANGUP], on_event=on_event, on_up=on_up, on_down=on_down)
