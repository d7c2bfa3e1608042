"""Why this agent and why this contact: what goes into the fact of an offer. Bounded: six agents, one count a reason."""

from __future__ import annotations

from services.routing.core.capacity import ABLE
from services.routing.core.center import Center
from services.routing.core.facts import Excluded, Explanation, Term
from services.routing.core.index import Index
from services.routing.core.places import score_terms
from services.routing.core.pools import value_of
from services.routing.core.records import Contact

NEXT_BEST = 5


def explain(
    index: Index, center: Center, contact: Contact, agent_id: str, contact_rule: str, now_us: int
) -> Explanation:
    """Say it before the offer is made: agent free, contact waiting."""
    want = index.want_of(contact.contact_id)
    assert want is not None
    strategy = center.queues[contact.queue].strategy
    pool, choice = index.pool_of(contact), index.choice(contact)
    candidates = len(pool) if pool is not None else 1
    following = pool.some(choice, NEXT_BEST + 1) if candidates > 1 and pool is not None else []
    next_best = [a for a in following if a != agent_id][:NEXT_BEST]
    counts, free = index.counts(contact.queue), index.free(want)
    excluded = {status: n for status, n in counts.items() if n and status not in ABLE}
    if full := sum(counts.get(status, 0) for status in ABLE) - free:
        excluded["capacity"] = full
    if want.only:
        if free > 1:
            excluded["not_preferred"] = free - 1
    else:
        later = index.free_later(want)
        if later:
            excluded["comes_in_later"] = later
        if no_line := index.free_without_line(want):
            excluded["no_line"] = no_line
        if unskilled := free - later - candidates - no_line:
            excluded["skills"] = unskilled
    age_ms = max(0, now_us - contact.waiting_since_us) // 1000
    terms = score_terms(contact, center)
    standing = index.place_of(agent_id).standing
    rule = "preferred" if want.only else "tried_before" if agent_id in contact.tried else strategy
    return Explanation(
        rule=rule,
        idle_ms=max(0, now_us - standing.idle_since_us) // 1000,
        candidates=candidates,
        next_best=tuple(next_best),
        excluded=tuple([Excluded(reason, excluded[reason]) for reason in sorted(excluded)]),
        waiting_ahead=index.ahead(contact),
        strategy=strategy,
        value=value_of(strategy, standing, now_us),
        next_values=tuple([value_of(strategy, index.place_of(a).standing, now_us) for a in next_best]),
        score_ms=age_ms + sum(term.ms for term in terms),
        score=(Term("age", age_ms), *terms),
        contact_rule=contact_rule,
        requirement=index.in_words(want.requirement),
    )
