"""Revisions on the bus: made one after the other, followed by everybody, refused where they are wrong, there after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from services.center import CenterError, CenterSet
from services.center.live import StoreWatch
from services.center.loader import revision_of
from services.center.store import Author, CenterStore, Stored, subject_of
from services.common.bus import Outgoing
from services.common.bus.memory import MemoryBroker, MemoryBus
from services.common.clock import SystemClock
from services.common.errors import DecodeError, Refused, WrongSequence
from tests.unit.center.test_center_faults import GOOD

EDITED = GOOD.replace("en: Acme", "en: Acme Two")
OTHER = GOOD.replace("tenant: acme", "tenant: other\nprompts_dir: other")
for _old, _new in (("500", "700"), ("601", "701"), ("602", "702")):
    OTHER = OTHER.replace(_old, _new)
SARA = Author("admin:sara", "replaced", "a better name")


class Process:
    """One process that runs centers, with what it was told."""

    def __init__(self, broker: MemoryBroker, files: Path, name: str, **options: object) -> None:
        self.bus = MemoryBus(broker, source=f"/{name}/1")
        self.said: list[tuple[bool, str]] = []
        self.changes: asyncio.Queue[CenterSet] = asyncio.Queue()
        self.watch = StoreWatch(
            files,
            self.bus,
            SystemClock(),
            self.changes.put_nowait,
            ready=lambda part, ok, detail: self.said.append((ok, detail)),
            every_s=0.01,
            **options,  # type: ignore[arg-type]
        )

    async def until_name(self, name: str) -> None:
        async with asyncio.timeout(10):
            while self.watch.current.centers[0].name["en"] != name:
                await self.changes.get()


class Installation:
    """A broker, a folder of files, and processes on them."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.files = folder / "centers"
        self.files.mkdir()
        self.file = self.files / "acme.yaml"
        self.file.write_text(GOOD)
        self.bus = MemoryBus(self.broker, source="/test/1")
        self.store = CenterStore(self.bus, SystemClock())

    @contextlib.asynccontextmanager
    async def process(
        self, name: str = "ivr", *, patience_s: float | None = None, **options: object
    ) -> AsyncIterator[Process]:
        process = Process(self.broker, self.files, name, **options)
        await process.watch.open(patience_s)
        process.watch.start()
        try:
            yield process
        finally:
            await process.watch.stop()
            await process.bus.stop()

    async def revise(self, text: str, author: Author = SARA, tenant: str = "acme") -> Stored:
        head = await self.store.head(tenant)
        read = self.store.check(tenant, text.encode(), [])
        return await self.store.put(
            tenant, head, self.store.next_after(tenant, head, read, text.encode(), author)
        )

    async def revise_unchecked(self, text: str) -> None:
        """As a newer program may, for which it is right."""
        head = await self.store.head("acme")
        read = self.store.check("acme", GOOD.encode(), [])
        made = self.store.next_after("acme", head, read, GOOD.encode(), SARA)
        data = text.encode()
        made = msgspec.structs.replace(made, document=zlib.compress(data), revision=revision_of(data))
        await self.store.put("acme", head, made)


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    made = Installation(tmp_path)
    yield made
    await made.bus.stop()


async def test_a_file_is_the_first_revision_and_an_edit_reaches_every_process(
    installation: Installation,
) -> None:
    async with (
        installation.process("ivr") as ivr,
        installation.process("routing", takes_files=True) as routing,
    ):
        assert ivr.said[1][1].endswith("of the files, to be stored")
        first = await installation.store.head("acme")
        assert first.revised is not None
        assert (first.revised.number, first.revised.kind, first.revised.actor) == (
            1,
            "seeded",
            "file:acme.yaml",
        )
        assert routing.watch.current.revision == ivr.watch.current.revision

        stored = await installation.revise(EDITED)
        await asyncio.gather(ivr.until_name("Acme Two"), routing.until_name("Acme Two"))
        for process in (ivr, routing):
            assert process.watch.current.centers[0].revision == stored.revision
            assert process.said[-1] == (True, f"revision {process.watch.current.revision} of the store")
    assert stored.revised is not None
    assert stored.revised.based_on == first.revision
    assert [(c.path, c.before, c.after) for c in stored.revised.changes] == [
        ("name.en", '"Acme"', '"Acme Two"')
    ]
    async with installation.process("queue") as later:
        assert later.watch.current.centers[0].revision == stored.revision, "a new process runs the newest"


async def test_of_two_edits_of_one_revision_the_second_is_refused(installation: Installation) -> None:
    first = await installation.revise(GOOD)
    read = installation.store.check("acme", EDITED.encode(), [])
    edit = installation.store.next_after("acme", first, read, EDITED.encode(), SARA)
    await installation.store.put("acme", first, edit)
    with pytest.raises(WrongSequence):
        await installation.store.put("acme", first, msgspec.structs.replace(edit, actor="admin:reza"))
    assert [r.actor for r in await installation.store.history("acme")] == ["admin:sara", "admin:sara"]


async def test_a_wrong_revision_is_refused_and_the_running_one_stays_also_after_a_restart(
    installation: Installation,
) -> None:
    good = await installation.revise(GOOD)
    wrong = GOOD.replace("then: hours", "then: nowhere")
    async with installation.process() as ivr:
        await installation.revise_unchecked(wrong)
        async with asyncio.timeout(10):
            while "a newer one is refused: acme.yaml:39: flows.main.nodes" not in ivr.said[-1][1]:
                await asyncio.sleep(0.002)
        assert ivr.watch.current.centers[0].revision == good.revision
        assert ivr.changes.empty()
        assert ivr.said[-1][0], "an old document serves as well as a new one"
    async with installation.process() as again:
        assert again.watch.current.centers[0].revision == good.revision
        assert "nowhere" in str(again.watch.refused[0])
        await installation.revise(EDITED)
        await again.until_name("Acme Two")
        assert again.watch.refused == ()


async def test_without_nats_the_cache_runs_then_the_files_and_the_store_as_soon_as_it_is_there(
    installation: Installation, tmp_path: Path
) -> None:
    await installation.revise(EDITED)
    cache = tmp_path / "cache"
    async with installation.process(cache=cache):
        pass
    await installation.revise(GOOD.replace("en: Acme", "en: Acme Three"))
    installation.broker.set_up(False)
    async with (
        installation.process(patience_s=0.05) as bare,
        installation.process(patience_s=0.05, cache=cache) as cached,
    ):
        assert bare.watch.current.centers[0].name["en"] == "Acme"
        assert "the files, for the store cannot be read" in bare.said[-1][1]
        assert cached.watch.current.centers[0].name["en"] == "Acme Two"
        installation.broker.set_up(True)
        await asyncio.gather(bare.until_name("Acme Three"), cached.until_name("Acme Three"))
        assert cached.said[-1][1].endswith("of the store")


async def test_who_must_read_the_store_waits_for_it(installation: Installation) -> None:
    await installation.revise(EDITED)
    installation.broker.set_up(False)
    process = Process(installation.broker, installation.files, "routing")
    opening = asyncio.ensure_future(process.watch.open(None))
    async with asyncio.timeout(10):
        while not process.said:
            await asyncio.sleep(0.002)
    assert process.said == [(False, "the store of the center documents is not read yet")]
    assert not opening.done()
    installation.broker.set_up(True)
    await asyncio.wait_for(opening, 10)
    assert process.watch.current.centers[0].name["en"] == "Acme Two"
    await process.bus.stop()


def rewrite(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text)
    os.replace(part, file)


async def test_with_rule_store_a_changed_file_is_left_alone_and_with_newest_it_is_a_revision(
    installation: Installation,
) -> None:
    async with installation.process("routing", takes_files=True, takes_changed_files=True) as routing:
        await installation.revise(EDITED)
        await routing.until_name("Acme Two")
        rewrite(installation.file, GOOD.replace("en: Acme", "en: Acme Three"))
        await routing.until_name("Acme Three")
        head = await installation.store.head("acme")
        assert head.revised is not None
        assert (head.revised.kind, head.revised.actor) == ("file", "file:acme.yaml")

        rewrite(installation.file, "tenant: acme")
        async with asyncio.timeout(10):
            while not routing.watch.refused:
                await asyncio.sleep(0.005)
        assert routing.watch.current.centers[0].name["en"] == "Acme Three"

    rewrite(installation.file, GOOD)
    async with installation.process("routing", takes_files=True, takes_changed_files=True) as again:
        assert again.watch.current.centers[0].name["en"] == "Acme Three", (
            "a text of history is some old machine's"
        )
    rewrite(installation.file, GOOD.replace("en: Acme", "en: Acme Four"))
    async with installation.process("routing", takes_files=True) as store_rules:
        assert store_rules.watch.current.centers[0].name["en"] == "Acme Three"
    async with installation.process("routing", takes_files=True, takes_changed_files=True) as newest:
        assert newest.watch.current.centers[0].name["en"] == "Acme Four", "changed while nobody looked"


async def test_two_tenants_cannot_have_the_same_number_whoever_was_first_keeps_it(
    installation: Installation,
) -> None:
    first = await installation.revise(GOOD)
    await installation.revise(OTHER, tenant="other")
    stolen = OTHER.replace("701", "601")
    await installation.revise(
        stolen, tenant="other"
    )  # checked against nobody: the other edit came at the same instant
    for _ in range(2):  # also after a restart
        async with installation.process() as ivr:
            assert [c.tenant for c in ivr.watch.current.centers] == ["acme", "other"]
            assert ivr.watch.current.centers[0].revision == first.revision
            assert "701" in {a.extension for a in ivr.watch.current.centers[1].agents.values()}
            assert "601 is already" in ivr.watch.refused[0].message
    with pytest.raises(CenterError, match="601 is already"):
        installation.store.check("other", stolen.encode(), ivr.watch.current.centers)


async def test_a_damaged_revision_is_refused_and_stops_nobody(installation: Installation) -> None:
    first = await installation.revise(GOOD)
    assert first.revised is not None
    damaged = msgspec.structs.replace(first.revised, number=2, document=b"\x00\x01")
    subject = subject_of("acme")
    async with installation.process() as ivr:
        await installation.bus.append(Outgoing(subject, damaged, "damaged:1", "acme"))
        async with asyncio.timeout(10):
            while not ivr.watch.refused:
                await asyncio.sleep(0.002)
        assert ivr.watch.current.centers[0].revision == first.revision
    with pytest.raises(DecodeError, match=r"CenterRevised\.document"):
        damaged.text()


def test_what_is_none_of_the_tenants_is_refused(tmp_path: Path) -> None:
    store = CenterStore(MemoryBus(MemoryBroker(), source="/test/1"), SystemClock())
    with pytest.raises(Refused, match="not-your-tenant"):
        store.check("acme", OTHER.encode(), [])
    with pytest.raises(Refused, match="center-too-large"):
        store.check("acme", b"#" * (9 << 20), [])
