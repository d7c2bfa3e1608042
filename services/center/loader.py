"""Load center documents: read, check as a whole, and report every fault at once with file, line and path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.center import check, report_check, source
from services.center.model import Agent, Center, CenterDocument, EntryPoint
from services.center.numbers import LANGUAGES
from services.common.errors import ConfigError


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, where, and what was expected."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{self.message}"


class CenterError(ConfigError):
    """One or more center documents are wrong; ``faults`` has all of it, the text one line a fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))

    @classmethod
    def of(cls, file: Path, message: str) -> CenterError:
        """One fault of a whole file."""
        return cls([Fault(str(file), 1, "", message)])


@dataclass(frozen=True)
class CenterSet:
    """All centers of an installation, in the order of their files. Never empty."""

    centers: tuple[Center, ...]
    report_faults: tuple[Fault, ...] = ()
    """Scheduled reports of theirs that cannot be made; everything else runs."""

    @property
    def revision(self) -> str:
        """One revision over all documents."""
        return revision_of("\n".join(c.revision for c in self.centers).encode())

    def tenant(self, token: str) -> Center | None:
        """Return the center of a tenant."""
        return next((c for c in self.centers if c.tenant == token), None)

    def entry(self, number: str) -> tuple[Center, str, EntryPoint]:
        """Return center, number and entry point for a called number.

        An unknown number is served by the first center's ``default_entry_point``: a caller who got through to us is
        not turned away because a number was forgotten.
        """
        for center in self.centers:
            if number in center.entry_points:
                return center, number, center.entry_points[number]
        first = self.centers[0]
        return first, first.default_entry_point, first.entry_points[first.default_entry_point]

    def agent_at(self, extension: str) -> tuple[Center, str, Agent] | None:
        """Return center, agent id and agent of a phone (extensions are unique over all centers)."""
        for center in self.centers:
            for agent_id, agent in center.agents.items():
                if agent.extension == extension:
                    return center, agent_id, agent
        return None

    def of_phone(self, extension: str) -> Center | None:
        """Return the center of an agent's phone or of a desk."""
        for center in self.centers:
            if extension in center.desks or any(a.extension == extension for a in center.agents.values()):
                return center
        return None


def load(path: Path | str, *, sounds_dir: Path | None = None, new: bool = False) -> CenterSet:
    """Read one document, or every ``*.yaml``/``*.yml`` of a folder in the order of their names.

    With ``sounds_dir`` (FreeSWITCH's sounds folder as this machine sees it) every prompt's file must exist too.
    ``new``: something else runs, or nothing does that could end; then faults of scheduled reports count, too (adr/0063).
    Raises CenterError with every fault of every file.
    """
    return load_files(_files(Path(path)), sounds_dir=sounds_dir, new=new)


def load_files(files: Sequence[Path], *, sounds_dir: Path | None = None, new: bool = False) -> CenterSet:
    """Read these documents as one installation. Raises CenterError with every fault of every file."""
    return assemble([read_file(file, sounds_dir=sounds_dir) for file in files], new=new)


@dataclass(frozen=True)
class Read:
    """One document as far as it could be read: ``center`` is None when its form is wrong."""

    source: source.Source
    center: Center | None
    faults: tuple[Fault, ...]
    report_faults: tuple[Fault, ...] = ()
    """Of scheduled reports; they refuse a new document, and are told of one that is there (adr/0063)."""


def read_file(file: Path, *, sounds_dir: Path | None = None) -> Read:
    """Read and check one file by itself. Never raises: what is wrong is in ``faults``."""
    try:
        data = file.read_bytes()
    except OSError as e:
        return Read(source.Source(), None, (Fault(str(file), 1, "", f"cannot be read: {e}"),))
    return read_document(file, data, sounds_dir=sounds_dir)


def read_document(name: Path, data: bytes, *, sounds_dir: Path | None = None) -> Read:
    """Check the bytes of one document by itself; ``name`` is what faults call it. Never raises."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        return Read(source.Source(), None, (Fault(str(name), 1, "", f"cannot be read: {e}"),))
    src = source.parse(text)
    center, found = _center(name, src, revision_of(data), sounds_dir)
    wrong = report_check.faults(center) if center is not None else ()
    return Read(src, center, tuple(found), tuple(_fault(name, src, path, said) for path, said in wrong))


def assemble(documents: Iterable[Read], *, new: bool = False) -> CenterSet:
    """Put documents together as one installation; ``new`` as for ``load``. Raises CenterError with every fault of each and between them."""
    documents = list(documents)
    faults = [fault for document in documents for fault in document.faults]
    report_faults = tuple(fault for document in documents for fault in document.report_faults)
    if new:
        faults += report_faults
    sound = [(d.source, d.center) for d in documents if d.center is not None]
    for index, path, message in check.across([center for _, center in sound]):
        src, center = sound[index]
        faults.append(_fault(center.path, src, path, message))
    if faults:
        raise CenterError(faults)
    return CenterSet(tuple(center for _, center in sound), report_faults)


def told(faults: Sequence[Fault], what: str) -> str:
    """``what`` and the first of the faults, as readiness tells it; empty when there are none."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"; {what}: {faults[0]}{more}" if faults else ""


def prompt_file(sounds_dir: Path | str, center: Center, language: str, prompt: str) -> str:
    """Return where a prompt's audio is: ``<sounds>/<prompts_dir>/<language>/<prompt>.wav``."""
    return f"{sounds_dir}/{center.prompts_dir}/{language}/{prompt}.wav"


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(
            p for p in path.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith(".")
        )
        if not files:
            raise CenterError([Fault(str(path), 1, "", "no center document (*.yaml) in this folder")])
        return files
    return [path]


def revision_of(data: bytes) -> str:
    """The revision that a document with these bytes has."""
    return hashlib.sha256(data).hexdigest()[:12]


def document_of(value: object) -> tuple[CenterDocument | None, list[check.Fault]]:
    """Check a document's plain value; None when its form is wrong. Faults are (path, message)."""
    try:
        document = CenterDocument.model_validate(value)
    except ValidationError as e:
        errors = e.errors(include_url=False, include_context=False)
        return None, [_located(error["loc"], error["type"], error["msg"]) for error in errors]
    return document, list(check.faults(document))


def center_of(document: CenterDocument, revision: str, file: Path) -> Center:
    """The document as the services run it."""
    parts = {name: getattr(document, name) for name in CenterDocument.model_fields}
    return Center.model_construct(**parts, revision=revision, path=file)


def _center(
    file: Path, src: source.Source, revision: str, sounds_dir: Path | None
) -> tuple[Center | None, list[Fault]]:
    found = [Fault(str(file), line, _dotted(path), message) for line, path, message in src.faults]
    if src.value is None:
        return None, found or [Fault(str(file), 1, "", "expected a mapping with tenant, queues, flows, ...")]
    document, faults = document_of(src.value)
    found += [_fault(file, src, path, message) for path, message in faults]
    if document is None:
        return None, found
    center = center_of(document, revision, file)
    if sounds_dir is not None:
        found += _missing_files(center, src, sounds_dir)
    return center, found


def _missing_files(center: Center, src: source.Source, sounds_dir: Path) -> list[Fault]:
    missing = []
    for language in center.languages:
        for prompt in center.prompts:
            file = prompt_file(sounds_dir, center, language, prompt)
            if not Path(file).is_file():
                missing.append(_fault(center.path, src, ("prompts", prompt), f"no audio file {file}"))
        for prompt in check.composed_prompts(center, language) if language in LANGUAGES else ():
            file = prompt_file(sounds_dir, center, language, prompt)
            if not Path(file).is_file():
                missing.append(_fault(center.path, src, ("languages",), f"no audio file {file}"))
    return missing


def _located(loc: tuple[Any, ...], kind: str, message: str) -> tuple[source.Path, str]:
    """Turn pydantic's location into a path of the document: its tags of a union and of a key are no part of it."""
    path = tuple(p for p in loc if not (isinstance(p, str) and (p.startswith("<") or p == "[key]")))
    # `as` is the document's word; pydantic reports the alias already, so nothing else needs translating.
    message = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "unknown setting"
    elif kind == "missing":
        message = "is missing"
    return path, message


def _fault(file: Path, src: source.Source, path: source.Path, message: str) -> Fault:
    return Fault(str(file), src.line(path), _dotted(path), message)


def _dotted(path: source.Path) -> str:
    return ".".join(map(str, path))
