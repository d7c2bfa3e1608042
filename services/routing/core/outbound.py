"""Agents place calls themselves: from the wish to a contact of their own.

Theory of operation. The call is a contact of the kind ``outbound``, reserved for its agent from the first moment: one entry of the log holds
``NumberDialled`` (it counts for the limits), ``ContactQueued`` without a leg, and ``OfferMade`` of the same kind to this very agent. It never stands in
a queue's order. The queue it names gives it wrap-up, dispositions, recording and the number that is shown, and nothing else: what
callers of that queue wait for and what is told about their waits does not know of it.

By click the agent's phone rings first, then the number, both by the node that has the phone; while that one is being emptied by another, which
reaches the phone through it. A call that the agent dialled has the agent's leg already (``agent_leg``): until then it
counted as the agent's own call, now it is ours. queue calls the number when the agent is on the line; whoever answers is a caller from then on
(``ContactWaiting``, ``AgentBridged``), so hold, transfer, consultation and conference are those of any contact.

Nobody is offered the contact but its agent. Whatever ends the offer without a conversation ends the contact: ``not_reached``.
"""

from __future__ import annotations

import re

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.channels import Channels
from services.routing.core.people import WayTo
from services.routing.core.records import CLOSING, OUTBOUND

DIAL_MS = 60_000
"""How long a number rings. Mailboxes answer at 20 to 30 s; who lets it ring for longer will call back."""
_NUMBER = re.compile(r"\+?[0-9]{2,24}")


class Outbound(Channels):
    """Handlers of calls that agents place."""

    def _call_wished(self, inp: i.PlaceCall) -> None:
        agent_id = inp.agent_id or self._agent_at(inp.extension) or ""
        agent = self.state.agent(agent_id)
        rules = self.center.agents.get(agent_id)
        if rules is None:
            who = f"id {inp.agent_id!r}" if inp.agent_id else f"extension {inp.extension!r}"
            return self._no_call(inp, "unknown-agent", f"there is no agent with {who}", 404)
        if not _NUMBER.fullmatch(inp.number):
            expected = f"expected 2 to 24 digits, perhaps after a plus sign; found {inp.number[:40]!r}"
            return self._no_call(inp, "bad-number", expected, 422)
        queue = inp.queue or rules.queues[0]
        if not self.center.takes(queue):
            return self._no_call(inp, "unknown-queue", f"there is no queue {queue!r}", 422)
        own = dict.fromkeys(leg for leg in agent.own_legs if leg != inp.leg_id)
        activity = agent.activity
        if (
            activity == CLOSING
        ):  # Who hears that nobody was reached need not hear it out: queue ends that leg.
            activity = self._free_activity(agent)
        free = activity == "idle" or (inp.leg_id and activity == "own_call" and not own)
        if not free or agent.presence == "offline":
            doing = f"agent {agent_id} is {agent.presence} and {agent.activity}"
            return self._no_call(inp, "agent-not-available", doing)
        node = inp.node or self._node_for(self.state.phone_node(agent))
        if not inp.leg_id and self._number_of(agent_id):
            node = self._calm_node(node)  # Two lines are needed, and no phone: any node has them.
        if not node or not self.state.node_up(node):
            return self._no_call(
                inp, "no-phone", f"no node of FreeSWITCH is known for the phone of {agent_id}"
            )
        no = self._may_not_dial(
            inp.number,
            OUTBOUND,
            agent_id=agent_id,
            contact_id=inp.contact_id,
            request_id=inp.request_id,
            actor=inp.actor or "agent",
        )
        if no is not None:
            return self._no_call(inp, no.slug, no.detail)
        return self._place(inp, agent_id, queue, node)

    def _no_call(self, inp: i.PlaceCall, slug: str, reason: str, status: int = 409) -> None:
        self._notes.append(i.Refuse(inp.request_id, slug, reason, status))

    def _place(self, inp: i.PlaceCall, agent_id: str, queue: str, node: str) -> None:
        agent, rules = self.center.agents[agent_id], self.center.queues[queue]
        if inp.leg_id in self.state.agent(agent_id).own_legs:
            self._emit(f.AgentOwnCallChanged(agent_id, inp.leg_id, node=node))
        self._emit(
            f.ContactQueued(
                contact_id=inp.contact_id,
                queue=queue,
                waiting_since_us=self._now_us,
                node=node,
                ani=inp.number,
                started_at_us=self._now_us,
                kind=OUTBOUND,
                number=inp.number,
                no_leg=True,
            )
        )
        self._dialled(inp.contact_id, inp.number, OUTBOUND, agent_id, inp.request_id)
        way = WayTo("", 0) if inp.leg_id else self._way_to(agent_id, 0)  # Who has dialled is at the phone.
        self._emit(
            f.OfferMade(
                offer_id=f"{inp.contact_id}-{self.state.offer_count + 1}",
                contact_id=inp.contact_id,
                agent_id=agent_id,
                extension=self._phone_of(agent_id),
                queue=queue,
                node=node,
                ring_ms=rules.ring_ms,
                waited_ms=0,
                attempt=1,
                why=f.Explanation(rule=OUTBOUND),
                kind=OUTBOUND,
                by_agent=agent_id,
                number=inp.number,
                first="agent",
                dial_ms=DIAL_MS,
                waiting_since_us=self._now_us,
                caller_id=rules.caller_id or agent.caller_id,
                agent_leg=inp.leg_id,
                agent_node=way.node,
                connect_ms=way.connect_ms,
                agent_number=way.number,
                confirm=way.confirm,
            )
        )
        self._set_activity(agent_id, "offered", inp.contact_id, queue)
        self._answer = (inp.request_id, agent_id, "")

    def _outbound_failed(self, inp: i.OutboundFailed) -> None:
        """queue could not bring the two together."""
        contact = self.state.contacts.get(inp.contact_id)
        if contact is None or contact.kind != OUTBOUND or contact.status == "talking":
            return self._ignore("contact is no call that is being placed", contact_id=inp.contact_id)
        for offer_id in contact.rings:
            self._withdraw(self.state.offers[offer_id], f"party_{inp.outcome}", inp.kept_offer_id)
        return self._not_reached(contact, inp.outcome)
