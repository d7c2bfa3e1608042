"""A log and a snapshot of the version before strategies, parallel offers and own calls: today's program goes on with them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec

from services.common.bus import codec
from services.contracts.peyvand.routing.v1 import log_pb2
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Policy
from services.routing.core.engine import Engine
from services.routing.core.state import State
from tests.unit.routing.floor import center

VECTOR = Path(__file__).parents[2] / "vectors" / "routing" / "log_before_strategies.json"


def read() -> tuple[dict[str, Any], list[f.Decided]]:
    vector: dict[str, Any] = json.loads(VECTOR.read_text())
    entries = [codec.from_proto(base64.b64decode(e), log_pb2.Decided, f.Decided) for e in vector["entries"]]
    return vector, entries


def assert_as_then(state: State, then: dict[str, Any]) -> None:
    """Every field that the version before had has the value that it had there."""
    for kind, now in (
        ("contacts", state.contacts),
        ("agents", state.agents),
        ("offers", state.offers),
    ):
        assert len(now) == len(then[kind])
        shown = json.loads(msgspec.json.encode(list(now.values())))
        for old, new in zip(then[kind], shown, strict=True):
            assert {name: new[name] for name in old} == old
    assert (state.closed, state.epoch, state.offer_count) == (
        then["closed"],
        then["epoch"],
        then["offer_count"],
    )


def test_old_log_replays_to_the_state_that_it_had() -> None:
    vector, entries = read()
    state = State(Policy(**vector["policy"]))
    for entry in entries:
        state.replay(entry)
    assert_as_then(state, vector["state"])


def test_old_snapshot_loads_and_the_rest_of_the_log_goes_on_from_it() -> None:
    vector, entries = read()
    state = State.load(base64.b64decode(vector["snapshot"]), Policy(**vector["policy"]))
    assert state is not None
    offered = [c for c in state.contacts.values() if c.status == "offered"]
    assert offered
    assert all(c.rings == (c.offer_id,) for c in offered)
    for entry in entries[vector["snapshot_after"] :]:
        state.replay(entry)
    assert_as_then(state, vector["state"])


def test_engine_of_today_decides_on_the_old_state() -> None:
    vector, entries = read()
    policy = Policy(**vector["policy"])
    state = State(policy)
    for entry in entries:
        state.replay(entry)
    engine = Engine(center(), policy, state)
    now_us = state.at_us + 1_000_000
    engine.handle(i.TakenOver(at_us=now_us, owner="new", epoch=state.epoch + 1))
    outputs = engine.handle(
        i.ContactWaiting(
            at_us=now_us, input_id="n1", contact_id="new", node="fs1", queue="sales", waiting_since_us=now_us
        )
    )
    made = [x for o in outputs if isinstance(o, i.Decide) for x in o.facts if isinstance(x, f.OfferMade)]
    assert [o.contact_id for o in made] == ["new"]
    assert engine.check() == []
