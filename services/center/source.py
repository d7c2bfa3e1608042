"""Read YAML into plain values and remember on which line every key and item stands.

Theory of operation. PyYAML's composer gives nodes with marks; values are built here instead of by its constructors, for
three reasons: duplicate keys must be refused (PyYAML keeps the last one silently), every path needs its line for error
messages, and YAML 1.1's scalars surprise people (``no`` is a boolean, ``1:30`` is ninety, ``2026-03-21`` a date, ``010``
is eight). Plain scalars are null, true/false, decimal integers and floats as in YAML 1.2; all else is text. Aliases are
allowed but bounded, so that nested aliases cannot blow up; tags are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}", re.ASCII)
_PLAIN_TAGS = {
    yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG,
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG,
}
MAX_NODES = 50_000


@dataclass
class Source:
    """A file's value and the line (from 1 on) of each path in it; ``faults`` are (line, path, message)."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=lambda: {(): 1})
    faults: list[tuple[int, Path, str]] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of ``path``, or of the nearest part above it that the file has."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class _Composer(yaml.SafeLoader):
    """SafeLoader whose plain scalars keep the default tag: resolution is done by ``_scalar``."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own class attribute


def parse(text: str) -> Source:
    """Parse one YAML document. Never raises for bad text: what is wrong is in ``faults``."""
    source = Source()
    try:
        loader = _Composer(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        source.faults.append((mark.line + 1 if mark else 1, (), f"not YAML: {e.problem or e.context}"))
        return source
    except (yaml.YAMLError, RecursionError) as e:
        reason = "nested too deeply" if isinstance(e, RecursionError) else str(e).splitlines()[0]
        source.faults.append((1, (), f"not YAML: {reason}"))
        return source
    if root is None:
        source.faults.append((1, (), "the file is empty"))
        return source
    source.lines[()] = root.start_mark.line + 1
    source.value = _Builder(source).build(root, ())
    return source


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.built = 0
        self.open: set[int] = set()

    def fault(self, node: yaml.Node, path: Path, message: str) -> None:
        self.source.faults.append((node.start_mark.line + 1, path, message))

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.built += 1
        if self.built >= MAX_NODES:
            if self.built == MAX_NODES:
                self.fault(node, path, f"the document has more than {MAX_NODES} values (aliases of aliases?)")
            return None
        if id(node) in self.open:
            self.fault(node, path, "an alias stands inside what it names")
            return None
        self.open.add(id(node))
        try:
            return self.value(node, path)
        finally:
            self.open.discard(id(node))

    def value(self, node: yaml.Node, path: Path) -> Any:
        if node.tag not in _PLAIN_TAGS:
            self.fault(node, path, f"tags such as {node.tag} are not allowed")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for i, child in enumerate(node.value):
                self.source.lines[(*path, i)] = child.start_mark.line + 1
                items.append(self.build(child, (*path, i)))
            return items
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(key_node, path, "a key must be plain text")
                continue
            # Keys are text whatever they look like: an unquoted 1000 is the number people dial.
            key = str(key_node.value)
            here = (*path, key)
            if key in out:
                self.fault(key_node, here, f"duplicate key; first on line {self.source.lines[here]}")
                continue
            self.source.lines[here] = key_node.start_mark.line + 1
            out[key] = self.build(child, here)
        return out


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
