"""What is different between two documents, value by value, in words that a person can read in a log or a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MOST = 100
"""Changes that are listed; a document that is replaced as a whole has thousands."""
_LONGEST = 200
_NAMED_BY = ("code", "queue")
"""Keys that name the items of a list: such lists are compared item by item, whatever their order."""


class CenterChange(msgspec.Struct, frozen=True):
    """One value that is another one now; JSON, empty when it is absent."""

    path: str
    before: str = ""
    after: str = ""


def changes(before: Any, after: Any) -> list[CenterChange]:
    """Every change between two plain values (of ``source.parse``), in the order of the document."""
    return list(_changes((), before, after))


def _changes(path: tuple[str, ...], before: Any, after: Any) -> Iterator[CenterChange]:
    if before == after and type(before) is type(after):
        return
    left, right = _items(before), _items(after)
    if left is None or right is None:
        yield CenterChange(".".join(path), _shown(before), _shown(after))
        return
    for key in {**left, **right}:
        here = (*path, key)
        if key not in right:
            yield CenterChange(".".join(here), _shown(left[key]), "")
        elif key not in left:
            yield CenterChange(".".join(here), "", _shown(right[key]))
        else:
            yield from _changes(here, left[key], right[key])
    if list(left) != list(right) and set(left) == set(right) and left == right:
        yield CenterChange(".".join(path) or "document", _shown(list(left)), _shown(list(right)))


def _items(value: Any) -> Mapping[str, Any] | None:
    """The named parts of a mapping, or of a list whose items have names; None for everything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list):
        if not value:
            return {}
        for name in _NAMED_BY:
            # A plain name is what a mapping with nothing but that name is: [sales] and [{queue: sales}] are the same.
            keys = [item.get(name) if isinstance(item, Mapping) else item for item in value]
            if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
                return dict(zip(map(str, keys), value, strict=True))
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
