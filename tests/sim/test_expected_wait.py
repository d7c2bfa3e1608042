"""What the estimators of the wait err, against the waits that the simulated callers really had."""

from __future__ import annotations

import json
import math

import msgspec

from services.routing.core import expected
from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, QueueRules
from services.routing.core.expected import Expectation, staff
from services.whatif.driver import START_US
from tests.sim.routing_day import Day, World

WARM_UP_US = 3_600_000_000


class Guess(msgspec.Struct, frozen=True):
    """What each estimator said about one caller at one moment."""

    contact_id: str
    at_us: int
    new: bool
    said_ms: dict[str, int]


class Asking(Day):
    """A day on which everybody asks on arrival and some again while waiting."""

    def run(self) -> Asking:
        self.guesses: list[Guess] = []
        self.expectation = Expectation()
        super().run()
        return self

    def _arrive(self) -> None:
        super()._arrive()
        contact_id = f"c{self._calls}"
        self._ask(contact_id, new=True)
        self.after(60, lambda: self._ask(contact_id, new=False))

    def _ask(self, contact_id: str, *, new: bool) -> None:
        engine = self.engine
        contact = engine.state.contacts.get(contact_id)
        if contact is None or contact.status != "waiting" or self.now_us < START_US + WARM_UP_US:
            return
        history = engine.state.history[contact.queue]
        agents = staff(engine.state, engine.index, self.now_us).agents[contact.queue]
        ahead = engine.index.ahead(contact)
        waited_ms = (self.now_us - contact.waiting_since_us) // 1000
        heads = engine.index.serving(contact.queue)
        said = {
            "position": expected.by_position(history, ahead, agents),
            "position_without_leaving": expected.by_position(patient(history), ahead, agents),
            "position_by_heads": expected.by_position(history, ahead, heads),
            "last_served": max(0, sum(history.served_waits_ms) // max(1, len(history.served_waits_ms)) - waited_ms),
            "blended": expected.blended(history, ahead, agents, waited_ms, self.now_us),
            "told": self.expectation.of(engine.state, self.center, engine.index, contact_id, self.now_us),
        }  # fmt: skip
        self.guesses.append(Guess(contact_id, self.now_us, new, {k: v or 0 for k, v in said.items()}))


def patient(history: expected.History) -> expected.History:
    return msgspec.structs.replace(history, left=0.0)


def errors(day: Asking, *, new: bool) -> dict[str, float]:
    """Root mean square error of each estimator in s, over the callers who were answered; and their mean wait from then on."""
    connected = {c.contact_id: c.connected_at_us for c in day.facts(f.ContactConnected)}
    squares: dict[str, list[float]] = {}
    for guess in day.guesses:
        if guess.new == new and guess.contact_id in connected:
            truth_ms = (connected[guess.contact_id] - guess.at_us) / 1000
            for name, said in guess.said_ms.items():
                squares.setdefault(name, []).append(((said - truth_ms) / 1000) ** 2)
            squares.setdefault("mean_wait", []).append((truth_ms / 1000) ** 2)
    return {name: round(math.sqrt(sum(v) / len(v)), 1) for name, v in squares.items()} | {
        "asked": float(len(squares["told"]))
    }


def one_queue(agents: int) -> Center:
    names = {f"a{n}": AgentRules(str(n), ("main",)) for n in range(agents)}
    return Center("r1", {"main": QueueRules(ring_ms=15_000)}, names)


def shared() -> Center:
    """Half of the agents of two queues serve both; one queue is three times as busy."""
    kinds = [("main",), ("main", "side"), ("side", "main"), ("main",)]
    names = {f"a{n}": AgentRules(str(n), kinds[n % 4]) for n in range(24)}
    return Center("r1", {"main": QueueRules(ring_ms=15_000), "side": QueueRules(ring_ms=15_000)}, names)


CASES: dict[str, tuple[Center, World]] = {
    "overloaded_20_impatient": (one_queue(20), World(arrivals_per_h=440, talk_s=180, patience_s=240)),
    "busy_10_patient": (one_queue(10), World(arrivals_per_h=190, talk_s=180)),
    "two_queues_shared": (
        shared(),
        World(arrivals_per_h=530, talk_s=180, patience_s=300, queues=("main", "main", "main", "side")),
    ),
}


def test_the_wait_that_callers_are_told_is_near_to_the_truth() -> None:
    for seed, (name, (center, world)) in enumerate(CASES.items(), 7):
        day = Asking(center, world, hours=6, seed=seed).run()
        for new in (True, False):
            found = errors(day, new=new)
            print(json.dumps({"name": "expected_wait_rmse_s", "case": name, "new": new, **found}))
            assert found["asked"] > 200
            assert found["told"] < 0.65 * found["mean_wait"]
            assert found["told"] < found["last_served"]
            assert found["told"] <= 1.5 * min(found["position"], found["position_by_heads"])
            assert found["position"] <= found["position_without_leaving"]


def test_nothing_is_known_before_a_few_conversations_and_nothing_of_a_queue_that_nobody_serves() -> None:
    day = Asking(one_queue(2), World(arrivals_per_h=60, talk_s=180), hours=0.2, seed=3).run()
    engine = day.engine
    assert expected.by_position(expected.History(), 0, 2.0) is None
    history = engine.state.history["main"]
    assert expected.by_position(history, 0, 2.0) is not None
    assert expected.by_position(history, 0, 0.0) is None
    for agent_id in day.center.agents:
        day.tell(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="offline")
    day.tell(i.ContactWaiting, contact_id="late", node="fs1", queue="main", waiting_since_us=day.now_us)
    assert day.expectation.of(engine.state, day.center, engine.index, "late", day.now_us) == 0
    assert day.expectation.of(engine.state, day.center, engine.index, "unknown", day.now_us) == 0


def test_a_long_line_is_summed_up_as_exactly_as_a_short_one() -> None:
    history = expected.History(
        conversations=50.0, handling_ms=50 * 180_000.0, left=30.0, waited_ms=30 * 240_000.0
    )
    rate, theta = 7 / 180_000, 1 / 240_000
    for ahead in (0, 63, 64, 65, 500, 5_000):
        exact = sum(1 / (rate + n * theta) for n in range(ahead + 1))
        assert abs((expected.by_position(history, ahead, 7.0) or 0) / exact - 1) < 1e-3
        patient_ms = expected.by_position(patient(history), ahead, 7.0) or 0
        assert abs(patient_ms / ((ahead + 1) / rate) - 1) < 1e-4


def test_agents_are_divided_between_their_queues_by_the_work_that_these_give() -> None:
    center, world = CASES["two_queues_shared"]
    day = Asking(center, world, hours=3, seed=5).run()
    state, at_us = day.engine.state, day.end_us
    agents, weight = staff(state, day.engine.index, at_us)
    load = {name: state.history[name].load_now(at_us) for name in ("main", "side")}
    assert abs(sum(agents.values()) - 24) < 1e-6
    assert abs(agents["main"] / agents["side"] - load["main"] / load["side"]) < 0.2
    again = staff(state, day.engine.index, at_us, weight)
    assert all(abs(again.agents[name] - agents[name]) < 0.1 for name in agents)
    state.history["side"].load_ms = 0.0
    idle = staff(state, day.engine.index, at_us).agents
    assert idle["main"] > 23.9  # who is never called has nobody to spare
    state.history.clear()
    assert staff(state, day.engine.index, at_us).agents == {"main": 18.0, "side": 6.0}
