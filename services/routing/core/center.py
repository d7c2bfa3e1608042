"""What the engine needs of a center document, and the rules that are the same for all centers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.routing.core.requirement import Requirement
from services.routing.core.toll import TENANT, Rights, payers_of

STRATEGIES = (
    "longest_idle",
    "round_robin",
    "least_occupied",
    "fewest_contacts",
    "ring_all",
    "linear",
    "random_weighted",
)
"""Ways of choosing the agent; ``pools`` says what each one orders by."""

CALL = "call"
"""The channel of contacts on the phone; it needs no entry in ``Center.channels``."""

CAUSES = ("no_answer", "declined", "busy", "unreachable")
"""Ends of an offer that are the agent's (or the phone's) doing and may be followed by a delay or a break."""


class Overflow(msgspec.Struct, frozen=True):
    """Where a contact goes that cannot stay: ``action`` queue, transfer, voicemail, hangup or callback; ``target`` a queue, number or prompt."""

    action: str
    target: str = ""


def way_of(text: str) -> Overflow | None:
    """Read a way out as the hand-over carries it (``voicemail:leave-message``); None for what is none."""
    action, colon, target = text.partition(":")
    if not colon or action not in ("queue", "transfer", "voicemail", "hangup", "callback"):
        return None
    return Overflow(action, target)


class Step(msgspec.Struct, frozen=True):
    """What an agent must be able to do for the next ``for_ms`` of a wait; after the last step everybody of the queue may."""

    requirement: Requirement
    for_ms: int


class Miss(msgspec.Struct, frozen=True):
    """After an offer that ended for one cause: nothing for ``delay_ms``; after ``most`` in a row a break (0: never)."""

    delay_ms: int = 5_000
    most: int = 0


class CallbackRules(msgspec.Struct, frozen=True):
    """How the customers of a queue are called back."""

    first: str = "customer"
    """customer or agent: whose phone rings first."""
    dial_ms: int = 25_000
    attempts: int = 3
    """Calls that do not reach the customer, after which it is given up."""
    pause_ms: int = 900_000
    """Between two of them."""
    expires_ms: int = 345_600_000


class QueueRules(msgspec.Struct, frozen=True):
    """One queue. ``max_wait_ms`` and ``max_length`` 0 are no limit."""

    skills: Mapping[str, int] = {}
    """Asked of every agent for as long as the contact is in the queue."""
    ring_ms: int = 20_000
    wrap_up_ms: int = 0
    max_wait_ms: int = 0
    max_length: int = 0
    overflow: Overflow = Overflow("hangup")
    """The way out after ``max_wait_ms``, and for the other limits where they name none of their own."""
    strategy: str = "longest_idle"
    ring_at_once: int = 1
    """How many phones ring at the same time for one contact; more than 1 only with ring_all."""
    steps: tuple[Step, ...] = ()
    skills_for_ms: int = 0
    """How long the contact's own skills are insisted on; 0 is for ever."""
    preferred_ms: int = 0
    """How long a contact waits for the agent that it prefers, as long as that agent is there."""
    wrap_up_mode: str = "timed"
    """optional, mandatory, timed, timed_no_exit."""
    wrap_up_max_ms: int = 900_000
    disposition_required: bool = False
    dispositions: frozenset[str] = frozenset()
    """Codes for contacts of this queue; empty: all of the center."""
    short_abandon_ms: int = 5_000
    full: Overflow | None = None
    no_agent: Overflow | None = None
    """The way out when nobody serves the queue; None: callers wait on."""
    no_agent_after_ms: int = 0
    closed: Overflow | None = None
    """The way out when the queue's hours have ended (``HoursChanged``); None: callers wait on."""
    keys: Mapping[str, Overflow] = {}
    """Ways out that a waiting caller takes by a key."""
    return_ms: int = 0
    """Who hangs up while waiting and calls again within this time gets the old place, once; 0: nobody does."""
    callback: CallbackRules | None = None
    """None: nobody is called back."""
    connect_ms: int = 0
    """So long something may be said between the agent's answer and the bridge."""
    caller_id: str = ""
    """The number that is shown when an agent calls for this queue; empty: as the agent's rules say."""


class QueueOrder(msgspec.Struct, frozen=True):
    """An agent's own view of a queue: lower ``priority`` first, and only contacts that have waited ``delay_ms`` there."""

    priority: int = 1
    delay_ms: int = 0


class ChannelRules(msgspec.Struct, frozen=True):
    """A channel other than calls: so many of its contacts fill an agent, and contacts of these channels come in between."""

    capacity: int = 1
    interrupted_by: frozenset[str] = frozenset()


class AgentRules(msgspec.Struct, frozen=True):
    """One agent: what to dial, which queues, which skills at which level."""

    extension: str
    queues: tuple[str, ...]
    skills: Mapping[str, int] = {}
    orders: Mapping[str, QueueOrder] = {}
    """By queue; what is not there is ``QueueOrder()``."""
    weight: int = 1
    """Share of the contacts under random_weighted."""
    team: str = ""
    calls: Rights = Rights()
    caller_id: str = ""
    """The number that is shown when the agent calls; the agent's own, the team's, or the center's."""
    capacity: Mapping[str, int] = {}
    """By channel, where it is another one than the channel's own; 0: the agent takes none. Of calls 1 or 0."""
    number: str = ""
    """Outside, where the agent is called while not logged in at a desk; empty: at the phone."""
    confirm: bool = True
    """Whether who answers there has to press a key."""


class Center(msgspec.Struct, frozen=True):
    """One revision of a tenant's configuration. ``fallback`` is the queue of an entry point for callers without one."""

    revision: str
    queues: Mapping[str, QueueRules]
    agents: Mapping[str, AgentRules]
    dispositions: frozenset[str] = frozenset()
    break_reasons: frozenset[str] = frozenset()
    fallback: Mapping[str, str] = {}
    default_fallback: str = ""
    priority_ms: int = 60_000
    """Head start for each point of priority."""
    class_ms: Mapping[str, int] = {}
    """Head start by the class of the customer."""
    entry_ms: Mapping[str, int] = {}
    """Head start by entry point."""
    between_queues: str = "strict"
    """How an agent's queues of equal priority compete. strict: the highest score of all. share: by turns, one contact a queue."""
    do_not_call: frozenset[str] = frozenset()
    """Numbers that are never called back."""
    misses: Mapping[str, Miss] = {}
    """By cause (``CAUSES``); what is not there is as in ``Policy``."""
    transfer_place: str = "kept"
    """The place of a contact that an agent sends to a queue: kept (its whole wait counts) or last (from now on)."""
    transfer_failed: str = "queue"
    """Where a contact goes whose transfer nobody took: queue, or agent (who sent it, first)."""
    desks: frozenset[str] = frozenset()
    """Phones that are nobody's; see ``seats``."""
    pin_attempts: int = 3
    """Wrong PINs in a row, after which none is taken for ``pin_lock_ms``."""
    pin_lock_ms: int = 900_000
    draining: frozenset[str] = frozenset()
    """Those of ``queues`` that are gone from the document: who is in them is served or goes on, nobody new comes in."""

    calls: Rights = Rights()
    """What all agents together may call outside. Nobody may call anything that no level allows."""
    team_calls: Mapping[str, Rights] = {}
    channels: Mapping[str, ChannelRules] = {}
    """Beside calls. Of what an agent may take, calls come first, then the channels in this order."""

    def payers(self, agent_id: str) -> tuple[tuple[str, Rights], ...]:
        """Who pays for an agent's call outside, the nearest first, with their rights; for nobody's the center alone."""
        agent = self.agents.get(agent_id)
        team = agent.team if agent is not None else ""
        rights = {
            f"agent:{agent_id}": agent.calls if agent is not None else Rights(),
            f"team:{team}": self.team_calls.get(team, Rights()),
            TENANT: self.calls,
        }
        return tuple((payer, rights[payer]) for payer in payers_of(agent_id, team))

    def takes(self, queue: str) -> bool:
        """Whether contacts may come into the queue."""
        return queue in self.queues and queue not in self.draining


class Policy(msgspec.Struct, frozen=True):
    """Rules of the engine that no document changes.

    ``offer_grace_ms``: how long after the ring time somebody may still report before the offer expires. The ring time
    is enforced by FreeSWITCH's originate timeout; the grace covers the answer, the bridge (rescued after 500 ms) and
    two appends. ``max_no_answer``: unanswered offers in a row after which the agent is put on a break.
    """

    offer_grace_ms: int = 5_000
    max_no_answer: int = 1
    agent_delay_ms: int = 5_000
    contact_delay_ms: int = 1_000
    nodes: tuple[str, ...] = ()
    """The FreeSWITCH nodes of the installation."""

    def miss(self, center: Center, outcome: str) -> Miss:
        """What follows for an agent after an offer that ended so."""
        if (rule := center.misses.get(outcome)) is not None:
            return rule
        return Miss(self.agent_delay_ms, {"no_answer": self.max_no_answer, "unreachable": 1}.get(outcome, 0))


SYSTEM_REASONS = frozenset({"no_answer", "declined", "busy", "unreachable", "removed", "phone_taken"})
"""Break and offline reasons that only the system gives."""
