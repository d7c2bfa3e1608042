"""The simulated day in small, and that its ledger would notice: every way of spoiling a log is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core.center import Center
from tests.sim.center import center
from tests.sim.center_day import CenterDay
from tests.sim.ledger import Ledger
from tests.sim.report import report

ROOT = Path(__file__).resolve().parents[2]
CALLS, SEED = 1_500, 7


class Recorded(CenterDay):
    """A day that keeps its log."""

    def __init__(self) -> None:
        self.log: list[f.Decided] = []
        self.documents: dict[int, Center] = {}
        """In force from so many entries on."""
        super().__init__(calls=CALLS, seed=SEED, kills=3, check_every=5_000)

    def decided(self, entry: f.Decided) -> None:
        self.log.append(entry)
        super().decided(entry)

    def _revise(self, revision: str, revised: Center) -> None:
        super()._revise(revision, revised)
        # The entry of the revision itself, if there is one, was checked under the new document already.
        self.documents[len(self.log) - bool(self.log[-1].input_id == f"s{self.inputs - 1}")] = self.center


@pytest.fixture(scope="module")
def day() -> Recorded:
    played = Recorded()
    played.run()
    return played


def test_nothing_is_wrong_with_the_day(day: Recorded) -> None:
    assert day.ledger.broken == []
    assert (day.takeovers, sum(day.outcomes.values())) == (3, len(day.callers))
    assert sum(not c.channel and not c.callback_id for c in day.callers.values()) == CALLS
    assert day.checks > 5
    assert day.repeats > 100


def test_much_happens_on_the_day(day: Recorded) -> None:
    seen = {type(fact) for entry in day.log for fact in entry.facts}
    assert {kind.__name__ for kind in seen} >= {
        "AgentOwnCallChanged",
        "AgentPhoneChanged",
        "ContactOverflowed",
        "ContactTransferred",
        "NodeChanged",
        "TransferRefused",
        "WrapUpChanged",
        "WrapUpEnded",
    }
    assert day.ledger.offer_ends.keys() >= {"accepted", "withdrawn", "no_answer", "declined", "busy"}
    assert {fact.kind for entry in day.log for fact in entry.facts if isinstance(fact, f.OfferMade)} >= {
        "",
        "transfer",
        "consult",
        "callback",
    }
    assert {
        fact.channel for entry in day.log for fact in entry.facts if isinstance(fact, f.ContactConnected)
    } == {
        "",
        "chat",
        "email",
    }
    assert "callback_taken" in day.outcomes


def test_its_report_has_every_queue_and_hour(day: Recorded) -> None:
    lines = list(report(day))
    assert all(any(line.startswith(queue) for line in lines) for queue in day.ledger.queues)
    assert any(line.startswith("23:00") for line in lines)


def test_same_seed_gives_the_same_day_in_every_process() -> None:
    program = (
        "from tests.sim.center_day import CenterDay\n"
        "print(CenterDay(calls=200, seed=5, kills=2).run().digest)"
    )

    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert digest("1") == digest("2")


Spoil = Callable[[f.Fact], list[f.Fact]]


def _spoiled(kind: type, spoil: Callable[..., list[f.Fact]]) -> Spoil:
    return lambda fact: spoil(fact) if isinstance(fact, kind) else [fact]


def _other(fact: f.Fact, **fields: object) -> list[f.Fact]:
    return [msgspec.structs.replace(fact, **fields)]


SPOILT: dict[str, Spoil] = {
    "an offer has no end": _spoiled(f.OfferEnded, lambda fact: []),
    "an offer ends twice": _spoiled(f.OfferEnded, lambda fact: [fact, fact]),
    "an offer ends as nobody knows": _spoiled(f.OfferEnded, lambda fact: _other(fact, outcome="lost")),
    "an offer goes to another agent": _spoiled(f.OfferMade, lambda fact: _other(fact, agent_id="a000")),
    "an offer is made twice": _spoiled(f.OfferMade, lambda fact: [fact, *_other(fact, offer_id="again")]),
    "an offer is on another node": _spoiled(f.OfferMade, lambda fact: _other(fact, node="fs3")),
    "an offer rings another phone": _spoiled(f.OfferMade, lambda fact: _other(fact, extension="9")),
    "an offer states another wait": _spoiled(f.OfferMade, lambda fact: _other(fact, waited_ms=-1)),
    "a contact is not closed": _spoiled(f.ContactClosed, lambda fact: []),
    "a contact is closed twice": _spoiled(f.ContactClosed, lambda fact: [fact, fact]),
    "a contact ends as another": _spoiled(f.ContactClosed, lambda fact: _other(fact, result="failed")),
    "a contact comes twice": _spoiled(f.ContactQueued, lambda fact: [fact, fact]),
    "a contact loses its place": _spoiled(
        f.ContactQueued, lambda fact: _other(fact, waiting_since_us=fact.waiting_since_us + fact.requeued)
    ),
    "a talk did not begin": _spoiled(f.ContactConnected, lambda fact: []),
    "a talk has another wait": _spoiled(
        f.ContactConnected, lambda fact: _other(fact, wait_ms=fact.wait_ms + 1)
    ),
    "an agent skips an activity": _spoiled(f.AgentActivityChanged, lambda fact: []),
    "an agent was something else": _spoiled(
        f.AgentActivityChanged, lambda fact: _other(fact, previous="held")
    ),
    "an agent does not log in": _spoiled(f.AgentPresenceChanged, lambda fact: []),
}


@pytest.mark.parametrize("name", SPOILT)
def test_the_ledger_finds_a_log_in_which(name: str, day: Recorded) -> None:
    """One fact in the middle of the day is spoilt; before it nothing is found."""
    spoil = SPOILT[name]
    hits = [
        (n, k)
        for n, entry in enumerate(day.log)
        for k, fact in enumerate(entry.facts)
        if spoil(fact) != [fact]
    ]
    where, which = hits[len(hits) // 2]
    facts = day.log[where].facts
    spoilt = (*facts[:which], *spoil(facts[which]), *facts[which + 1 :])
    assert findings(day, day.log[:where]) == 0
    assert findings(day, day.log[:where], msgspec.structs.replace(day.log[where], facts=spoilt)) > 0


def findings(day: Recorded, before: list[f.Decided], spoilt: f.Decided | None = None) -> int:
    """What a new ledger finds in a log; with a spoilt entry also in all that follows, and at the end."""
    ledger = Ledger(center())
    entries = [*before, spoilt, *day.log[len(before) + 1 :]] if spoilt else before
    for n, entry in enumerate(entries):
        ledger.center = day.documents.get(n, ledger.center)
        try:
            ledger.take(entry)
        except KeyError:
            return 1  # The log speaks of what it never told: nobody can go on from there.
        if ledger.findings:
            return ledger.findings
    if spoilt:
        ledger.finish()
    return ledger.findings


def test_the_ledger_finds_nothing_in_the_whole_log(day: Recorded) -> None:
    assert findings(day, day.log) == 0
