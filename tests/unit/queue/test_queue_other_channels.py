"""Contacts of other channels are none of queue's, whatever their service is called."""

from __future__ import annotations

from services.common.bus import Envelope, codec, subjects
from services.contracts.peyvand.routing.v1 import log_pb2
from services.queue.adapters.log import inputs_of
from services.queue.core import inputs


def _entry(*facts: log_pb2.Fact) -> Envelope:
    entry = log_pb2.Decided(epoch=1, at_us=1, facts=facts)
    codec.check(entry)
    return Envelope(
        "id-1", entry.DESCRIPTOR.full_name, 1, "/routing/1", "demo", "c", "", subjects.log("demo"), 1,
        entry.SerializeToString(), "CC_ROUTING",
    )  # fmt: skip


def _offer(channel: str) -> log_pb2.Fact:
    return log_pb2.Fact(
        offer_made=log_pb2.OfferMade(
            offer_id="o", contact_id="c", agent_id="sara", extension="1001", queue="q", node="fs1", ring_ms=1,
            channel=channel,
        )
    )  # fmt: skip


def test_an_offer_of_another_channel_rings_no_phone() -> None:
    assert [type(x) for x in inputs_of([_entry(_offer(""))], "fs1", 2)] == [inputs.OfferMade]
    assert inputs_of([_entry(_offer("chat"))], "fs1", 2) == []
