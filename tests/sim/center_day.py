"""A whole day of a center through routing's real core: 100,000 callers, 300 agents, and everything that goes wrong on a day.

The world plays callers, phones, agents, FreeSWITCH and the queue service. It knows only what those know: it acts on the facts of
the log and on its own people, never on the engine's state. What happens beside calls that go well:

* callers lose patience while they wait and while a phone rings, some at once; they ask for skills, come with priorities,
  classes, entry points and preferred agents;
* callers ask to be called back, or are asked when the longest wait is over; chats and e-mails come for the same agents;
* phones ring into the void, decline, are busy or gone; agents pause, go on breaks with a reason, place own calls, hold callers,
  send them on to a colleague or back into a queue, ask for more wrap-up, come and go on shifts; phones unregister;
* reports arrive twice; a FreeSWITCH node is out of reach for a while; the document is changed during the day; queues close;
* the process is killed again and again: another one begins with the last snapshot and the log since, is sent what the dead one had not
  acknowledged, and must have the very same state.

``Ledger`` follows the log with a model of its own and says what is wrong; the world compares it with what its callers lived through.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import Center
from services.routing.core.state import State
from services.whatif.driver import START_US
from tests.sim.center import LINES, center
from tests.sim.center_callers import CLOSED_H, OPEN_H
from tests.sim.center_desk import Desk
from tests.sim.center_world import ACKNOWLEDGED_LATE


class CenterDay(Desk):
    """One day. ``ledger.broken`` names everything that was wrong; ``takeovers`` counts the kills."""

    reactions: ClassVar = {
        f.ContactQueued: Desk._queued,
        f.ContactConnected: Desk._connected,
        f.ContactClosed: Desk._closed_by_log,
        f.OfferMade: Desk._offered,
        f.OfferEnded: Desk._offer_over,
        f.ContactOverflowed: Desk._sent_away,
        f.ContactTransferred: Desk._sent_on,
        f.AgentPresenceChanged: Desk._presence_is,
        f.AgentActivityChanged: Desk._activity_is,
    }

    def run(self) -> CenterDay:
        """Play from midnight to the last caller after the next one."""
        self.take_over()
        self._hours(at_night=True)
        self.after(OPEN_H * 3600, self._hours, False)
        self.after(CLOSED_H * 3600, self._hours, True)
        self._shifts()
        for at_us, queue in self._arrivals():
            self.after((at_us - START_US) / 1e6, self._arrive, queue)
        self._letters(self.calls)
        for n in range(self.kills):
            self.after(self.random.uniform(0.5, 23.5) * 3600, self._kill, f"process-{n}")
        self.after(self.random.uniform(9, 17) * 3600, self._lose_node, "fs2")
        self.after(11 * 3600, self._revise, "midday", self._midday())
        self.after(15 * 3600, self._revise, "evening", center())
        self.play()
        self._fail_over("the last")
        self.ledger.finish()
        self._compare()
        return self

    # -- the house

    def _hours(self, at_night: bool) -> None:
        shut = [q for q, line in LINES.items() if at_night and not line.around_the_clock]
        self._closed = frozenset([*shut, *(f"callback:{q}" for q in shut)])
        self.tell(i.HoursChanged, closed=self._closed)

    def _lose_node(self, node: str) -> None:
        """The connection is gone for two minutes: talks go on, nobody there is offered, nobody loses the place."""
        self.tell(i.NodeSeen, node=node, up=False)
        self.after(120, self._regain_node, node)

    def _regain_node(self, node: str) -> None:
        self.tell(i.NodeSeen, node=node, up=True)

    def _midday(self) -> Center:
        """Another document: a queue is gone, ten agents serve other queues, two have left the house."""
        now = center()
        queues = {q: rules for q, rules in now.queues.items() if q != "returns"}
        agents = {}
        for n, (agent_id, rules) in enumerate(now.agents.items()):
            served = tuple(q for q in rules.queues if q != "returns")
            if n % 30 == 0:
                served = (*dict.fromkeys((*served, "orders")),)
            if n not in (77, 177):
                agents[agent_id] = msgspec.structs.replace(rules, queues=served)
        return msgspec.structs.replace(
            now, revision="midday", queues=queues, agents=agents, between_queues="share"
        )

    def _revise(self, revision: str, revised: Center) -> None:
        self.center = msgspec.structs.replace(revised, revision=revision)
        self.ledger.center = self.center
        self.tell(i.CenterRevised, center=self.center)

    def _kill(self, owner: str) -> None:
        self._fail_over(owner)
        self.takeovers += 1

    def _fail_over(self, owner: str) -> None:
        """The snapshot and the log since must give the very state that the dead process had; then that one goes on."""
        state = State.load(self._snapshot, self.policy)
        assert state is not None
        for entry in self._tail:
            state.replay(entry)
        if state.dump() != self.engine.state.dump():
            self.ledger.wrong(f"{owner}: snapshot and log give another state than the process had")
        self._tail.clear()
        self.resume(state)
        self.take_over(owner)
        self.tell(i.HoursChanged, closed=self._closed)
        for inp in self._delivered[-ACKNOWLEDGED_LATE:]:
            if isinstance(inp, i.Observation):
                self._again(inp)
        self._snapshot = self.engine.state.dump()
        self._tail.clear()
        self._check()

    def _compare(self) -> None:
        """Call by call: what the log says of a caller is what that caller lived through."""
        for caller in self.callers.values():
            self.outcomes[caller.outcome] = self.outcomes.get(caller.outcome, 0) + 1
            said = self.ledger.closed.get(caller.contact_id)
            if said is None or not caller.gone:
                self.ledger.wrong(f"{caller} and {said}: not over")
                continue
            if said.result not in _IN_THE_LOG[caller.outcome]:
                self.ledger.wrong(f"{caller} ended as {said}")
            if caller.answered_us:
                waited_ms = (caller.answered_us - caller.arrived_us) // 1000
                if said.wait_ms != waited_ms:
                    self.ledger.wrong(f"{caller} waited {waited_ms} ms, the log says {said}")


_IN_THE_LOG = {
    "answered": ("answered",),
    "abandoned": ("abandoned", "short_abandon"),
    "overflowed": ("overflowed",),
    "max_wait": ("timed_out",),
    "max_length": ("full",),
    "no_agent": ("no_agent",),
    "closed": ("closed",),
    "queue_removed": ("closed",),
    "callback_taken": ("callback_taken",),
    "callback_missed": ("callback_missed",),
    "callback_expired": ("callback_expired",),
    "callback_cancelled": ("callback_cancelled",),
}
