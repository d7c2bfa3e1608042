"""The running center documents: of the files, or of the revisions on the bus; whichever rules, services see the same.

Theory of operation. ``PEYVAND_CENTERS_RULE`` says what rules (adr/0017). With ``files`` it is ``CenterWatch``. With
``store`` and ``newest`` it is ``StoreWatch``: it reads all revisions once, then follows the stream. A revision that this program
finds wrong (it is older, or two tenants collided) is refused, and the newest right one of that tenant runs on;
``/readyz`` tells both. Each process decides that for itself from the same stream in the same order, so all of one version agree.

Without NATS at the start a process runs what its cache has (the revisions that it ran last), else the files; the store's revisions
take over as soon as they can be read. Routing cannot: with an old document it would log out people whom it does not know and
move the callers of queues it does not know. It needs NATS for everything else too, so it waits (``must_read``).

Files are taken into the store by routing only: a file on the disk of another machine must not bring an old document back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import structlog

from services.center.loader import (
    CenterError,
    CenterSet,
    Fault,
    Read,
    assemble,
    load,
    read_document,
    revision_of,
    told,
)
from services.center.model import Center
from services.center.store import ALL, CenterStore, Stored, name_of, read_revision, stored_of
from services.center.watch import CenterWatch, Ready
from services.common.bus import Bus, Envelope, Subscription, subjects
from services.common.clock import Clock
from services.common.config import CenterSettings
from services.common.errors import DecodeError, NotReady, Refused

log = structlog.get_logger()

OnChange = Callable[[CenterSet], None]
_PATIENCE_S = 5.0
_AGAIN_S = 2.0


class RunningCenters(Protocol):
    """The documents that this process runs."""

    @property
    def current(self) -> CenterSet:
        """What runs."""
        ...

    @property
    def refused(self) -> tuple[Fault, ...]:
        """What is wrong with newer documents that do not run."""
        ...

    def start(self) -> None:
        """Follow changes from now on."""
        ...

    async def stop(self) -> None:
        """Follow no more."""
        ...


async def open_centers(
    settings: CenterSettings,
    bus: Bus,
    clock: Clock,
    on_change: OnChange,
    *,
    ready: Ready | None = None,
    must_read: bool = False,
    takes_files: bool = False,
) -> RunningCenters:
    """Return the documents that run now; ``start`` it to have ``on_change`` called with each new set.

    ``must_read``: wait for the store for as long as it takes. ``takes_files``: this service puts files into the store.
    Raises ConfigError when there is no document at all, or none that is right.
    """
    if settings.centers_rule == "files":
        return CenterWatch(settings.centers, on_change, ready=ready)
    watch = StoreWatch(
        settings.centers,
        bus,
        clock,
        on_change,
        ready=ready,
        cache=settings.centers_cache,
        takes_files=takes_files,
        takes_changed_files=settings.centers_rule == "newest",
    )
    await watch.open(None if must_read else _PATIENCE_S)
    return watch


class StoreWatch:
    """The newest revisions of the store, each tenant's newest that is right."""

    def __init__(
        self,
        files: Path,
        bus: Bus,
        clock: Clock,
        on_change: OnChange | None = None,
        *,
        ready: Ready | None = None,
        cache: Path | None = None,
        takes_files: bool = False,
        takes_changed_files: bool = False,
        every_s: float = 2.0,
    ) -> None:
        self._files = files
        self._bus = bus
        self._store = CenterStore(bus, clock)
        self._on_change = on_change
        self._ready = ready
        self._cache = cache
        self._takes_files = takes_files
        self._takes_changed_files = takes_changed_files
        self._every_s = every_s
        self._seq = 0
        self._running: dict[str, tuple[Stored, Read]] = {}
        self._faults: dict[str, tuple[Fault, ...]] = {}
        self._file_faults: tuple[Fault, ...] = ()
        self._file_stamp: tuple[str, ...] | None = None
        self._source = "the store"
        self._follow: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self.current: CenterSet
        self.store_read = False
        """Whether ``current`` is what the store has; False after a start without NATS."""

    @property
    def refused(self) -> tuple[Fault, ...]:
        """What is wrong with the newest revisions and files, where something else runs."""
        return tuple(fault for faults in self._faults.values() for fault in faults) + self._file_faults

    # -- the start

    async def open(self, patience_s: float | None) -> None:
        """Find out what runs. Waits for NATS for ``patience_s`` (None: for ever). Raises ConfigError."""
        self._say(False, "the store of the center documents is not read yet")
        try:
            async with asyncio.timeout(patience_s):
                while not await self._read_store():  # noqa: ASYNC110  another machine's event
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            self._run_without_store()
        self._tell()

    async def _read_store(self) -> bool:
        try:
            await self._catch_up()
            if self._takes_files and await self._take_files():
                await self._catch_up()
        except NotReady as e:
            log.warning("center_store_unavailable", reason=str(e))
            return False
        if not self._running:
            # Nobody has put a document there yet: the files run until routing has taken them.
            self.current, self._source = await asyncio.to_thread(load, self._files), "the files, to be stored"
        self.store_read = True
        return True

    async def _catch_up(self) -> None:
        if await self._bus.last(ALL, timeout_s=_PATIENCE_S) is None:
            return
        kept: dict[str, list[Stored]] = {}
        async for envelope in self._bus.read_log(ALL, after_seq=self._seq):
            self._seq = envelope.stream_seq
            if (stored := _stored(envelope)) is not None:
                kept.setdefault(subjects.tenant_of(envelope.subject), []).append(stored)
        # In the order of the newest revisions, as they would have come.
        for tenant, all_of_it in sorted(kept.items(), key=lambda item: item[1][-1].seq):
            await self._take_newest(tenant, all_of_it)

    async def _take_newest(self, tenant: str, revisions: Iterable[Stored]) -> bool:
        """Run the newest of a tenant's revisions that is right; an older one only when nothing runs yet."""
        newest: tuple[Fault, ...] | None = None
        for stored in reversed(list(revisions)):
            faults = await self._take(tenant, stored)
            if newest is None:
                newest = faults
            if not faults or tenant in self._running:
                break
        self._faults[tenant] = newest or ()
        return tenant in self._running and not newest

    async def _take(self, tenant: str, stored: Stored) -> tuple[Fault, ...]:
        """Make a revision the running one; returns what is wrong with it instead."""
        assert stored.revised is not None
        try:
            read = await asyncio.to_thread(read_revision, tenant, stored.revised)
            others = {t: r for t, (_, r) in self._running.items() if t != tenant}
            centers = assemble([r for _, r in sorted({**others, tenant: read}.items())])
        except CenterError as e:
            log.error(
                "center_refused",
                tenant=tenant,
                revision=stored.revision,
                running=self._running[tenant][0].revision if tenant in self._running else "",
                faults=[str(fault) for fault in e.faults],
            )
            return e.faults
        except DecodeError as e:
            log.error("center_damaged", tenant=tenant, revision=stored.revision, reason=str(e))
            return (Fault(str(name_of(tenant)), 1, "", str(e)),)
        self._running[tenant] = (stored, read)
        self.current, self._source = centers, "the store"
        await asyncio.to_thread(self._keep, tenant, stored)
        return ()

    def _run_without_store(self) -> None:
        if self._cache is not None and any(self._cache.glob("*.yaml")):
            try:
                self.current, self._source = load(self._cache), f"{self._cache}, for the store cannot be read"
            except CenterError as e:
                log.error("center_cache_refused", faults=[str(fault) for fault in e.faults])
            else:
                return
        self.current, self._source = load(self._files), "the files, for the store cannot be read"
        log.warning("center_store_unavailable", running=self.current.revision, source=self._source)

    def _keep(self, tenant: str, stored: Stored) -> None:
        """Keep what runs for a start without NATS; a reader sees the old file or the whole new one."""
        if self._cache is None or stored.revised is None:
            return
        file = self._cache / name_of(tenant)
        part = file.with_name(f".{file.name}.part")
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            part.write_bytes(stored.revised.text())
            part.replace(file)
        except OSError as e:
            log.warning("center_not_kept", file=str(file), reason=str(e))

    # -- following

    def start(self) -> None:
        """Follow the store from now on, and the files where they are taken."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="center-store")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._follow is not None:
            await self._follow.stop()

    async def _run(self) -> None:
        while not self.store_read:
            before = self.current.revision
            if await self._read_store():
                self._tell()
                if self.current.revision != before:
                    self._changed(before)
            else:
                await asyncio.sleep(_AGAIN_S)
        self._follow = await self._bus.follow([ALL], self._on_revised, after_seq=self._seq)
        while self._takes_files:
            await asyncio.sleep(self._every_s)
            try:
                await self._take_files()
            except NotReady as e:
                log.warning("center_file_not_taken", reason=str(e))

    async def _on_revised(self, envelope: Envelope) -> None:
        self._seq = envelope.stream_seq
        if (stored := _stored(envelope)) is None:
            return
        before = self.current.revision
        if await self._take_newest(subjects.tenant_of(envelope.subject), [stored]):
            self._changed(before)
        self._tell()

    def _changed(self, before: str) -> None:
        log.info("center_changed", revision=self.current.revision, before=before)
        if self._on_change is not None:
            try:
                self._on_change(self.current)
            except Exception:  # a consumer's fault must not end the watch: the next revision may mend it
                log.exception("center_change_failed", revision=self.current.revision)

    # -- files

    async def _take_files(self) -> bool:
        """Put files into the store that it wants; returns whether there were any. Faulty ones are told and left alone."""
        files = await asyncio.to_thread(_texts, self._files)
        stamp = tuple(revision_of(data) for _, data in files)
        if stamp == self._file_stamp:
            return False
        faults: list[Fault] = []
        taken = False
        for file, data in files:
            read = await asyncio.to_thread(read_document, file, data)
            if read.center is None or read.faults:
                faults += read.faults
                continue
            others = [r.center for _, r in self._running.values() if r.center is not None]
            try:
                stored = await self._store.take_file(
                    read.center, data, others, always=await self._wants(read.center)
                )
            except CenterError as e:
                faults += e.faults
            except Refused as e:
                faults.append(Fault(str(file), 1, "", str(e)))
            else:
                if stored is not None:
                    taken = True
                    log.info("center_file_taken", file=file.name, revision=stored.revision)
        self._file_stamp = stamp
        if faults:
            log.error("center_file_refused", faults=[str(fault) for fault in faults])
        self._file_faults = tuple(faults)
        return taken

    async def _wants(self, center: Center) -> bool:
        """Whether a file may come after revisions. At the start only one that never did: it may be an old machine's."""
        if not self._takes_changed_files or self._file_stamp is not None:
            return self._takes_changed_files
        history = await self._store.history(center.tenant)
        return all(center.revision not in (r.revision, r.file_revision) for r in history)

    # -- telling

    def _tell(self) -> None:
        refused = told(self.refused, "a newer one is refused")
        reports = told(self.current.report_faults, "a scheduled report cannot be made")
        self._say(True, f"revision {self.current.revision} of {self._source}{refused}{reports}")

    def _say(self, ok: bool, detail: str) -> None:
        if self._ready is not None:
            self._ready("centers", ok, detail)


def _stored(envelope: Envelope) -> Stored | None:
    try:
        return stored_of(envelope)
    except DecodeError as e:
        log.error("center_revision_unreadable", seq=envelope.stream_seq, reason=str(e))
        return None


def _texts(path: Path) -> list[tuple[Path, bytes]]:
    """The files' bytes, in the order of their names; one that vanishes meanwhile is left out."""
    files = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            found.append((file, file.read_bytes()))
    return found
