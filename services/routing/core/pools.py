"""The free agents who may take one kind of contact, in the order in which they come up for it.

There is one pool for each distinct demand (queue, skills, delay) that anybody waits with; an agent who becomes free is put into
those that fit, an agent who is offered something is taken out. Choosing is looking at the front.

What the strategies order by:

=================  ====================================================================================================
longest_idle       who has the least at hand of other channels; then how long the agent has been able to work without doing
                   so, since the last contact or the last that was taken; an offer that came to nothing does not count
ring_all           the same: it says who rings when more are free than may ring at once
fewest_contacts    contacts taken in this shift, then longest idle
least_occupied     who has the least at hand of other channels; then working time of this shift (talk, hold, wrap-up, and
                   shares of other channels for as long as they are at hand) against three quarters of the time logged in:
                   who is furthest below it. Free agents with the same at hand fall behind at the same rate, so the order
                   among them never changes while they wait; a plain quotient would need a scan. And who has just come in
                   is not flooded, because the time before counts as worked at the common rate
linear             the order of the document
round_robin        the order of the document, going on after the agent of the queue's last offer
random_weighted    chance in proportion to the agent's weight, from a hash of contact and attempt: the same in a replay
=================  ====================================================================================================
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from itertools import chain, islice
from typing import NamedTuple, Protocol

from services.routing.core.capacity import WHOLE

Key = tuple[int, int, int, str]
"""The load where it matters, what the strategy orders by, a tie-breaker, then the agent."""

KeyOf = Callable[["Standing"], Key]

OCCUPANCY = (3, 4)
"""The common rate of least_occupied."""


class Standing(NamedTuple):
    """What the strategies look at; fixed while the agent is free."""

    agent_id: str
    rank: int
    """Position in the document."""
    idle_since_us: int
    contacts: int
    """Taken in this shift."""
    work_us: int
    """Working time of this shift; with a load, less what the load would have made of it since the beginning of time."""
    shift_since_us: int
    weight: int
    load: int = 0
    """Shares of other channels at hand, in parts of ``WHOLE``."""


def _by_idle_time(of: Standing) -> Key:
    return (of.load, of.idle_since_us, 0, of.agent_id)


def _by_contacts(of: Standing) -> Key:
    return (0, of.contacts, of.idle_since_us, of.agent_id)


def _by_occupancy(of: Standing) -> Key:
    part, whole = OCCUPANCY
    return (of.load, whole * of.work_us + part * of.shift_since_us, of.idle_since_us, of.agent_id)


def _by_rank(of: Standing) -> Key:
    return (0, of.rank, 0, of.agent_id)


_KEYS: dict[str, KeyOf] = {
    "fewest_contacts": _by_contacts,
    "least_occupied": _by_occupancy,
    "linear": _by_rank,
    "round_robin": _by_rank,
}
"""Where an agent stands among the free; of the other strategies by idle time."""


def key_maker(strategy: str) -> KeyOf:
    """What makes the keys of the strategy's sorted pools."""
    return _KEYS.get(strategy, _by_idle_time)


def value_of(strategy: str, of: Standing, now_us: int) -> int:
    """The same for people: milliseconds, a number of contacts, a position or a weight."""
    if strategy == "fewest_contacts":
        return of.contacts
    if strategy == "least_occupied":
        part, whole = OCCUPANCY
        work_us = of.work_us + of.load * now_us // WHOLE
        return (part * (now_us - of.shift_since_us) // whole - work_us) // 1000
    if strategy in ("linear", "round_robin"):
        return of.rank
    return of.weight if strategy == "random_weighted" else max(0, now_us - of.idle_since_us) // 1000


class Choice(NamedTuple):
    """What a choice depends on beside the pool itself."""

    contact_id: str
    attempt: int
    tried: Collection[str]
    """Agents who have let this contact ring; they come after all others."""
    last_rank: int
    """Rank of the agent of the queue's last offer, -1 when there was none."""


class Pool(Protocol):
    """Free agents of one kind."""

    def add(self, standing: Standing) -> None: ...
    def remove(self, standing: Standing) -> None: ...
    def best(self, choice: Choice) -> str | None:
        """The agent who should take the contact; one who has let it ring only when all have."""
        ...

    def some(self, choice: Choice, number: int) -> list[str]:
        """The first ``number`` agents, for people."""
        ...

    def __len__(self) -> int: ...


class OrderedPool:
    """Free agents by a key; ``rotating`` starts after the agent who was last.

    Whoever has several pools of one strategy may work with ``keys`` (sorted) itself: the key is made once then.
    """

    def __init__(self, key_of: KeyOf, *, rotating: bool = False) -> None:
        self.key_of = key_of
        self.keys: list[Key] = []
        self._rotating = rotating

    def add(self, standing: Standing) -> None:
        insort(self.keys, self.key_of(standing))

    def remove(self, standing: Standing) -> None:
        del self.keys[bisect_left(self.keys, self.key_of(standing))]

    def _in_order(self, choice: Choice) -> Iterator[str]:
        keys = self.keys
        start = bisect_left(keys, (0, choice.last_rank + 1, 0, "")) if self._rotating else 0
        return (keys[n][3] for n in chain(range(start, len(keys)), range(start)))

    def best(self, choice: Choice) -> str | None:
        order = self._in_order(choice)
        if not choice.tried:
            return next(order, None)
        return next((a for a in order if a not in choice.tried), None) or next(self._in_order(choice), None)

    def some(self, choice: Choice, number: int) -> list[str]:
        return list(islice(self._in_order(choice), number))

    def __len__(self) -> int:
        return len(self.keys)


class WeightedPool:
    """Free agents with weights: a Fenwick tree over the positions of the document, so a draw costs O(log n)."""

    def __init__(self, size: int) -> None:
        self._sums = [0] * (size + 1)
        self._top = 1 << size.bit_length()
        self._free: list[tuple[int, str]] = []
        """Rank and agent, by rank."""
        self._known: dict[str, tuple[int, int]] = {}
        """Rank and weight by agent."""

    def add(self, standing: Standing) -> None:
        insort(self._free, (standing.rank, standing.agent_id))
        self._known[standing.agent_id] = (standing.rank, standing.weight)
        self._change(standing.rank, standing.weight)

    def remove(self, standing: Standing) -> None:
        del self._free[bisect_left(self._free, (standing.rank, standing.agent_id))]
        self._change(standing.rank, -self._known.pop(standing.agent_id)[1])

    def _change(self, rank: int, by: int) -> None:
        at = rank + 1
        while at < len(self._sums):
            self._sums[at] += by
            at += at & -at

    def _draw(self, ticket: int) -> int:
        """The rank at which the running sum of the weights passes the ticket."""
        at, step = 0, self._top
        while step:
            if at + step < len(self._sums) and self._sums[at + step] <= ticket:
                at += step
                ticket -= self._sums[at]
            step >>= 1
        return at

    def _total(self) -> int:
        total, at = 0, len(self._sums) - 1
        while at:
            total += self._sums[at]
            at -= at & -at
        return total

    def best(self, choice: Choice) -> str | None:
        if not self._free:
            return None
        left_out = [self._known[a] for a in choice.tried if a in self._known]
        if len(left_out) == len(self._free):
            left_out = []
        for rank, weight in left_out:
            self._change(rank, -weight)
        seed = f"{choice.contact_id}:{choice.attempt}".encode()
        chance = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")
        drawn = self._draw(chance % self._total())
        for rank, weight in left_out:
            self._change(rank, weight)
        return self._free[bisect_left(self._free, (drawn, ""))][1]

    def some(self, choice: Choice, number: int) -> list[str]:
        return [agent_id for _, agent_id in self._free[:number]]

    def __len__(self) -> int:
        return len(self._free)


def new_pool(strategy: str, agents: int) -> Pool:
    """An empty pool for a queue with this strategy, in a document with so many agents."""
    if strategy == "random_weighted":
        return WeightedPool(agents)
    return OrderedPool(key_maker(strategy), rotating=strategy == "round_robin")
