"""A flow in a file of its own, held beside the center document that it belongs to: for those who write flows."""

from __future__ import annotations

import copy
from pathlib import Path

from services.center import source
from services.center.loader import CenterError, Fault, center_of, document_of, read_file, revision_of
from services.center.model import Center


def is_flow(file: Path) -> bool:
    """Whether a file has one flow, and no center document. What cannot be read is no flow."""
    try:
        value = source.parse(file.read_text(encoding="utf-8")).value
    except (OSError, UnicodeDecodeError):
        return False
    return isinstance(value, dict) and "nodes" in value and "tenant" not in value


def read_flow(file: Path, center_file: Path) -> tuple[Center, str]:
    """Return the center as it would be with the flow in ``file``, and the flow's name, which is the file's.

    Raises CenterError with every fault: of the flow with the flow file's lines, of the rest with the center's.
    """
    name = file.name.split(".")[0]
    data = file.read_bytes()
    flow = source.parse(data.decode("utf-8"))
    around = read_file(center_file)
    if around.center is None:
        raise CenterError(around.faults)
    value = copy.deepcopy(around.source.value)
    value.setdefault("flows", {})[name] = flow.value
    document, found = document_of(value)
    faults = [
        Fault(str(file), line, ".".join(map(str, path)), message) for line, path, message in flow.faults
    ]
    for path, message in found:
        here = path[:2] == ("flows", name)
        src, path = (flow, path[2:]) if here else (around.source, path)
        faults.append(
            Fault(str(file if here else center_file), src.line(path), ".".join(map(str, path)), message)
        )
    if faults or document is None:
        raise CenterError(faults)
    return center_of(document, revision_of(data), center_file), name
