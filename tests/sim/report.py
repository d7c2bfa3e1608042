"""The key figures of a simulated day, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from services.routing.core import results
from tests.sim.center_day import CenterDay
from tests.sim.joined_day import JoinedDay
from tests.sim.ledger import Figures

ACTIVITIES = (
    "talking",
    "held",
    "wrap_up",
    "ringing",
    "offered",
    "handling",
    "idle",
    "closing",
    "own_call",
    "unreachable",
    "break",
)
REST = ("timed_out", "full", "no_agent", "closed", "overflowed", "ended_unseen", "failed")


def report(day: CenterDay) -> Iterable[str]:
    """The lines of the report."""
    ledger = day.ledger
    yield "Queues              offered answered  in 20 s  abandoned  short   other  wait all  wait of answered s:   p90     p99  most waiting"
    for queue, figures in sorted(ledger.queues.items(), key=lambda one: -one[1].offered):
        yield _line(f"{queue:19}", figures) + f"  {figures.most_waiting:12}"
    total = Figures()
    for figures in ledger.queues.values():
        total.offered += figures.offered
        total.results.update(figures.results)
        total.waits_ms += figures.waits_ms
        total.wait_ms += figures.wait_ms
        total.in_time += figures.in_time
    yield _line(f"{'all':19}", total)
    yield ""
    yield "Hour                offered answered  in 20 s  abandoned  short   other  wait all  wait of answered s:   p90     p99"
    for hour, figures in sorted(ledger.hours.items()):
        yield _line(f"{hour:02}:00              ", figures)
    yield ""
    yield "Results: " + ", ".join(f"{r} {total.results[r]}" for r in results.RESULTS if total.results[r])
    ends = ledger.offer_ends
    yield "Ends of offers: " + ", ".join(f"{end} {n}" for end, n in ends.most_common())
    yield from _agents(day)
    moved = ledger.facts
    yield (
        f"Passed on: {moved['ContactTransferred']} transfers, {moved['TransferRefused']} refused; "
        f"ways out of queues: {moved['ContactOverflowed']}; reports that came twice: {day.repeats}"
    )
    letters = Counter(c.channel for c in day.callers.values() if c.channel)
    yield (
        "Other channels: "
        + ", ".join(f"{channel} {n}" for channel, n in letters.items())
        + f", at most {day.most_at_hand} at hand; callbacks: {moved['CallbackAnswered']} customers reached"
    )
    yield (
        f"Killed and taken over {day.takeovers} times; all invariants recounted {day.checks} times; "
        f"{ledger.facts.total()} facts audited; findings: {ledger.findings}"
    )
    yield from (f"WRONG: {finding}" for finding in ledger.broken)


def joined_report(day: JoinedDay) -> Iterable[str]:
    """The lines of the report of a rush hour through both cores."""
    ledger = day.ledger
    yield "What callers lived through: " + ", ".join(f"{o} {n}" for o, n in sorted(day.outcomes.items()))
    yield "Ends of offers: " + ", ".join(f"{end} {n}" for end, n in ledger.offer_ends.most_common())
    moved = ledger.facts
    yield (
        f"Passed on: {moved['ContactTransferred']} transfers, {moved['TransferRefused']} refused; "
        f"ways out of queues: {moved['ContactOverflowed']}; callbacks: {moved['CallbackAnswered']} customers reached"
    )
    refused = ", ".join(f"{slug} {n}" for slug, n in sorted(day.refused_wishes.items()))
    yield f"Wishes that were refused: {refused or 'none'}"
    for node in day.nodes.values():
        warnings = ", ".join(f"{event} {n}" for event, n in sorted(node.warnings.items()))
        yield (
            f"{node.name}: {node.inputs} inputs, {node.commands} commands, owner killed {node.deaths} times, "
            f"not listened {len(node.blind_us)} times; warnings: {warnings or 'none'}"
        )
    yield f"Routing's owner killed {day.takeovers} times; {ledger.facts.total()} facts audited; findings: {ledger.findings}"
    yield from (f"WRONG: {finding}" for finding in ledger.broken)


def _line(name: str, figures: Figures) -> str:
    waits = sorted(figures.waits_ms) or [0]
    n, ended = len(waits), max(1, figures.results.total())
    answered = figures.results[results.ANSWERED]
    other = sum(figures.results[r] for r in REST)
    p90, p99 = waits[n * 90 // 100] / 1000, waits[min(n - 1, n * 99 // 100)] / 1000
    return (
        f"{name} {figures.offered:7} {answered:8} {figures.in_time / ended:8.1%}"
        f" {figures.results[results.ABANDONED] / ended:9.1%} {figures.results[results.SHORT_ABANDON] / ended:7.1%}"
        f" {other / ended:7.1%} {figures.wait_ms / ended / 1000:9.1f} {sum(waits) / n / 1000:19.1f} {p90:7.1f} {p99:7.1f}"
    )


def _agents(day: CenterDay) -> Iterable[str]:
    people = [p for p in day.ledger.people.values() if p.paid_us]
    paid_us = sum(p.paid_us for p in people)
    spent = Counter[str]()
    for person in people:
        spent.update(person.spent_us)
    shares = ", ".join(f"{a} {spent[a] / paid_us:.1%}" for a in ACTIVITIES)
    ready_us = paid_us - spent["break"]
    busy_us = ready_us - spent["idle"] - spent["unreachable"] - spent["own_call"]
    contacts = sorted(p.contacts for p in people)
    yield (
        f"Agents: {len(people)}, {paid_us / 3.6e9:.0f} hours, occupied {busy_us / ready_us:.1%} of the time without breaks; "
        f"contacts each {contacts[0]} to {contacts[-1]}, median {contacts[len(contacts) // 2]}"
    )
    yield f"Their time: {shares}"
