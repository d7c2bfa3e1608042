"""Reads the two accounts that the balance compares: the simulated switch's ledger, and ClickHouse by way of reporting's books."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.dev.balance import ABANDONED, ANSWERED, OTHER, Account, Books, Call, Contact, Recording
from services.common.bus import Bus, Envelope, codec, subjects
from services.contracts.peyvand.ivr.v1.events_pb2 import IvrStepsTaken
from services.contracts.peyvand.routing.v1 import log_pb2
from services.reporting.books import Books as StoredBooks

TOLD_BY = ("ivr", "queue", "recording", "reporting", "center")
"""Whose facts reporting keeps beside routing's log."""


def read_ledger(path: Path, agents: Mapping[str, str]) -> Account:
    """The switch's account. ``agents`` maps extensions to agent ids."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    legs = {line["leg"]: line for line in lines if line["kind"] == "leg"}
    return Account(
        calls=[_call(line, legs, agents) for line in lines if line["kind"] == "call"],
        legs=[line["leg"] for line in lines if line["kind"] == "leg"],
    )


def _call(line: dict[str, Any], legs: Mapping[str, dict[str, Any]], agents: Mapping[str, str]) -> Call:
    if line["bridges"]:
        first = line["bridges"][0]
        leg = legs.get(first["agent_leg"], {})
        answered_us = leg.get("answered_us", 0)
        latency = (first["bridged_us"] - answered_us) / 1000 if answered_us else None
        # The last one who talked is the one the books name: after a transfer or a rescue it is not the first.
        agent = agents.get(line["bridges"][-1]["agent_extension"], line["bridges"][-1]["agent_extension"])
        return Call(line["call_id"], ANSWERED, agent, latency, bool(leg.get("told_before_bridge")))
    return Call(line["call_id"], ABANDONED if line["ended_by"] == "caller" else OTHER)


async def read_books(stored: StoredBooks) -> Books:
    """ClickHouse's account, through the views that analysts use."""
    contacts = [
        Contact(
            str(row["contact_id"]),
            ABANDONED if row["outcome"] == "hung_up" else row["outcome"],
            row["agent_id"] if row["outcome"] == ANSWERED else "",
        )
        for row in await stored.contacts()
    ]
    recordings = [
        Recording(str(row["contact_id"]), int(row["duration_ms"]), tuple(row["rms"]))
        for row in await stored.recordings()
    ]
    return Books(
        contacts=contacts,
        legs=[str(row["leg_id"]) for row in await stored.legs()],
        recordings=recordings,
        facts=await stored.fact_ids(),
    )


async def read_stream_facts(bus: Bus, tenant: str) -> list[str]:
    """The ids of all facts of a tenant that are stored on the bus."""
    ids = [
        fact_id
        for service in TOLD_BY
        async for envelope in bus.read_log(subjects.any_fact(tenant, service), after_seq=0)
        for fact_id in facts_in(envelope)
    ]
    async for envelope in bus.read_log(subjects.log(tenant), after_seq=0):
        decided = codec.decode(envelope)
        assert isinstance(decided, log_pb2.Decided)
        ids += [f"{envelope.id}.{index}" for index in range(len(decided.facts))]
    return ids


def facts_in(envelope: Envelope) -> list[str]:
    """The ids of the facts of one message: steps of a call come inside of others."""
    message = codec.decode(envelope)
    steps = [f"{envelope.id}.{index}" for index in range(len(getattr(message, "steps", ())))]
    return steps if isinstance(message, IvrStepsTaken) else [*steps, envelope.id]
