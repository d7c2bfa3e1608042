"""The rush hour through both cores in small, and that it would notice: whoever is dropped, cut off or forgotten is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.bus import Envelope
from services.queue.core import outputs
from services.routing.core import facts as f
from tests.sim.joined_day import JoinedDay
from tests.sim.joined_node import SimNode
from tests.sim.report import joined_report

ROOT = Path(__file__).resolve().parents[2]
CALLS, RUSH_S = 420, 120.0


def played(kind: type[JoinedDay] = JoinedDay, *, seed: int = 3, kills: int = 3) -> JoinedDay:
    return kind(calls=CALLS, seed=seed, kills=kills, rush_s=RUSH_S, check_every=2_000).run()


@pytest.fixture(scope="module")
def day() -> JoinedDay:
    return played()


def test_nothing_is_wrong_with_the_hour(day: JoinedDay) -> None:
    assert day.ledger.broken == []
    assert sum(node.deaths for node in day.nodes.values()) >= 3
    assert sum(len(node.blind_us) for node in day.nodes.values()) >= 5
    assert day.takeovers == 3
    assert sum(not c.callback_id for c in day.callers.values()) == CALLS


def test_much_happens_in_the_hour(day: JoinedDay) -> None:
    assert day.outcomes.keys() >= {"answered", "abandoned", "sent"}
    assert day.ledger.offer_ends.keys() >= {"accepted", "withdrawn", "no_answer", "declined"}
    happened = day.ledger.facts
    assert happened["ContactTransferred"] > 3
    assert happened["CallbackAnswered"] > 0
    assert happened["ContactOverflowed"] > 3
    assert any("Wishes" in line for line in joined_report(day))


def test_same_seed_gives_the_same_hour_in_every_process() -> None:
    program = (
        "from tests.sim.joined_day import JoinedDay\n"
        "print(JoinedDay(calls=60, seed=5, kills=1, rush_s=60.0).run().digest)"
    )

    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert digest("1") == digest("2")


class Dropped(JoinedDay):
    """A caller who waits is hung up by nobody's wish."""

    def _spoil(self) -> None:
        node = self.nodes["fs1"]
        for leg in list(node.legs.values()):
            if leg.caller and leg.mode == "music":
                return node.hang(leg.uuid)
        return self.after(1.0, self._spoil)

    def run(self) -> JoinedDay:
        self.after(RUSH_S / 2, self._spoil)
        return super().run()


class CutOff(Dropped):
    """So is a caller who talks."""

    def _spoil(self) -> None:
        node = self.nodes["fs1"]
        node.hang(next(leg.uuid for leg in node.legs.values() if leg.caller and leg.mode == "bridged"))


class TakenApart(Dropped):
    """The engine plays music to somebody who talks."""

    def _spoil(self) -> None:
        node = self.nodes["fs1"]
        uuid = next(
            leg.uuid
            for leg in node.legs.values()
            if leg.caller and leg.mode == "bridged" and leg.uuid not in self._wished
        )
        node._carry_out(outputs.PlayMusic(contact=uuid, leg=uuid, music="m"))


class Forgotten(JoinedDay):
    """One word of queue never reaches routing."""

    LOST = "peyvand.queue.v1.ContactWaiting"
    lost = False

    def _observe(self, envelope: Envelope) -> None:
        if envelope.type == self.LOST and not self.lost:
            self.lost = True
        else:
            super()._observe(envelope)


class EndForgotten(Forgotten):
    LOST = "peyvand.queue.v1.ContactGone"


class RungTwice(JoinedDay):
    """A second order for an agent who talks."""

    spoilt = False

    def decided(self, entry: f.Decided) -> None:
        super().decided(entry)
        talking = [fact for fact in entry.facts if isinstance(fact, f.ContactConnected)]
        waiting = [c for n in self.nodes.values() for c in n.engine.calls() if c.state == "waiting"]
        if talking and waiting and not self.spoilt:
            self.spoilt = True
            agent, contact = talking[0].agent_id, waiting[0].contact
            made = next(o for e in reversed(self._tail) for o in e.facts if isinstance(o, f.OfferMade))
            node = next(n for n in self.nodes.values() if contact in n.legs)
            self._dial_again(node, contact, agent, made)

    def _dial_again(self, node: SimNode, contact: str, agent: str, like: f.OfferMade) -> None:
        node._carry_out(
            outputs.Originate(
                contact=contact, leg="second", offer="second", agent=agent, extension=like.extension, tenant="demo",
                ring_ms=5_000, ani="", caller_name="",
            )
        )  # fmt: skip


SPOILT: dict[type[JoinedDay], str] = {
    Dropped: "was dropped while it waited",
    CutOff: "was cut off in its talk",
    TakenApart: "nobody's wish",
    Forgotten: "not over",
    EndForgotten: "open for ever",
    RungTwice: "met a phone",
}


@pytest.mark.parametrize("kind", SPOILT, ids=lambda kind: kind.__name__)
def test_it_is_found(kind: type[JoinedDay]) -> None:
    found = played(kind, kills=0).ledger.broken
    assert any(SPOILT[kind] in finding for finding in found), found
