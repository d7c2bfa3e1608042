"""Reads what the audit compares: ledgers, streams, ClickHouse, and what is still busy when all is over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from google.protobuf.json_format import MessageToDict

from deploy.dev.accounts import TOLD_BY, facts_in
from deploy.dev.chaos.audit import Finding, Ledgers, Logged
from deploy.dev.chaos.stack import TENANT, ChaosStack
from services.common.bus import Bus, codec, subjects
from services.contracts.peyvand.routing.v1 import log_pb2

_BUSY = ("offered", "ringing", "talking", "held", "wrap_up", "closing", "own_call", "unreachable")


@dataclass(frozen=True)
class Streams:
    """What the streams hold of the tenant: routing's log, the other services' facts, and the ids of all facts."""

    log: Sequence[Logged]
    facts: Sequence[tuple[int, str, str, Mapping[str, Any]]]
    ids: Sequence[str]


def read_ledger(path: Path) -> Ledgers:
    """The ledger of both nodes."""
    return Ledgers([json.loads(line) for line in path.read_text().splitlines()])


async def read_streams(bus: Bus) -> Streams:
    """Read the tenant's streams whole. Raises BusUnavailable."""
    log: list[Logged] = []
    facts: list[tuple[int, str, str, Mapping[str, Any]]] = []
    ids: list[str] = []
    for service in TOLD_BY:
        async for envelope in bus.read_log(subjects.any_fact(TENANT, service), after_seq=0):
            ids += facts_in(envelope)
            fields = MessageToDict(codec.decode(envelope), preserving_proto_field_name=True)
            facts.append(
                (envelope.time_us, envelope.correlation_id, envelope.type.rpartition(".")[2], fields)
            )
    async for envelope in bus.read_log(subjects.log(TENANT), after_seq=0):
        entry = codec.decode(envelope)
        assert isinstance(entry, log_pb2.Decided)
        for index, fact in enumerate(entry.facts):
            ids.append(f"{envelope.id}.{index}")
            kind = fact.WhichOneof("fact") or ""
            fields = MessageToDict(getattr(fact, kind), preserving_proto_field_name=True) if kind else {}
            log.append(Logged(kind, fields, entry.at_us))
    return Streams(log, facts, ids)


async def still_busy(stack: ChaosStack, client: httpx.AsyncClient) -> list[Finding]:
    """Who and what is not at rest, as the services and the switches say. Raises httpx.HTTPError."""
    found: list[Finding] = []
    token = {"Authorization": f"Bearer {stack.token(TENANT, 'admin')}"}
    for what, state in (("agents", "activity"), ("contacts", "status")):
        answer = await client.get(f"{stack.http('routing')}/v1/{what}", headers=token)
        for row in answer.raise_for_status().json():
            if what == "contacts":
                text = f"contact is still {row.get(state)} in routing"
                found.append(Finding("stuck", row["contact_id"], text))
            elif row[state] in _BUSY:
                text = f"agent {row['agent_id']} is still {row[state]} (contact {row.get('contact_id')!r})"
                found.append(Finding("stuck", row.get("contact_id") or "", text))
    for process in stack.copies("queue"):
        url = process.ready_url.removesuffix("/readyz")
        answer = await client.get(f"{url}/v1/calls", headers=token)
        for call in answer.raise_for_status().json()["calls"]:
            text = f"contact is still {call['state']} in {process.name} on {call['node']}"
            found.append(Finding("stuck", call["contact_id"], text))
    service = {"Authorization": f"Bearer {stack.token(TENANT, 'service')}"}
    answer = await client.get(f"{stack.http('simswitch')}/v1/state", headers=service)
    switches = answer.raise_for_status().json()
    found += [
        Finding("stuck", call["call_id"], f"the caller is still there: {call['phase']}")
        for call in switches["calls"]
    ]
    if extra := switches["legs"] - len(switches["calls"]):
        found.append(Finding("stuck", "", f"{extra} legs more are still there"))
    return found
