"""What queueing theory says exactly about stationary queues; ``test_theory`` holds it against published values.

Notation: calls come as a Poisson stream with rate *lambda*, talks are exponential with mean ``talk_s``, ``agents`` serve in the order
of arrival. Erlang C: callers wait for ever. Erlang A: each leaves after an exponential patience with mean ``patience_s``. Both are
birth-death processes in the number of callers in the system: birth rate lambda, death rate min(k, n) mu + max(0, k - n) theta.
"""

from __future__ import annotations

import math

import msgspec


class Stationary(msgspec.Struct, frozen=True):
    """Of all callers: who has to wait, who leaves, the mean wait in seconds, who is served within the time asked for."""

    waited: float
    mean_wait_s: float
    abandoned: float
    in_time: float
    occupancy: float


def erlang_b(load: float, agents: int) -> float:
    """Share of calls that find all agents busy when nobody waits. ``load`` in Erlang."""
    blocked = 1.0
    for k in range(1, agents + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def erlang_c(load: float, agents: int) -> float:
    """Share of callers who wait when nobody leaves. Raises ValueError when the queue would grow for ever."""
    if load >= agents:
        raise ValueError(f"{load} Erlang for {agents} agents: there is no stationary state")
    blocked = erlang_b(load, agents)
    return blocked / (1 - load / agents * (1 - blocked))


def with_waiting(per_h: float, talk_s: float, agents: int, within_s: float = 20.0) -> Stationary:
    """Erlang C: the wait of those who wait is exponential with rate n mu - lambda."""
    load = per_h / 3600 * talk_s
    waited = erlang_c(load, agents)
    spare = agents - load
    late = waited * math.exp(-spare * within_s / talk_s)
    return Stationary(waited, waited * talk_s / spare, 0.0, 1 - late, load / agents)


def with_patience(
    per_h: float, talk_s: float, patience_s: float, agents: int, within_s: float = 20.0
) -> Stationary:
    """Erlang A, from the stationary distribution; the mean wait by Little's law from the mean number who wait."""
    rate, mu, theta = per_h / 3600, 1 / talk_s, 1 / patience_s
    below = [1.0]
    """Weights of n, n - 1, ... 0 callers in the system, against the weight of n."""
    for k in range(agents, 0, -1):
        below.append(below[-1] * k * mu / rate)
    waiting = [1.0]
    """Weights of n + j callers: j wait."""
    while waiting[-1] > 1e-18 * sum(waiting) or rate > agents * mu + len(waiting) * theta:
        waiting.append(waiting[-1] * rate / (agents * mu + len(waiting) * theta))
    total = sum(below) + sum(waiting) - 1
    found = [w / total for w in waiting]
    number = sum(j * p for j, p in enumerate(found))
    busy = sum(k * w / total for k, w in zip(range(agents, -1, -1), below, strict=True))
    occupancy = (busy + agents * (sum(found) - found[0])) / agents
    waited = sum(found)
    served = sum(p * _served(j, agents * mu, theta, within_s) for j, p in _heavy(found))
    return Stationary(waited, number / rate, theta * number / rate, 1 - waited + served, occupancy)


def _heavy(found: list[float]) -> list[tuple[int, float]]:
    return [(j, p) for j, p in enumerate(found) if p > 1e-12]


def _served(ahead: int, service: float, theta: float, within_s: float) -> float:
    """Chance of being served in time with so many ahead, before the own patience is over.

    Those ahead go one by one with rates ``service + j theta``, the caller leaves with rate theta: a pure death chain, made
    uniform with its fastest rate, whose jumps are then a Poisson process.
    """
    fastest = service + (ahead + 1) * theta
    mean = fastest * within_s
    here = [0.0] * ahead + [1.0]
    done, answer, weight, seen = 0.0, 0.0, math.exp(-mean), 0.0
    jumps = 0
    while seen < 1 - 1e-12 and jumps < 10_000:
        answer += weight * done
        seen += weight
        jumps += 1
        weight *= mean / jumps
        done += here[0] * service / fastest
        moved = [here[j + 1] * (service + (j + 1) * theta) / fastest for j in range(ahead)] + [0.0]
        here = [here[j] * (1 - (service + (j + 1) * theta) / fastest) + moved[j] for j in range(ahead + 1)]
    return answer + (1 - seen) * done


def with_priority(per_h: tuple[float, ...], talk_s: float, agents: int) -> tuple[float, ...]:
    """Mean waits by class when agents take the higher class first and interrupt nobody; equal talks, nobody leaves.

    With sigma the load of a class and all above it against the agents: W = C / (n mu) / ((1 - sigma of those above) (1 - sigma)).
    """
    load = sum(per_h) / 3600 * talk_s
    alone_s = erlang_c(load, agents) * talk_s / agents
    waits, above = [], 0.0
    for rate in per_h:
        upto = above + rate / 3600 * talk_s / agents
        waits.append(alone_s / ((1 - above) * (1 - upto)))
        above = upto
    return tuple(waits)


def student(confidence: float, freedom: int) -> float:
    """Half the width of a two-sided Student interval in standard errors, by integrating the density (Simpson) and bisection."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def inside(upto: float) -> float:
        steps = 400
        width = upto / steps
        heights = [
            scale * math.pow(1 + (k * width) ** 2 / freedom, -(freedom + 1) / 2) for k in range(steps + 1)
        ]
        middle = 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
        return 2 * width / 3 * (heights[0] + middle + heights[-1])

    low, high = 0.0, 200.0
    for _ in range(60):
        half = (low + high) / 2
        low, high = (half, high) if inside(half) < confidence else (low, half)
    return low
