"""Everything that anybody wrote about one contact, in the order of time: the ledgers, the facts, the processes' logs, the faults."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.dev.chaos.audit import Ledgers, Logged
from deploy.dev.chaos.faults import Fault

_MARGIN_US = 2_000_000
_LONG = 400


def _clock(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]


def _legs(ledgers: Ledgers, contact: str) -> Iterable[tuple[int, str]]:
    for leg_id, leg in ledgers.legs.items():
        if contact not in (leg_id, leg["call_id"], leg["claimed_contact"]):
            continue
        who = "caller" if leg_id == contact else f"agent {leg['destination']}"
        name = f"{leg['node']} {who} leg {leg_id}"
        for what in ("created", "answered", "first_bridge", "hung_up", "ended"):
            if leg[f"{what}_us"]:
                end = f" {leg['cause']} by {leg['ended_by']}" if what in ("hung_up", "ended") else ""
                yield leg[f"{what}_us"], f"ledger   {name}: {what}{end}"
    for call in ledgers.calls:
        if call["call_id"] == contact:
            if call["waiting_us"]:
                yield call["waiting_us"], f"ledger   {call['node']} caller parked"
            for bridge in call["bridges"]:
                yield bridge["bridged_us"], f"ledger   talks with {bridge['agent_extension']}"
                yield bridge["unbridged_us"], f"ledger   talks no more with {bridge['agent_extension']}"


def _log_lines(paths: Sequence[Path], contact: str) -> Iterable[tuple[int, str]]:
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if contact not in line:
                    continue
                try:
                    found: dict[str, Any] = json.loads(line)
                    at = datetime.fromisoformat(found.pop("timestamp"))
                except (ValueError, KeyError):
                    yield 0, f"log      {path.stem}: {line.strip()[:_LONG]}"
                    continue
                text = " ".join(f"{k}={v}" for k, v in found.items() if k not in ("service", "instance"))
                yield int(at.timestamp() * 1e6), f"log      {path.stem}: {text[:_LONG]}"


def story(
    contact: str,
    ledgers: Ledgers,
    log: Sequence[Logged],
    facts: Sequence[tuple[int, str, str, Mapping[str, Any]]],
    faults: Sequence[Fault],
    logs: Sequence[Path],
) -> list[str]:
    """The lines. ``facts``: time in µs, contact, type, fields of what queue, ivr and recording said."""
    lines = list(_legs(ledgers, contact))
    lines += [
        (fact.at_us, f"routing  {fact.kind} {_short(fact.fields)}")
        for fact in log
        if fact.fields.get("contact_id") == contact
    ]
    lines += [
        (at_us, f"fact     {kind} {_short(fields)}") for at_us, of, kind, fields in facts if of == contact
    ]
    lines += _log_lines(logs, contact)
    times = [at_us for at_us, _ in lines if at_us]
    if times:
        first, last = min(times) - _MARGIN_US, max(times) + _MARGIN_US
        for fault in faults:
            if fault.began_us < last and (fault.until_us or last) > first:
                lines.append((fault.began_us, f"FAULT    {fault}"))
    return [f"{_clock(at_us) if at_us else '?':12} {text}" for at_us, text in sorted(lines)]


def _short(fields: Mapping[str, Any]) -> str:
    kept = {
        k: v
        for k, v in fields.items()
        if k not in ("why", "contact_id") and v not in ("", 0, False, [], None)
    }
    return re.sub(r"[{}']", "", str(kept))[:_LONG]
