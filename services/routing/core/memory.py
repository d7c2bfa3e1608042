"""What is remembered of one tenant, how it is written down in a snapshot, and which inputs it is made of."""

from __future__ import annotations

from collections import deque
from typing import Self

import msgspec

from services.routing.core.center import Policy
from services.routing.core.history import History
from services.routing.core.records import SNAPSHOT_VERSION, Agent, Contact, Left, Node, Offer, Snapshot
from services.routing.core.toll import Tolls

# Inputs are remembered by count and not by age: an owner that returns after an hour still has to recognise what its
# predecessor decided on and did not acknowledge. A pull consumer has far fewer deliveries outstanding than this.
INPUTS_REMEMBERED = 2048


class Memory:
    """All open contacts, agents and offers of a tenant. ``touched_*`` name what changed since they were cleared."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.at_us = 0
        self.epoch = 0
        self.owner = ""
        self.offer_count = 0
        self.input_seq = 0
        """The last observation that was decided on."""
        self.contacts: dict[str, Contact] = {}
        self.agents: dict[str, Agent] = {}
        self.offers: dict[str, Offer] = {}
        self.nodes: dict[str, Node] = {}
        self.callbacks: dict[str, str] = {}
        """Contact without a leg by callback id; follows from ``contacts``."""
        self.closed: dict[str, str] = {}
        """Outcome by contact id of those that closed last, oldest first."""
        self.turns: dict[str, str] = {}
        """Agent of the last offer by queue."""
        self.shares: dict[str, int] = {}
        """Turns by queue: start-time fair queueing, a contact costs 1."""
        self.share_now = 0
        """Turn at which the queue served last began: one that was empty until now does not make up for that."""
        self.history: dict[str, History] = {}
        """What happened lately, by queue; see ``expected``."""
        self.left: dict[str, Left] = {}
        """Who hung up while waiting, by ``left_key``, oldest first."""
        self.tolls = Tolls()
        """Calls to numbers outside, for their limits."""
        self.seats: dict[str, str] = {}
        """Agent by the phone at which the agent has logged in; follows from ``agents``."""
        self.draining: dict[str, int] = {}
        """Nodes that are being emptied, with the time since when."""
        self.no_lines: dict[str, int] = {}
        """Until when no agent at a number outside is offered a contact of a node whose trunks were full."""
        self._inputs: set[str] = set()
        self._inputs_in_order: deque[str] = deque()
        self.touched_contacts: dict[str, None] = {}
        self.touched_agents: dict[str, None] = {}
        self.touched_offers: dict[str, None] = {}

    # -- reading

    def agent(self, agent_id: str) -> Agent:
        """The agent's state; a fresh, unstored one when the log has not spoken of it."""
        return self.agents.get(agent_id) or Agent(agent_id)

    def has_seen(self, input_id: str) -> bool:
        """Whether the log has an entry for this input."""
        return input_id in self._inputs

    def node_up(self, node: str) -> bool:
        """Whether the node can be worked with; one that nobody has spoken of can."""
        known = self.nodes.get(node)
        return known is None or known.up

    def nodes_down(self) -> list[str]:
        """The nodes that cannot be worked with."""
        return [node for node, known in self.nodes.items() if not known.up]

    def phone_node(self, agent: Agent) -> str:
        """The node over which the agent's phone is reached: the last that it registered with of those that can be worked with.

        Empty when no registration was ever seen, or none of its nodes can be reached.
        """
        for node in (agent.node, *reversed(agent.also)):
            if agent.registered and node and self.node_up(node):
                return node
        return ""

    def turn_of(self, queue: str) -> int:
        """The queue's turn when queues share their agents: lower is sooner."""
        return max(self.share_now, self.shares.get(queue, 0))

    def dump(self) -> bytes:
        """The whole state, as ``load`` reads it."""
        return msgspec.msgpack.encode(
            Snapshot(
                SNAPSHOT_VERSION,
                self.at_us,
                self.epoch,
                self.owner,
                self.offer_count,
                self.input_seq,
                list(self.contacts.values()),
                list(self.agents.values()),
                list(self.offers.values()),
                self.nodes,
                list(self._inputs_in_order),
                self.closed,
                self.turns,
                self.shares,
                self.share_now,
                self.history,
                self.left,
                self.tolls,
                self.draining,
                self.no_lines,
            )
        )

    @classmethod
    def load(cls, data: bytes, policy: Policy) -> Self | None:
        """Read what ``dump`` wrote; None when it is of another version or broken (then the log is read as a whole)."""
        try:
            stored = msgspec.msgpack.decode(data, type=Snapshot)
        except msgspec.MsgspecError:
            return None
        if stored.version != SNAPSHOT_VERSION:
            return None
        state = cls(policy)
        state.at_us, state.epoch, state.owner = stored.at_us, stored.epoch, stored.owner
        state.offer_count, state.input_seq = stored.offer_count, stored.input_seq
        state.contacts = {c.contact_id: c for c in stored.contacts}
        state.callbacks = {c.callback_id: c.contact_id for c in stored.contacts if c.no_leg and c.callback_id}
        state.agents = {a.agent_id: a for a in stored.agents}
        state.seats = {a.seat: a.agent_id for a in stored.agents if a.seat}
        state.offers = {o.offer_id: o for o in stored.offers}
        state.nodes, state.closed = stored.nodes, stored.closed
        state.turns, state.shares, state.share_now = stored.turns, stored.shares, stored.share_now
        state.tolls = stored.tolls
        state.history, state.left, state.draining = stored.history, stored.left, stored.draining
        state.no_lines = stored.no_lines
        for contact in stored.contacts:
            if contact.status == "offered" and not contact.rings:  # of a version without parallel offers
                contact.rings = (contact.offer_id,)
        state._inputs_in_order = deque(stored.inputs)
        state._inputs = set(stored.inputs)
        return state

    # -- entries of the log

    def begin(self, at_us: int) -> int:
        """Set the time of the facts that follow and return it: never earlier than that of the facts before.

        Owners run on different machines, and a wall clock may be set back; no duration may become negative by that.
        """
        self.at_us = max(self.at_us, at_us)
        return self.at_us

    def end(self, input_id: str, input_seq: int) -> None:
        """Remember the input that the facts since ``begin`` came from."""
        self.input_seq = max(self.input_seq, input_seq)
        if input_id and input_id not in self._inputs:
            self._inputs.add(input_id)
            self._inputs_in_order.append(input_id)
            if len(self._inputs_in_order) > INPUTS_REMEMBERED:
                self._inputs.discard(self._inputs_in_order.popleft())
