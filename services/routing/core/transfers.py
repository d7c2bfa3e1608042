"""Holds, transfers and consultations: what the engine makes of an agent's wish to pass a contact on.

A transfer is decided here before anything happens to the call. Granted, it is one entry: ``ContactTransferred``, the end of the agent's
talk, ``ContactQueued`` (so that whatever fails from then on finds the contact in its place) and, for an agent, ``OfferMade``. Refused,
the conversation goes on.

A consultation leaves the contact with its agent. Who is to be asked is reserved by an offer of the kind ``consult``, with one end like
any other; accepted, that agent talks too (``consult_agent``). The contact changes hands with the bridge: ``AgentBridged``.
"""

from __future__ import annotations

import re

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.capacity import ABLE
from services.routing.core.observed import Observed
from services.routing.core.records import IN_TALK, Contact

_NUMBER = re.compile(r"\+?[0-9]{2,24}")


class Transfers(Observed):
    """Handlers of what agents do with a contact that they have."""

    def _contact_held(self, inp: i.ContactHeld) -> None:
        self._hold(inp.agent_id, inp.contact_id, "held")

    def _contact_resumed(self, inp: i.ContactResumed) -> None:
        self._hold(inp.agent_id, inp.contact_id, "talking")

    def _hold(self, agent_id: str, contact_id: str, activity: str) -> None:
        agent = self.state.agent(agent_id)
        if agent.activity not in IN_TALK or agent.contact_id != contact_id:
            return self._ignore("no such conversation", contact_id=contact_id, agent_id=agent_id)
        if agent.activity != activity:
            self._set_activity(agent_id, activity, agent.contact_id, agent.queue)
        return None

    # -- the wish

    def _transfer_requested(self, inp: i.TransferRequested) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or contact.status != "talking" or contact.agent_id != inp.agent_id:
            return self._refuse_transfer(
                inp, "not-talking", f"{inp.agent_id} does not talk with {inp.contact_id}"
            )
        kind, target = self._target(inp.target_kind, inp.target)
        if kind == "agent":
            return self._to_agent(inp, contact, target)
        if inp.consult:
            return self._refuse_transfer(inp, "bad-target", f"only an agent can be asked, not a {kind}")
        if kind == "queue":
            return self._to_queue(inp, contact, target)
        if kind == "number" and _NUMBER.fullmatch(target):
            no = self._may_not_dial(
                target,
                "transfer",
                agent_id=inp.agent_id,
                contact_id=inp.contact_id,
                request_id=inp.request_id,
            )
            if no is not None:
                return self._refuse_transfer(inp, no.slug, no.detail)
            self._give_away(inp, contact, kind, target, 0)
            talk_ms = self._ms_since(contact.connected_at_us)
            self._close(contact, "completed", talk_ms=talk_ms, ended_by="transfer", cause=target)
            return self._dialled(inp.contact_id, target, "transfer", inp.agent_id, inp.request_id)
        expected = f"expected agent, queue or number and who it is; found {inp.target_kind} {inp.target!r}"
        return self._refuse_transfer(inp, "bad-target", expected)

    def _target(self, kind: str, target: str) -> tuple[str, str]:
        """What digits mean: a colleague's extension, an entry point of the house (its queue), else a number outside."""
        if kind == "agent" and target not in self.center.agents:
            return "agent", self._numbered(target) or target
        if kind != "keyed":
            return kind, target
        if agent_id := self._numbered(target):
            return "agent", agent_id
        if queue := self.center.fallback.get(target):
            return "queue", queue
        return "number", target

    def _numbered(self, digits: str) -> str | None:
        """The agent whose number it is, at whatever phone, else whoever is at the desk."""
        return self._own_phone.get(digits) or self._agent_at(digits)

    def _refuse_transfer(self, inp: i.TransferRequested, reason: str, detail: str) -> None:
        self._emit(
            f.TransferRefused(
                inp.contact_id, inp.agent_id, inp.target_kind, inp.target, reason, detail, inp.request_id
            )
        )

    def _give_away(
        self, inp: i.TransferRequested, contact: Contact, kind: str, target: str, since_us: int
    ) -> None:
        self._free_consulted(contact)
        self._emit(
            f.ContactTransferred(
                contact.contact_id,
                inp.agent_id,
                kind,
                target,
                since_us,
                inp.request_id,
                contact.offer_id,
            )
        )

    def _to_agent(self, inp: i.TransferRequested, contact: Contact, target: str) -> None:
        if target not in self.center.agents:
            return self._refuse_transfer(inp, "unknown-target", f"there is no agent {target!r}")
        agent = self.state.agent(target)
        if target == inp.agent_id or not self._can_be_called(target) or agent.presence == "offline":
            doing = "the same" if target == inp.agent_id else f"{agent.presence} and {agent.activity}"
            if agent.activity in ABLE and agent.presence != "offline" and target != inp.agent_id:
                doing = "without room for a call"
            return self._refuse_transfer(inp, "agent-not-available", f"agent {target} is {doing}")
        if inp.consult:
            if contact.consult_offer or contact.consult_agent:
                return self._refuse_transfer(inp, "consulting", "somebody is being asked already")
            return self._send_to(contact, target, "consult", inp.agent_id)
        self._give_away(inp, contact, "agent", target, contact.waiting_since_us)
        self._emit(self._queued(contact, contact.queue))
        self._end_talk(contact)
        return self._send_to(self.state.contacts[contact.contact_id], target, "transfer", inp.agent_id)

    def _to_queue(self, inp: i.TransferRequested, contact: Contact, queue: str) -> None:
        if not self.center.takes(queue):
            return self._refuse_transfer(inp, "unknown-target", f"there is no queue {queue!r}")
        if self._is_full(queue):
            return self._refuse_transfer(inp, "queue-full", f"queue {queue} is at its length")
        since_us = contact.waiting_since_us if self.center.transfer_place == "kept" else self._now_us
        self._give_away(inp, contact, "queue", queue, since_us)
        self._emit(self._queued(contact, queue, since_us))
        return self._end_talk(contact)

    # -- consultations

    def _consult_started(self, inp: i.ConsultStarted) -> None:
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or contact.consult_offer != inp.offer_id:
            return self._ignore("nobody is to be asked", contact_id=inp.contact_id, agent_id=inp.agent_id)
        self._emit(f.OfferEnded(inp.offer_id, inp.contact_id, inp.agent_id, "accepted"))
        return self._set_activity(inp.agent_id, "talking", inp.contact_id, contact.queue)

    def _consult_ended(self, inp: i.ConsultEnded) -> None:
        """``completed`` needs nothing here: the bridge says who has the contact."""
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or inp.outcome == "completed":
            return
        if contact.consult_agent == inp.agent_id or contact.consult_offer == inp.offer_id:
            self._free_consulted(contact)
