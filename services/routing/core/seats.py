"""At which phone an agent is: the one of the document, or another one at which the agent has logged in (hot-desking).

One phone has one agent. Whoever logs in at a phone logs out who is there, and is gone from the phone before. A seat ends with the agent's
log-out: the next one at the phone has to say who it is. A phone without anybody seated at it is that of the agent whose own it is, unless that
agent sits elsewhere. An agent whom the document has at a number outside sits down at the own phone like at any other: until the log-out
calls come there.

Wrong PINs are counted here, and not where they are heard, because there are many ways to a phone and one agent. While an agent is
locked the answer is the same for the right PIN.
"""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.records import ENGAGED
from services.routing.core.wishes import Wished

TAKEN = "phone_taken"
"""Why an agent was logged out: somebody else logged in at the phone."""


class Seats(Wished):
    """Handlers of wishes about seats."""

    def _seat_wished(self, inp: i.SeatAgent) -> None:
        agent_id = inp.agent_id
        if agent_id not in self.center.agents:
            return self._refuse(inp.request_id, "unknown-agent", f"there is no agent {agent_id!r}", 404)
        agent = self.state.agent(agent_id)
        if self._now_us < agent.locked_until_us and inp.by_pin:
            left_s = (agent.locked_until_us - self._now_us) // 1_000_000
            return self._refuse(inp.request_id, "locked", f"{agent_id} is locked for {left_s} s", 423)
        if inp.by_pin and not inp.verified:
            return self._wrong_pin(inp, agent.pin_failures + 1)
        if inp.extension not in self._own_phone and inp.extension not in self.center.desks:
            unknown = f"{inp.extension!r} is no agent's phone and no desk"
            return self._refuse(inp.request_id, "unknown-phone", unknown, 422)
        if agent.activity in ENGAGED:
            busy = f"{agent_id} has a contact at {self._phone_of(agent_id)}"
            return self._refuse(inp.request_id, "agent-busy", busy)
        there = self._agent_at(inp.extension) or agent_id
        if there != agent_id and not self._make_room(inp, there):
            return None
        elsewhere = self._phone_of(agent_id) != inp.extension or bool(self._number_of(agent_id))
        if elsewhere or agent.pin_failures:
            self._sit(agent_id, inp.extension, inp.node, inp.actor)
        if self.state.agent(agent_id).presence != "available":
            self._set_presence(agent_id, "available", "", inp.actor)
        return self._answer_agent(inp.request_id, agent_id)

    def _wrong_pin(self, inp: i.SeatAgent, attempts: int) -> None:
        locked_ms = self.center.pin_lock_ms if attempts >= self.center.pin_attempts else 0
        self._emit(f.AgentLoginRefused(inp.agent_id, inp.extension, attempts, locked_ms, inp.node))
        if locked_ms:
            return self._refuse(inp.request_id, "locked", f"{attempts} wrong PINs in a row", 423)
        return self._refuse(inp.request_id, "wrong-pin", "that is not the PIN", 403)

    def _make_room(self, inp: i.SeatAgent, there: str) -> bool:
        """Log out who is at the phone. Return whether it is free then."""
        other = self.state.agent(there)
        if other.activity in ENGAGED:
            self._refuse(inp.request_id, "phone-busy", f"{there} has a contact at {inp.extension}")
            return False
        if other.presence != "offline" and not inp.force:
            self._refuse(inp.request_id, "phone-taken", f"{there} is at {inp.extension}")
            return False
        if other.presence != "offline":
            self._set_presence(there, "offline", TAKEN, inp.actor)
        return True
