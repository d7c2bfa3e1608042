"""The fact of the center document: a revision came into force."""

from __future__ import annotations

import msgspec


class CenterChange(msgspec.Struct, frozen=True, kw_only=True):
    """One value that is another one now."""

    path: str = ""
    before: str = ""
    after: str = ""


class CenterRevised(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's center document has a new revision.

    Without the document: it holds what analysts are not to see (the hashes of PINs), and stays in its stream.
    """

    number: int = 0
    revision: str = ""
    based_on: str = ""
    kind: str = ""
    actor: str = ""
    reason: str = ""
    changes: tuple[CenterChange, ...] = ()
    changes_left_out: int = 0
    file_revision: str = ""
    at_us: int = 0
