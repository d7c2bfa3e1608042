"""The balance counts the facts of a message as reporting does: steps of a call come inside of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import json_format

from deploy.dev.accounts import facts_in
from deploy.dev.protoc import PROTO
from services.common.bus import Envelope
from services.contracts.registry import TYPES
from services.reporting.adapters.bus import placed_facts

STORED = ("peyvand.ivr.v1.", "peyvand.queue.v1.", "peyvand.recording.v1.", "peyvand.center.v1.CenterRevised")
NAMES = sorted(
    name for name in TYPES if name.startswith(STORED) and "rpc.proto" not in TYPES[name].DESCRIPTOR.file.name
)


@pytest.mark.parametrize("name", NAMES)
def test_the_balance_and_reporting_find_the_same_facts(name: str) -> None:
    message = json_format.Parse((Path(PROTO) / "examples" / f"{name}.json").read_text(), TYPES[name]())
    service = name.split(".")[1]
    told = Envelope(
        id="m1", type=name, time_us=5, source="/x/1", tenant="demo", correlation_id="c", causation_id="",
        subject=f"cc.v1.evt.demo.{service}.some.thing", stream_seq=9, data=message.SerializeToString(), stream="S",
    )  # fmt: skip
    assert facts_in(told) == [placed.id for placed in placed_facts(told)]
