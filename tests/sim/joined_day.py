"""A rush hour through both cores: routing decides, queue's engines of two nodes carry it out on simulated switches.

What ``center_day`` plays against routing alone is played here against the pair of them, over their real contracts: a fact of queue goes to
routing as the bytes that the bus would carry, and an entry of routing's log is read by queue as it is from the bus. The world knows legs and
people. It speaks to routing only as phones' registrations, agents' wishes and the clock do, and to queue as FreeSWITCH does.

At the end the switch is asked, not the services: whoever came was answered, gave up, or was led on by a decision; nobody who waited was
dropped, nobody who talked was cut off, no phone was rung while it had a call of ours, and nothing is left over on either side. Owners of
routing and of the nodes are killed on the way and connections to switches break.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from services.common.bus import Envelope, codec, subjects
from services.queue.core import inputs, outputs, plan
from services.queue.core.legs import OpenContact
from services.routing.adapters import messages
from services.routing.core import facts as f
from services.routing.core import views
from services.routing.core.center import Center
from services.routing.core.expected import Expectation
from services.whatif.driver import START_US
from tests.sim.center import LINES
from tests.sim.center_people import People
from tests.sim.center_world import NODES
from tests.sim.joined_node import LOG_S, SimNode
from tests.sim.joined_people import SENT, TENANT, JoinedPeople

AFTERWARDS_S = 7_500.0
"""So long after the rush everybody has gone, and every callback is over. The engines' audits would go on for ever."""
LATE_MS = 150
"""A bridge is seen, reported and decided upon within this."""
BLIND_US = 5_000_000
"""So long after nobody listened the end of a leg may be told as unseen."""
APPEND_S = 0.003
_FACTS, _LOG = subjects.fact(TENANT, "queue", "contact", "waiting"), subjects.log(TENANT)
_SENT = frozenset(
    {"overflowed", "timed_out", "full", "no_agent", "closed", "callback_taken", "answered", "abandoned"}
)
_LIVED = {
    "answered": frozenset({"answered"}),
    "abandoned": frozenset({"abandoned", "short_abandon"}),
    SENT: _SENT,
    "callback_missed": frozenset({"callback_missed", "abandoned", "short_abandon"}),
}


def plans_of(center: Center) -> plan.Plans:
    """What queue knows of the same document."""
    queues = {
        name: plan.QueuePlan(
            name=name,
            welcome="welcome",
            schedule={"position": plan.Slot(first_ms=20_000, every_ms=60_000)},
            wrap_up_ms=rules.wrap_up_ms,
            recording=True,
            parallel=rules.ring_at_once > 1,
            callback=plan.CallbackPlan(key="1", dial_ms=20_000) if rules.callback is not None else None,
        )
        for name, rules in center.queues.items()
    }
    prompts = ("welcome", "goodbye", "sorry", "callback-customer", "callback-agent", "callback-confirm")
    prompts += ("callback-number", "callback-taken", "callback-offer", "callback-missed", "caller-left")
    prompts += ("disposition", *(f"digits/{digit}" for digit in range(10)))
    one = plan.CenterPlan(
        tenant=TENANT,
        revision=center.revision,
        languages=("fa",),
        queues=queues,
        fallback_queue={"": center.default_fallback},
        prompts={(name, "fa"): f"/s/{name}.wav" for name in prompts},
        dispositions=center.dispositions,
    )
    return plan.Plans(centers=(one,))


class JoinedDay(JoinedPeople):
    """One hour. ``ledger.broken`` names everything that was wrong."""

    reactions: ClassVar = {
        f.ContactConnected: JoinedPeople._connected,
        f.AgentPresenceChanged: People._presence_is,
        f.AgentActivityChanged: People._activity_is,
    }

    def __init__(
        self, *, calls: int, seed: int, kills: int = 6, rush_s: float = 3_600.0, check_every: int = 25_000
    ) -> None:
        super().__init__(calls=calls, seed=seed, kills=kills, check_every=check_every)
        self.rush_s = rush_s
        self.ledger.slack_ms = LATE_MS
        self._begin_people()
        plans = plans_of(self.center)
        self.nodes = {name: SimNode(name, self, plans) for name in NODES}
        self._expectation = Expectation()
        self._said: set[str] = set()
        self._seq = 0

    def run(self) -> JoinedDay:
        """Play from the first agent's log-in until the last leg is gone."""
        self.take_over()
        self._hours(at_night=False)
        for node in self.nodes.values():
            node.begin()
        for agent_id in self.center.agents:
            self.after(self.random.uniform(0, 20), self._come, agent_id)
        for at_s, queue in self._rush():
            self.after(at_s, self._arrive, queue)
        chance = self.random
        for n in range(self.kills):
            self.after(chance.uniform(0.1, 0.95) * self.rush_s, self._kill, f"process-{n}")
            node = self.nodes[NODES[n % 2]]
            self.after(chance.uniform(0.1, 0.95) * self.rush_s, node.die, chance.uniform(0.4, 2.0))
            self.after(chance.uniform(0.1, 0.95) * self.rush_s, node.break_link, chance.uniform(0.2, 3.0))
        self.after(0.5 * self.rush_s, self._revise, "midday", self._midday())
        self.after(0.90 * self.rush_s, self._hours, True)
        self.after(0.92 * self.rush_s, self._hours, False)
        self.play(START_US + round((self.rush_s + AFTERWARDS_S) * 1e6))
        self._fail_over("the last")
        self.ledger.finish()
        self._compare()
        self._nothing_is_left()
        return self

    def _rush(self) -> Iterator[tuple[float, str]]:
        names, shares = list(LINES), [line.share for line in LINES.values()]
        for at_s in sorted(self.random.uniform(20, self.rush_s) for _ in range(self.calls)):
            yield at_s, self.random.choices(names, shares)[0]

    def _revise(self, revision: str, revised: Center) -> None:
        super()._revise(revision, revised)
        for node in self.nodes.values():
            node.revise(plans_of(self.center))

    def wrong(self, finding: str) -> None:
        self.ledger.wrong(f"{(self.now_us - START_US) / 1e6:.3f}: {finding}")

    # -- between the two

    def put_out(self, output: outputs.Command | outputs.Report) -> None:
        self._hash.update(type(output).__name__.encode())
        self._hash.update(self._encode(output))

    def _envelope(self, subject: str, message: object, message_id: str) -> Envelope:
        name, data = codec.encode(subject, message)  # type: ignore[arg-type]
        self._seq += 1
        return Envelope(message_id, name, self.now_us, "sim", TENANT, "", "", subject, self._seq, data)

    def reported(self, node: SimNode, report: outputs.Report) -> None:
        """Appended once, by its id, and read by routing."""
        if report.fact_id not in self._said:
            self._said.add(report.fact_id)
            self.after(APPEND_S, self._observe, self._envelope(_FACTS, report.fact, report.fact_id))

    def _observe(self, envelope: Envelope) -> None:
        seen = messages.observation(envelope, self.now_us)
        if seen is not None:
            self.feed(seen)

    def decided(self, entry: f.Decided) -> None:
        super().decided(entry)
        envelope = self._envelope(_LOG, entry, "")
        for node in self.nodes.values():
            self.after(LOG_S, node.read, envelope)

    def asked(self, node: SimNode, question: outputs.AskPosition) -> inputs.PositionKnown:
        state, index = self.engine.state, self.engine.index
        expected_ms = self._expectation.of(state, self.center, index, question.contact, self.now_us)
        place = views.position(state, index, question.contact, expected_ms)
        return inputs.PositionKnown(
            at_us=self.now_us,
            contact=question.contact,
            position=place.position,
            file=f"/s/position-{place.position}.wav",
            what=question.what,
            wait_ms=expected_ms,
            minutes=expected_ms // 60_000,
        )

    def open_contacts(self, node: str) -> tuple[OpenContact, ...]:
        found, after, more = [], "", True
        while more:
            part = views.open_contacts(self.engine.state, node, after)
            found += part.contacts
            more, after = part.more, part.contacts[-1].contact_id if part.contacts else ""
        return tuple(
            OpenContact(
                contact=c.contact_id,
                tenant=TENANT,
                queue=c.queue,
                waiting_since_us=c.waiting_since_us,
                entry_point=c.entry_point,
                offer=c.offer_id,
                agent=c.agent_id,
                connected_at_us=c.connected_at_us,
            )
            for c in found
        )

    # -- at the end

    def _was_blind(self, node: str, at_us: int) -> bool:
        return any(a - BLIND_US <= at_us <= b + BLIND_US for a, b in self.nodes[node].blind_us)

    def _compare(self) -> None:
        """Call by call: what the log says of a caller is what that caller lived through."""
        for caller in self.callers.values():
            self.outcomes[caller.outcome] = self.outcomes.get(caller.outcome, 0) + 1
            said = self.ledger.closed.get(caller.contact_id)
            blind = self._was_blind(caller.node, caller.left_us)
            if said is None or not caller.gone:
                self.wrong(f"{caller} and {said}: not over")
            elif said.result not in _LIVED[caller.outcome] and not (blind and said.result == "ended_unseen"):
                self.wrong(f"{caller} ended as {said}")
            elif caller.answered_us and said.result == "answered":
                waited_ms = (caller.answered_us - caller.arrived_us) // 1000
                seen = not blind and not self._was_blind(caller.node, caller.answered_us)
                if seen and abs(said.wait_ms - waited_ms) > LATE_MS:
                    self.wrong(f"{caller} waited {waited_ms} ms, the log says {said}")

    def _nothing_is_left(self) -> None:
        for node in self.nodes.values():
            for leg in node.legs.values():
                self.wrong(f"{node.name}: {leg} is left over")
            if node.engine.calls() or node.engine.open_agent_legs() or node.jobs:
                self.wrong(f"{node.name} remembers {node.engine.calls()} and {list(node.jobs)}")
        if self.collisions:
            self.wrong(f"{self.collisions} calls of ours met a phone with another one of ours")
