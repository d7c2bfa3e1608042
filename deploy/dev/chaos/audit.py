"""What did the faults do to people? A pure comparison of the switches' ledgers with the log, call by call and agent by agent.

The ledgers are written by the simulated switches alone and know only what the switch and the people on the phones did. A call that ended
with its FreeSWITCH node (cause CRASH) is nobody's fault but the fault's. Everything else is held against these rules:

dropped_talking  somebody who talked was cut off: a bridge ended although neither of the two had put down
lost             a caller who had not talked yet, or whose agent's node went down, was hung up on, was forgotten (waited longer than
                 anybody has to), or lost the place in line
double_offers    two calls of one agent at the same time, or an offer without exactly one end
stuck            an agent, a contact or a leg that is still busy when everything is over
mismatched       ClickHouse says something else than the ledger and the streams, or has a fact not once

One thing the books may leave open: how a call ended whose end fell into a time in which nobody could see its node (``blind``, see sight.py).
They must say so then (*ended unseen*), and how many such calls there were is part of the verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.dev.balance import Account, Books, Call, balance

CRASH: Final = "CRASH"
"""What the ledger calls the end of a leg that went down with its switch."""
PLACE_US: Final = 2_000_000
"""So far the place in line may be from the moment at which the caller was parked."""
LONGEST_US: Final = 45_000_000
"""So long nobody has to wait where agents are plenty, besides the time for which the caller's node could not be reached."""
OVERLAP_US: Final = 250_000
"""So long two legs of an agent may be there together: a CANCEL or BYE is on its way."""
PERSONS: Final = ("caller", "agent")

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that must not be. ``kind`` is one of the five names; ``contact`` may be empty."""

    kind: str
    contact: str
    text: str


@dataclass(frozen=True)
class Span:
    """From when to when something was away, in µs."""

    what: str
    began_us: int
    until_us: int


@dataclass
class Ledgers:
    """The lines of all nodes."""

    lines: Sequence[Line]
    calls: list[Line] = field(init=False)
    legs: dict[str, Line] = field(init=False)
    claims: dict[str, list[Line]] = field(init=False)
    """Agents' legs by the contact that they name."""
    repeated: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.calls = [line for line in self.lines if line["kind"] == "call"]
        legs = [line for line in self.lines if line["kind"] == "leg"]
        self.legs = {line["leg"]: line for line in legs}
        self.claims = defaultdict(list)
        for leg in legs:
            if leg["direction"] == "outbound" and leg["claimed_contact"]:
                self.claims[leg["claimed_contact"]].append(leg)
        self.repeated = sorted(leg for leg, n in Counter(line["leg"] for line in legs).items() if n > 1)

    def phones(self, leg: Line) -> list[Line]:
        """The legs of the agent's phone on another node, when the caller's node reaches it through that one."""
        return [
            other
            for other in self.claims.get(leg["claimed_contact"], ())
            if other["node"] != leg["node"]
            and other["destination"] == leg["destination"]
            and other["created_us"] < leg["ended_us"]
            and leg["created_us"] < other["ended_us"]
        ]

    def forsaken_us(self, leg: Line) -> int:
        """When the node went down for which this leg rings at the agent's own: it rings for nobody from then on, and no CANCEL comes."""
        ends = [
            other["ended_us"]
            for other in self.claims.get(leg["claimed_contact"], ())
            if other["node"] != leg["node"]
            and other["destination"] == leg["destination"]
            and other["cause"] == CRASH
            and other["created_us"] <= leg["created_us"] < other["ended_us"]
        ]
        return min(ends, default=1 << 62)

    def left_us(self, leg: Line) -> int:
        """When the caller had left for whom the agent answered without ever talking: who is told so for two seconds has no call."""
        caller = self.legs.get(leg["claimed_contact"])
        if caller is None or not leg["answered_us"] or leg["first_bridge_us"] or not caller["hung_up_us"]:
            return 1 << 62
        return int(max(caller["hung_up_us"], leg["answered_us"]))

    def went_down(self, call: Line, bridge: Line) -> bool:
        """Whether the caller's leg or a leg of the agent's went down with its switch."""
        agent = self.legs.get(bridge["agent_leg"])
        legs = [agent, *self.phones(agent)] if agent is not None else []
        return call["cause"] == CRASH or any(leg["cause"] == CRASH for leg in legs)

    def crashed(self, call: Line) -> bool:
        """Whether the call went down with a switch, or a conversation in it."""
        return call["cause"] == CRASH or any(self.went_down(call, bridge) for bridge in call["bridges"])


@dataclass(frozen=True)
class Logged:
    """A fact of routing's log: its kind (the name of the field in ``Fact``), its fields, and when it was decided."""

    kind: str
    fields: Mapping[str, Any]
    at_us: int


@dataclass(frozen=True)
class Verdict:
    """The outcome, with the size of what was judged. ``crashed``: calls that went down with a switch; ``unseen``: calls whose end the
    books leave open because nobody could see it."""

    findings: tuple[Finding, ...]
    calls: int
    answered: int
    abandoned: int
    crashed: int
    unseen: int
    offers: int
    facts: int
    longest_wait_s: float

    def count(self, kind: str) -> int:
        """How many findings of a kind there are."""
        return sum(f.kind == kind for f in self.findings)


def _ended_by_a_person(ledgers: Ledgers, call: Line, bridge: Line) -> bool:
    caller, agent = ledgers.legs.get(call["call_id"]), ledgers.legs.get(bridge["agent_leg"])
    # Through another node the agent puts down there, and the leg at the caller's node only follows.
    agents = (ledgers.phones(agent) or [agent]) if agent is not None else []
    return any(
        leg["ended_by"] in PERSONS and 0 < leg["hung_up_us"] <= bridge["unbridged_us"]
        for leg in ([caller] if caller is not None else []) + agents
    )


def dropped(ledgers: Ledgers) -> Iterable[Finding]:
    """Conversations that neither side ended."""
    for call in ledgers.calls:
        for bridge in call["bridges"]:
            agent = ledgers.legs.get(bridge["agent_leg"])
            if not ledgers.went_down(call, bridge) and not _ended_by_a_person(ledgers, call, bridge):
                yield Finding(
                    "dropped_talking",
                    call["call_id"],
                    f"the conversation with {bridge['agent_extension']} ended after "
                    f"{(bridge['unbridged_us'] - bridge['bridged_us']) / 1e6:.1f} s and nobody had put down; the caller's leg: "
                    f"{call['cause']} by {call['ended_by']}, the agent's: "
                    + (f"{agent['cause']} by {agent['ended_by']}" if agent else "not in the ledger"),
                )


def waits(ledgers: Ledgers, away: Sequence[Span]) -> Iterable[Finding]:
    """Callers who were hung up on in the menu or in line, or whom nobody came for."""
    for call in ledgers.calls:
        if call["cause"] == CRASH:
            continue
        # Who was torn out of a conversation by the end of the agent's node waits again.
        if call["ended_by"] != "caller" and (
            not call["bridges"] or ledgers.went_down(call, call["bridges"][-1])
        ):
            since_us = call["bridges"][-1]["unbridged_us"] if call["bridges"] else call["waiting_us"]
            yield Finding(
                "lost",
                call["call_id"],
                (f"waited {(call['ended_us'] - since_us) / 1e6:.1f} s" if since_us else "was in the menu")
                + f" and was hung up on: {call['cause']} by {call['ended_by']}",
            )
        if not call["waiting_us"]:
            continue
        until_us = call["bridges"][0]["bridged_us"] if call["bridges"] else call["ended_us"]
        excused_us = sum(
            max(0, min(until_us, s.until_us) - max(call["waiting_us"], s.began_us))
            for s in away
            if s.what == call["node"]
        )
        if until_us - call["waiting_us"] - excused_us > LONGEST_US:
            yield Finding(
                "lost",
                call["call_id"],
                f"waited {(until_us - call['waiting_us']) / 1e6:.1f} s"
                + (f", {excused_us / 1e6:.1f} s of it while {call['node']} was away" if excused_us else "")
                + ("" if call["bridges"] else ", and left"),
            )


def places(ledgers: Ledgers, log: Sequence[Logged], away: Sequence[Span] = ()) -> Iterable[Finding]:
    """Callers who were sent back in line, or put before others.

    ivr's word that a caller waits makes the place (adr/0027); to a switch that is cut off the order to park them comes when it is back.
    """
    parked = {call["call_id"]: call for call in ledgers.calls if call["waiting_us"]}
    for fact in log:
        if fact.kind != "contact_queued" or fact.fields["contact_id"] not in parked:
            continue
        contact = fact.fields["contact_id"]
        call = parked[contact]
        said_us = int(fact.fields["waiting_since_us"])
        behind_us = said_us - call["waiting_us"]
        behind_us += sum(
            max(0, min(call["waiting_us"], s.until_us) - max(said_us, s.began_us))
            for s in away
            if s.what == call["node"]
        )
        if abs(behind_us) > PLACE_US:
            yield Finding(
                "lost",
                contact,
                f"the place in line is {behind_us / 1e6:+.1f} s from the moment at which the caller was parked",
            )


def agents_legs(ledgers: Ledgers) -> Iterable[Finding]:
    """Agents whose phone rang or who talked for one call while there was another. A leg that is only kept for a key does not count."""
    spans: dict[str, list[tuple[int, int, Line]]] = defaultdict(list)
    for call in ledgers.calls:
        for bridge in call["bridges"]:
            if (leg := ledgers.legs.get(bridge["agent_leg"])) is not None:
                spans[leg["destination"]].append((bridge["bridged_us"], bridge["unbridged_us"], leg))
    for leg in ledgers.legs.values():
        if leg["direction"] == "outbound" and leg["claimed_contact"]:
            until_us = leg["first_bridge_us"] or leg["hung_up_us"] or leg["ended_us"]
            until_us = min(until_us, ledgers.forsaken_us(leg), ledgers.left_us(leg))
            if leg["cause"] == "USER_BUSY":
                # Refused at once by a phone that is in use: a second call, however short.
                until_us = max(until_us, leg["created_us"] + OVERLAP_US + 1)
            spans[leg["destination"]].append((leg["created_us"], until_us, leg))
    for agent, found in sorted(spans.items()):
        found.sort(key=lambda span: span[:2])
        for n, (_, until_us, one) in enumerate(found):
            for began_us, other_until_us, other in found[n + 1 :]:
                together_us = min(until_us, other_until_us) - began_us
                same = other["leg"] == one["leg"] or (
                    other["claimed_contact"] == one["claimed_contact"] and other["node"] != one["node"]
                )
                if together_us > OVERLAP_US and not same:
                    yield Finding(
                        "double_offers",
                        other["claimed_contact"],
                        f"{agent} had the leg {one['leg']} (of {one['claimed_contact']}) and the leg {other['leg']} for "
                        f"{together_us / 1e6:.2f} s together",
                    )
    for leg_id in ledgers.repeated:
        yield Finding(
            "double_offers", ledgers.legs[leg_id]["claimed_contact"], f"the leg {leg_id} was there twice"
        )


def offers_ends(log: Sequence[Logged]) -> Iterable[Finding]:
    """Offers without exactly one end."""
    made: dict[str, str] = {}
    ends: Counter[str] = Counter()
    for fact in log:
        if fact.kind == "offer_made":
            if fact.fields["offer_id"] in made:
                yield Finding(
                    "double_offers", fact.fields["contact_id"], f"{fact.fields['offer_id']} was made twice"
                )
            made[fact.fields["offer_id"]] = fact.fields["contact_id"]
        elif fact.kind == "offer_ended":
            ends[fact.fields["offer_id"]] += 1
    for offer, contact in made.items():
        if ends[offer] != 1:
            yield Finding("double_offers", contact, f"offer {offer} has {ends[offer]} ends")
    for offer in ends.keys() - made.keys():
        yield Finding("double_offers", "", f"offer {offer} ended and was never made")


def _within(blind: Sequence[Span], node: str, *moments_us: int) -> bool:
    """Whether all these moments fell into one time in which nobody could see the node."""
    return any(s.what == node and all(s.began_us <= at <= s.until_us for at in moments_us) for s in blind)


def unseen(ledgers: Ledgers, blind: Sequence[Span]) -> set[str]:
    """Calls of which the books need not know how they ended: nobody saw the end, and of a conversation nobody saw anything."""
    return {
        call["call_id"]
        for call in ledgers.calls
        if not ledgers.crashed(call)
        and _within(blind, call["node"], call["ended_us"], *(b["bridged_us"] for b in call["bridges"]))
    }


def unrecorded(ledgers: Ledgers, idle: Sequence[Span]) -> set[str]:
    """Calls without a recording: queue starts it at the bridge, and these conversations were over before anybody could."""
    return {
        call["call_id"]
        for call in ledgers.calls
        if call["bridges"]
        and all(_within(idle, call["node"], b["bridged_us"], b["unbridged_us"]) for b in call["bridges"])
    }


def books_of(
    ledgers: Ledgers,
    agents: Mapping[str, str],
    books: Books,
    stream_facts: Sequence[str],
    blind: Sequence[Span] = (),
    idle: Sequence[Span] = (),
    crashes: Sequence[Span] = (),
) -> Iterable[Finding]:
    """What ClickHouse says otherwise. Legs that went down with their switch left no record, and calls of theirs no true end."""
    calls = []
    crashed = {call["call_id"] for call in ledgers.calls if ledgers.crashed(call)}
    left_open = unseen(ledgers, blind) & {c.contact_id for c in books.contacts if c.outcome == "ended_unseen"}
    silent = unrecorded(ledgers, idle) - {r.contact_id for r in books.recordings}
    for call in ledgers.calls:
        outcome, agent = "other", ""
        if call["call_id"] in left_open:
            pass
        elif call["bridges"]:
            outcome = "answered"
            agent = agents.get(call["bridges"][-1]["agent_extension"], call["bridges"][-1]["agent_extension"])
        elif call["ended_by"] == "caller":
            outcome = "abandoned"
        calls.append(Call(call["call_id"], outcome, agent))
    # A record is written after the end: of a leg that ended while its switch was being killed there may be none.
    no_record = {leg_id for leg_id, leg in ledgers.legs.items() if leg["cause"] == CRASH} | {
        leg_id
        for leg_id in ledgers.legs.keys() - set(books.legs)
        if _within(crashes, ledgers.legs[leg_id]["node"], ledgers.legs[leg_id]["ended_us"])
    }
    account = Account(
        calls=[c for c in calls if c.contact_id not in crashed],
        legs=[leg for leg in ledgers.legs if leg not in no_record],
    )
    compared = balance(
        account,
        Books(
            contacts=[c for c in books.contacts if c.contact_id not in crashed],
            legs=[leg for leg in books.legs if leg not in no_record],
            recordings=[r for r in books.recordings if r.contact_id not in crashed],
            facts=books.facts,
        ),
        stream_facts,
    )
    known = {call["call_id"] for call in ledgers.calls}
    for text in compared.findings:
        if text in {f"lost: recording of {call} is not in ClickHouse" for call in silent}:
            continue
        contact = next((word for word in text.replace(":", " ").split() if word in known), "")
        yield Finding("mismatched", contact, text)
    for row in books.contacts:
        if row.contact_id in crashed and row.outcome == "open":
            yield Finding(
                "mismatched", row.contact_id, "went down with its switch and is still open in the books"
            )


def judge(
    ledgers: Ledgers,
    log: Sequence[Logged],
    agents: Mapping[str, str],
    books: Books | None,
    stream_facts: Sequence[str],
    away: Sequence[Span],
    stuck: Sequence[Finding],
    blind: Sequence[Span] = (),
    idle: Sequence[Span] = (),
    crashes: Sequence[Span] = (),
) -> Verdict:
    """All rules together; without ``books`` those of ClickHouse are left out. ``away``: when a node was; ``blind``: when nobody could see
    what happened on one; ``idle``: when nobody could do anything there; ``crashes``: from the order to kill one until it was back."""
    answered = [c for c in ledgers.calls if c["bridges"]]
    waited = [
        (c["bridges"][0]["bridged_us"] if c["bridges"] else c["ended_us"]) - c["waiting_us"]
        for c in ledgers.calls
        if c["waiting_us"]
    ]
    return Verdict(
        findings=(
            *dropped(ledgers),
            *waits(ledgers, away),
            *places(ledgers, log, away),
            *agents_legs(ledgers),
            *offers_ends(log),
            *stuck,
            *(
                books_of(ledgers, agents, books, stream_facts, blind, idle, crashes)
                if books is not None
                else ()
            ),
        ),
        calls=len(ledgers.calls),
        answered=len(answered),
        abandoned=sum(not c["bridges"] and c["ended_by"] == "caller" for c in ledgers.calls),
        crashed=sum(map(ledgers.crashed, ledgers.calls)),
        unseen=len(
            unseen(ledgers, blind) & {c.contact_id for c in books.contacts if c.outcome == "ended_unseen"}
        )
        if books is not None
        else 0,
        offers=sum(f.kind == "offer_made" for f in log),
        facts=len(stream_facts),
        longest_wait_s=round(max(waited, default=0) / 1e6, 1),
    )
