"""What must be true of every log of routing, told from its facts and the documents alone; each function asserts."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from services.routing.core import facts as f
from services.routing.core.center import Center
from services.routing.core.results import RESULTS
from services.routing.core.state import State

Log = list[f.Decided]
Documents = list[tuple[int, Center]]
"""Documents and how many entries the log had when each began to hold."""


def _facts(log: Log) -> Iterable[f.Fact]:
    return (fact for entry in log for fact in entry.facts)


def _gone(fact: f.Fact) -> bool:
    """Whether the contact is with nobody any more."""
    return isinstance(fact, f.ContactClosed) or (isinstance(fact, f.ContactQueued) and fact.requeued)


def each_offer_ends_once(log: Log, state: State) -> None:
    """Every offer has one end, or is open in the state."""
    made = [fact.offer_id for fact in _facts(log) if isinstance(fact, f.OfferMade)]
    ended = [fact.offer_id for fact in _facts(log) if isinstance(fact, f.OfferEnded)]
    assert len(made) == len(set(made))
    assert len(ended) == len(set(ended))
    assert set(made) - set(ended) == set(state.offers)


def nobody_has_two_calls(log: Log) -> None:
    """An agent has one open offer of a call or one conversation, a contact one conversation."""
    offered: dict[str, str] = {}
    talks: dict[str, str] = {}
    others = {fact.offer_id for fact in _facts(log) if isinstance(fact, f.OfferMade) and fact.channel}
    for fact in _facts(log):
        if isinstance(fact, f.OfferMade):
            assert fact.agent_id not in offered
            assert fact.agent_id not in talks.values()
            if not fact.channel:
                offered[fact.agent_id] = fact.offer_id
        elif isinstance(fact, f.OfferEnded) and fact.offer_id not in others:
            assert offered.pop(fact.agent_id) == fact.offer_id
        elif isinstance(fact, f.ContactConnected) and not fact.channel:
            assert fact.agent_id not in offered
            talks.pop(fact.contact_id, None)
            assert fact.agent_id not in talks.values()
            talks[fact.contact_id] = fact.agent_id
        elif _gone(fact):
            talks.pop(fact.contact_id, None)  # type: ignore[union-attr]


def nobody_is_over_capacity(log: Log, documents: Documents, state: State) -> None:
    """Whoever is offered something has room for it, no call is interrupted, and the state has at hand what the facts say."""
    at_hand: dict[str, dict[str, tuple[str, Fraction]]] = {}
    activity: dict[str, str] = {}
    for n, entry in enumerate(log):
        center = next(c for since, c in reversed(documents) if since <= n)
        for fact in entry.facts:
            if isinstance(fact, f.OfferMade) and fact.kind == "outbound":
                # The agent's own wish, whatever comes in for the agent; who has dialled is on the phone already.
                assert activity.get(fact.agent_id, "idle") in ("idle", "own_call", "closing")
            elif isinstance(fact, f.OfferMade):
                assert activity.get(fact.agent_id, "idle") in ("idle", "handling")
                has = at_hand.setdefault(fact.agent_id, {})
                share = _share(center, fact.agent_id, fact.channel or "call")
                counted = [
                    held
                    for channel, held in has.values()
                    if channel not in center.channels
                    or (fact.channel or "call") not in center.channels[channel].interrupted_by
                ]
                assert share + sum(counted) <= 1
                if fact.channel:
                    assert share == Fraction(1, fact.share_of)
                    has[fact.contact_id] = (fact.channel, share)
            elif isinstance(fact, f.OfferEnded) and fact.outcome != "accepted":
                at_hand.get(fact.agent_id, {}).pop(fact.contact_id, None)
            elif isinstance(fact, f.AgentActivityChanged):
                activity[fact.agent_id] = fact.activity
            elif _gone(fact):
                for has in at_hand.values():
                    has.pop(fact.contact_id, None)  # type: ignore[union-attr]
    assert {a: sorted(has) for a, has in at_hand.items() if has} == {
        a.agent_id: sorted(a.at_hand) for a in state.agents.values() if a.at_hand
    }


def _share(center: Center, agent_id: str, channel: str) -> Fraction:
    """What one contact takes of the agent; 2 when the agent takes none."""
    most = center.agents[agent_id].capacity.get(
        channel, 1 if channel == "call" else center.channels[channel].capacity
    )
    return Fraction(1, 1 if channel == "call" else most) if most else Fraction(2)


def every_contact_has_one_end(log: Log, state: State, *, places_may_change: bool = False) -> None:
    """Every contact that came is open or ended in exactly one of the defined ways, and kept its waiting time.

    ``places_may_change``: in a center where an agent's transfer to a queue is last in line.
    """
    since_us: dict[str, int] = {}
    ends: dict[str, list[str]] = {}
    for fact in _facts(log):
        if isinstance(fact, f.ContactQueued):
            assert fact.requeued == (ends.get(fact.contact_id) == [])
            if fact.requeued and not places_may_change:
                assert fact.waiting_since_us == since_us[fact.contact_id]
            since_us[fact.contact_id] = fact.waiting_since_us
            ends[fact.contact_id] = []
        elif isinstance(fact, f.ContactClosed):
            assert fact.result in RESULTS
            assert fact.waiting_since_us == since_us[fact.contact_id]
            assert min(fact.wait_ms, fact.talk_ms) >= 0
            ends[fact.contact_id].append(fact.result)
    assert all(len(found) == (contact_id not in state.contacts) for contact_id, found in ends.items())
    assert set(state.contacts) <= set(ends)


def callbacks_keep_their_place(log: Log, state: State) -> None:
    """A callback stands where the caller stood, one contact of it at a time, and is over when the last one is."""
    asked = {
        fact.contact_id: fact.waiting_since_us
        for fact in _facts(log)
        if isinstance(fact, f.ContactClosed) and fact.outcome == "callback"
    }
    open_ones: dict[str, str] = {}
    for fact in _facts(log):
        if isinstance(fact, f.ContactQueued) and fact.callback_id and fact.no_leg and not fact.requeued:
            assert fact.waiting_since_us == asked[fact.callback_id]
            assert fact.callback_id not in open_ones
            open_ones[fact.callback_id] = fact.contact_id
        elif isinstance(fact, f.ContactClosed) and open_ones.get(fact.callback_id) == fact.contact_id:
            del open_ones[fact.callback_id]
    assert set(state.callbacks.values()) <= set(open_ones.values())
    assert all(contact_id in state.contacts for contact_id in open_ones.values())
