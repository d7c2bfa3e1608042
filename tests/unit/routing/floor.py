"""A contact center floor around one engine, in simulated time: what tests of routing's core speak in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Center, Overflow, Policy, QueueRules
from services.routing.core.engine import Engine
from services.routing.core.state import State
from services.routing.core.toll import Rights

T = TypeVar("T")

START_US = 1_700_000_000_000_000

QUEUES = {
    "sales": QueueRules(
        {"sales": 1},
        ring_ms=15_000,
        wrap_up_ms=20_000,
        max_wait_ms=300_000,
        overflow=Overflow("queue", "support"),
    ),
    "support": QueueRules(
        ring_ms=20_000, wrap_up_ms=10_000, max_wait_ms=60_000, overflow=Overflow("transfer", "+982112")
    ),
    "billing": QueueRules(max_length=1, overflow=Overflow("hangup", "sorry")),
}
AGENTS = {
    "sara": AgentRules("1001", ("sales", "support"), {"sales": 3, "fa": 5}),
    "omid": AgentRules("1002", ("sales",), {"sales": 1}),
    "mina": AgentRules("1003", ("support", "billing"), {"fa": 3}),
}


def center(
    queues: Mapping[str, QueueRules] = QUEUES, agents: Mapping[str, AgentRules] = AGENTS, revision: str = "r1"
) -> Center:
    """A small center; what is not given is as above."""
    return Center(
        revision,
        dict(queues),
        dict(agents),
        dispositions=frozenset({"1", "2"}),
        break_reasons=frozenset({"lunch"}),
        fallback={"2000": "support"},
        default_fallback="sales",
        calls=Rights(allowed=("",)),
    )


class Floor:
    """Feeds an engine, keeps its log and its timers, and lets time pass."""

    def __init__(
        self, rules: Center | None = None, policy: Policy | None = None, *, checked: bool = True
    ) -> None:
        self.policy = policy or Policy()
        self.now_us = START_US
        self.log: list[f.Decided] = []
        self.timers: dict[tuple[str, str], int] = {}
        self.outputs: list[i.Output] = []
        self.checked = checked
        self.epoch = 1
        self._serial = 0
        self.engine = Engine(rules or center(), self.policy)
        self.do(i.TakenOver(at_us=self.now_us, owner="one", epoch=1))

    def do(self, inp: i.AnyInput) -> list[i.Output]:
        """Hand one input to the engine and carry out what comes back."""
        self.outputs = self.engine.handle(inp)
        for output in self.outputs:
            if isinstance(output, i.Decide):
                self.log.append(
                    f.Decided(
                        self.epoch,
                        "one",
                        self.engine.state.at_us,
                        output.facts,
                        inp.input_id,
                        self.engine.center.revision,
                        inp.input_seq,
                    )
                )
            elif isinstance(output, i.ArmTimer):
                self.timers[output.timer] = output.at_us
            elif isinstance(output, i.CancelTimer):
                del self.timers[output.timer]
        if self.checked:
            found = self.engine.check()
            assert found == [], found
        return self.outputs

    def send(self, kind: type[Any], **fields: Any) -> list[i.Output]:
        """Make an input of now, with an id of its own unless one is given, and do it."""
        self._serial += 1
        fields.setdefault("input_id", f"in-{self._serial}")
        return self.do(kind(at_us=self.now_us, **fields))

    def pass_ms(self, ms: int) -> None:
        """Let time pass; timers fire at their times."""
        until = self.now_us + ms * 1000
        while self.timers:
            timer, at_us = min(self.timers.items(), key=lambda item: (item[1], item[0]))
            if at_us > until:
                break
            del self.timers[timer]
            self.now_us = max(self.now_us, at_us)
            self.do(i.TimerFired(at_us=self.now_us, timer=timer))
        self.now_us = until

    def take_over(self, rules: Center | None = None, *, via_snapshot: bool = False) -> None:
        """Build a new engine from the log, as another process would, and let it write."""
        state = self.replayed()
        if via_snapshot:
            loaded = State.load(state.dump(), self.policy)
            assert loaded is not None
            state = loaded
        self.engine = Engine(rules or self.engine.center, self.policy, state)
        self.timers = {}
        self.epoch += 1
        self.do(i.TakenOver(at_us=self.now_us, owner="one", epoch=self.epoch))

    def replayed(self) -> State:
        """The state that the log alone gives."""
        state = State(self.policy)
        for entry in self.log:
            state.replay(entry)
        return state

    # -- words for the commonest inputs

    def available(self, *agent_ids: str) -> None:
        """Log agents in."""
        for agent_id in agent_ids:
            self.send(i.SetAgentPresence, request_id="r", agent_id=agent_id, presence="available")

    def waits(self, contact_id: str, queue: str = "sales", **fields: Any) -> list[i.Output]:
        """A caller is parked now."""
        fields.setdefault("node", "fs1")
        fields.setdefault("waiting_since_us", self.now_us)
        return self.send(i.ContactWaiting, contact_id=contact_id, queue=queue, **fields)

    def offer(self, contact_id: str) -> f.OfferMade:
        """The last offer of a contact."""
        return next(o for o in reversed(self.facts(f.OfferMade)) if o.contact_id == contact_id)

    def report(self, kind: type[Any], contact_id: str, **fields: Any) -> list[i.Output]:
        """An observation about the last offer of a contact."""
        offer = self.offer(contact_id)
        return self.send(
            kind,
            **{"offer_id": offer.offer_id, "contact_id": contact_id, "agent_id": offer.agent_id, **fields},
        )

    def talks(self, contact_id: str) -> str:
        """The offer of a contact is answered and bridged; returns the agent."""
        self.report(i.OfferAnswered, contact_id)
        self.report(i.AgentBridged, contact_id)
        return self.offer(contact_id).agent_id

    def facts(self, kind: type[T]) -> list[T]:
        """All facts of a kind in the log."""
        return [fact for entry in self.log for fact in entry.facts if isinstance(fact, kind)]

    def new_facts(self) -> list[f.Fact]:
        """The facts of the last input."""
        return [fact for output in self.outputs if isinstance(output, i.Decide) for fact in output.facts]

    def names(self) -> list[str]:
        """The kinds of the facts of the last input."""
        return [type(fact).__name__ for fact in self.new_facts()]

    def ignored(self) -> str:
        """Why the last input was ignored; empty when it was not."""
        return next((o.reason for o in self.outputs if isinstance(o, i.Ignored)), "")
