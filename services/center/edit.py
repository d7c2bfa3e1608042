"""Write another value into a document's text, and leave everything else of the text as it is: comments, order, quotes, layout.

Theory of operation. Edits are made on plain values. ``rewrite`` walks the value that is wanted beside ruamel.yaml's tree of the text and
touches only what differs; what stays keeps its node, and with it its comments and its form. Afterwards the new text is read by
our own reader and compared with what was wanted, so that no peculiarity of a round trip can change what a document means.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

from services.center import source
from services.common.errors import ContractError

_INDENT = 2
_FLOW_LONGEST = 3
"""Leaves that a new mapping may have to be written on one line, as people write an agent or a disposition."""


def rewrite(text: str, value: Any) -> str:
    """Return ``text`` changed so that it says ``value`` (plain values, keys are text).

    Raises ContractError when the text cannot be made to say it: a defect of this program or of the library, never of the value.
    """
    if source.parse(text).value == value:
        return text
    yaml = _yaml()
    root = yaml.load(text)
    written = _dumped(yaml, _merged(root, value))
    if source.parse(written).value != value:
        written = new_text(value)
    return written


def new_text(value: Any) -> str:
    """Return a document's text for a value that has none. Raises ContractError for a value that YAML cannot hold."""
    written = _dumped(_yaml(), _made(value, 0))
    if source.parse(written).value != value:
        raise ContractError("center document: what was written as YAML does not read as what was wanted")
    return written


def _yaml() -> Any:
    from ruamel.yaml import YAML  # as late as this: a process that edits nothing does not read the library

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000  # lines are broken where the author broke them
    yaml.indent(mapping=_INDENT, sequence=2 * _INDENT, offset=_INDENT)
    return yaml


def _dumped(yaml: Any, root: Any) -> str:
    out = io.StringIO()
    yaml.dump(root, out)
    return out.getvalue()


def _merged(node: Any, value: Any) -> Any:
    """The node, changed to say ``value``; another node when it cannot be."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(node, CommentedMap) and isinstance(value, dict):
        keys = {str(key): key for key in node}
        for text, key in keys.items():
            if text not in value:
                del node[key]
        for text, wanted in value.items():
            if text in keys:
                node[keys[text]] = _merged(node[keys[text]], wanted)
            else:
                node[_scalar(text)] = _made(wanted, 1)
        return node
    if isinstance(node, CommentedSeq) and isinstance(value, list):
        return _merged_list(node, value)
    plain = _plain(node)
    if plain == value and isinstance(plain, bool) == isinstance(value, bool):
        return node
    return _made(value, 1)


def _merged_list(node: Any, value: list[Any]) -> Any:
    """Items that have a name (a code) keep their node; of others the common beginning does."""
    names = [item.get("code") if isinstance(item, dict) else None for item in value]
    named = {str(item.get("code")): item for item in node if hasattr(item, "get") and item.get("code")}
    if value and all(names) and len(set(names)) == len(names):
        wanted = [
            _merged(named[name], item) if name in named else _made(item, 1)
            for name, item in zip(names, value, strict=True)
        ]
        kept = [item for item in node if str(item.get("code")) in set(names)] if named else []
        for index in reversed(range(len(node))):
            if not any(node[index] is item for item in kept):
                del node[index]
        if all(old is new for old, new in zip(node, wanted, strict=False)):
            node.extend(wanted[len(node) :])
            return node
    for index, item in enumerate(value):
        if index < len(node):
            node[index] = _merged(node[index], item)
        else:
            node.append(_made(item, 1))
    del node[len(value) :]
    return node


def _plain(node: Any) -> Any:
    """A scalar's value as our reader has it: a date is text."""
    if isinstance(node, dt.date):
        return node.isoformat()
    return str(node) if isinstance(node, str) else node


def _made(value: Any, depth: int) -> Any:
    """A new node: on one line when it is small."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        made = CommentedMap((_scalar(key), _made(item, depth + 1)) for key, item in value.items())
        if depth and (_leaves(value) <= _FLOW_LONGEST or depth > 2):
            made.fa.set_flow_style()
        return made
    if isinstance(value, list):
        items = CommentedSeq(_made(item, depth + 1) for item in value)
        if not any(isinstance(item, dict | list) for item in value) or depth > 2:
            items.fa.set_flow_style()
        return items
    return _scalar(value)


def _leaves(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_leaves, value.values() if isinstance(value, dict) else value))
    return 1


def _scalar(value: Any) -> Any:
    """Text in quotes where our reader, or another one, would take it for something else."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        read = source.parse(json.dumps({"v": value}, ensure_ascii=False)).value
        plain = source.parse(f"v: {value}").value
        ambiguous = plain != read or value.lower() in _WORDS or value[:1].isdigit()
        return DoubleQuotedScalarString(value) if ambiguous else value
    return value


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""})
