"""Edits of a center document: one value or the whole, each based on a revision, each a revision of its own.

An edit is a function from the document's plain value to another one. The text keeps its comments and order (``services.center.edit``), the
result is checked as a whole, and it is stored only if nobody else was faster. With ``dry_run`` everything happens but the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from services.center import source
from services.center.changes import CenterChange, changes
from services.center.edit import new_text, rewrite
from services.center.live import RunningCenters
from services.center.loader import CenterError, Fault, Read, revision_of
from services.center.store import Author, CenterRevised, CenterStore, Stored, name_of
from services.common.errors import Refused, WrongSequence

Change = Callable[[Any], Any]
"""Makes the wanted value of the present one, which it may change. Raises Refused."""


class Present(msgspec.Struct, frozen=True):
    """The document that edits are based on; ``text`` is empty before the first revision."""

    revision: str
    text: bytes
    stored: Stored

    def value(self) -> Any:
        """The document as plain values, a new copy each time."""
        return source.parse(self.text.decode()).value if self.text else {}


class Edited(msgspec.Struct, frozen=True):
    """What an edit led to. ``number`` is 0 when nothing was stored: for a dry run, or because nothing changed."""

    revision: str
    based_on: str
    number: int
    changes: tuple[CenterChange, ...]
    changes_left_out: int
    text: bytes


class Editor:
    """Edits of one installation's documents. Raises BusUnavailable when NATS does not answer."""

    def __init__(self, centers: Callable[[], RunningCenters], store: CenterStore, rule: str) -> None:
        self._centers = centers
        self.store = store
        self._rule = rule

    async def present(self, tenant: str) -> Present:
        """The tenant's newest document. Raises Refused when there is none, or its file has changed and does not run."""
        if self._rule == "files":
            return self._file(tenant)
        head = await self.store.head(tenant)
        if head.revised is None:
            return Present("", b"", head)
        return Present(head.revision, head.revised.text(), head)

    def _file(self, tenant: str) -> Present:
        center = self._centers().current.tenant(tenant)
        if center is None:
            raise Refused("unknown-tenant", f"no center document for tenant {tenant}", status=404)
        try:
            text = center.path.read_bytes()
        except OSError:
            text = b""
        if revision_of(text) != center.revision:
            raise Refused(
                "center-file-changed",
                f"{center.path.name} is not what runs (revision {center.revision}) any more",
            )
        return Present(center.revision, text, Stored(0))

    async def edit(
        self, tenant: str, based_on: str, change: Change, author: Author, *, dry_run: bool = False
    ) -> Edited:
        """Change the document. Raises Refused (revision-outdated with 412, and what ``change`` raises), CenterError."""
        present = await self._based(tenant, based_on)

        def write() -> bytes:
            wanted = change(present.value())
            text = rewrite(present.text.decode(), wanted) if present.text else new_text(wanted)
            return text.encode()

        # In a thread, as all reading and writing of YAML: a large document takes a second, and calls go on meanwhile.
        text = await asyncio.to_thread(write)
        return await self._store(tenant, present, text, author, dry_run)

    async def replace(
        self, tenant: str, based_on: str, text: bytes, author: Author, *, dry_run: bool = False
    ) -> Edited:
        """Put another text in the document's place, byte by byte. Raises as ``edit``."""
        return await self._store(tenant, await self._based(tenant, based_on), text, author, dry_run)

    async def roll_back(
        self, tenant: str, based_on: str, number: int, author: Author, *, dry_run: bool = False
    ) -> Edited:
        """Make the text of an earlier revision the newest one. Raises as ``edit``, and Refused for a number that is not kept."""
        present = await self._based(tenant, based_on)
        earlier = await self.store.numbered(tenant, number)
        return await self._store(tenant, present, earlier.text(), author, dry_run)

    async def _based(self, tenant: str, based_on: str) -> Present:
        present = await self.present(tenant)
        if present.revision != based_on:
            raise _outdated(tenant, based_on, present.revision)
        return present

    async def _store(
        self, tenant: str, present: Present, text: bytes, author: Author, dry_run: bool
    ) -> Edited:
        if self._rule == "files" and not dry_run:
            raise Refused(
                "center-managed-by-files",
                f"the files rule here (PEYVAND_CENTERS_RULE): change the file of {tenant}, or try with dry_run",
            )
        others = [c for c in self._centers().current.centers if c.tenant != tenant]
        read = await asyncio.to_thread(self.store.check, tenant, text, others)
        revised = await asyncio.to_thread(self.store.next_after, tenant, present.stored, read, text, author)
        if present.revision == revised.revision:
            return Edited(revised.revision, revised.revision, 0, (), 0, text)
        if dry_run:
            return _edited(revised, text, self._listed(present, read), number=0)
        try:
            await self.store.put(tenant, present.stored, revised)
        except WrongSequence:
            head = await self.store.head(tenant)
            raise _outdated(tenant, present.revision, head.revision) from None
        return _edited(revised, text, list(revised.changes), number=revised.number)

    @staticmethod
    def _listed(present: Present, read: Read) -> list[CenterChange]:
        return changes(present.value(), read.source.value)[:100] if present.text else []


def _edited(revised: CenterRevised, text: bytes, listed: list[CenterChange], *, number: int) -> Edited:
    return Edited(revised.revision, revised.based_on, number, tuple(listed), revised.changes_left_out, text)


def _outdated(tenant: str, based_on: str, newest: str) -> Refused:
    return Refused(
        "revision-outdated",
        f"the document of {tenant} is at revision {newest or 'none'}, the edit is based on {based_on or 'none'}: "
        "get it again",
        status=412,
    )


def value_of(tenant: str, text: bytes) -> Any:
    """The plain values of a text that may be YAML or JSON. Raises CenterError when it is neither."""
    src = source.parse(text.decode("utf-8", errors="replace"))
    if src.faults:
        raise CenterError(
            Fault(str(name_of(tenant)), line, ".".join(map(str, path)), message)
            for line, path, message in src.faults
        )
    return src.value
