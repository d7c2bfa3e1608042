"""How much an agent can have at hand at once, over all channels.

A call fills an agent. Contacts of the other channels that the center document names (chat, e-mail) take shares: where three chats fill an
agent, each takes a third, and shares of different channels add up. A contact of a channel that another one may *interrupt* does not count
for that other one: where calls may interrupt e-mails, a call comes to somebody who writes e-mails, and while it lasts nothing else does.
Nothing interrupts a call, from its offer to the end of its wrap-up, nor an own call on the phone.

Shares are whole numbers of ``WHOLE``, which every capacity divides, so that they add up exactly. What a contact takes is decided when it is
offered and stays in the log (``OfferMade.share_of``): another document changes what the next contacts take.
"""

from __future__ import annotations

import math

from services.routing.core.center import CALL, AgentRules, Center
from services.routing.core.records import Agent, AtHand

MOST = 25
"""The largest capacity."""
WHOLE = math.lcm(*range(1, MOST + 1))
ABLE = frozenset({"idle", "handling"})
"""Activities in which an agent can be offered something."""


def capacity(center: Center, rules: AgentRules, channel: str) -> int:
    """How many contacts of the channel fill the agent; 0: the agent takes none, or the document has no such channel."""
    if channel == CALL:
        return min(rules.capacity.get(CALL, 1), 1)
    known = center.channels.get(channel)
    return 0 if known is None else rules.capacity.get(channel, known.capacity)


def load(agent: Agent) -> int:
    """The shares of the contacts of other channels that the agent is offered or has; what a call interrupts may exceed ``WHOLE``."""
    return sum(WHOLE // one.share_of for one in agent.at_hand.values())


def has_room(agent: Agent, center: Center, rules: AgentRules, channel: str) -> bool:
    """Whether one more contact of the channel fits beside what the agent is offered or has."""
    most = capacity(center, rules, channel)
    if not most:
        return False
    counted = [one for one in agent.at_hand.values() if not _interrupts(center, channel, one)]
    if sum(one.channel == channel for one in counted) >= most:
        return False
    return sum(WHOLE // one.share_of for one in counted) + WHOLE // most <= WHOLE


def _interrupts(center: Center, channel: str, one: AtHand) -> bool:
    known = center.channels.get(one.channel)
    return known is not None and channel in known.interrupted_by


def open_channels(agent: Agent, center: Center, rules: AgentRules) -> tuple[str, ...]:
    """The channels of which the agent, who is free otherwise, can be offered one more contact; calls first.

    With nothing at hand that is ``channels_of``.
    """
    return tuple(c for c in (CALL, *center.channels) if has_room(agent, center, rules, c))


def channels_of(center: Center, rules: AgentRules) -> tuple[str, ...]:
    """The channels that the agent serves at all."""
    return tuple(c for c in (CALL, *center.channels) if capacity(center, rules, c))
