"""Which way a node leads that only compares, draws or counts. Pure functions of the node and what it looks at."""

from __future__ import annotations

import hashlib

from services.ivr.core.model import QueueSeen
from services.ivr.core.nodes import Branch, Look, Split


def branch(node: Branch, value: str) -> tuple[str, str]:
    """Return the condition that the value matches, for the report, and the node that it leads to."""
    if value in node.is_:
        return f"is:{value}", node.is_[value]
    for prefix, to in node.begins.items():
        if value.startswith(prefix):
            return f"begins:{prefix}", to
    if value.isascii() and value.isdigit():
        for low, high, to in node.between:
            if low <= int(value) <= high:
                return f"between:{low}-{high}", to
    return "otherwise", node.otherwise


def drawn(node: Split, chance: int, step_no: int) -> str:
    """Return the node that chance leads to: the same for the same call and step."""
    # A hash, because the call's number serves every split of the call, and they must not go together.
    digest = hashlib.blake2b(f"{chance}:{step_no}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") % 100
    for to, share in node.shares:
        if point < share:
            return to
        point -= share
    return node.shares[-1][0]


def holding(node: Look, seen: QueueSeen) -> str:
    """Return the name of the first condition that holds, empty for none."""
    if node.waiting_over is not None and seen.waiting > node.waiting_over:
        return "waiting"
    if node.longest_over_ms is not None and seen.longest_ms > node.longest_over_ms:
        return "longest"
    if node.ready_under is not None and seen.ready < node.ready_under:
        return "ready"
    return ""
