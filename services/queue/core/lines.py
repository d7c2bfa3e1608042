"""The node's calls out: which trunk the next one takes, how many each trunk has, and which gateways rest.

Theory of operation. A *line* is one leg on a trunk, from the decision to dial it until its hangup. It is counted from the decision on,
so two calls decided in the same millisecond never share the last channel. A call that may try several trunks takes a line on each: the
ones behind the first are kept for it until that one is answered, or all is over. What is kept and never appears on the switch is asked
for after a while and given back.

The count is that of the switch: each leg carries its trunk (``cc_trunk``) and the lines that are kept behind it (``cc_then``), and an owner
who comes new to the node counts what it finds. A leg that nobody here decided on (ivr's, when it could not ask) is counted when it
is created.

A gateway whose call failed for a reason that is the way's and not the called party's rests for a while: it is tried last. One that
FreeSWITCH itself says is down (its pings or its registration fail) rests until FreeSWITCH says that it is up, or for some minutes.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from services.center.outside import DIVERTING, Choice, Trunk, Way, choose
from services.queue.core import inputs, legs, outputs
from services.queue.core.node import Node
from services.queue.core.plan import CenterPlan
from services.queue.core.records import TrunkLine
from services.queue.core.trunk_facts import DialRefused, TrunkFailed, TrunkFull

UNSEEN_MS = 10_000  # A leg that was ordered and has not been created for so long is asked for.
REST_MS = 30_000  # A carrier's 503 is often over when its call rate falls; a dead one costs one call in so long a time.
DOWN_MS = 300_000  # Without another word of FreeSWITCH a gateway that is down is tried again after so long.
TIMER = "line"


class Taken(Struct, frozen=True, kw_only=True):
    """The ways that a call may try, in their order; none, and ``refusal`` says why: no-route or trunks-full."""

    ways: tuple[Way, ...] = ()
    refusal: str = ""


def refusal(node: Node, center: CenterPlan, number: str, without: Collection[str] = ()) -> str:
    """Why a number could not be called at this moment (without some trunks); empty when it could."""
    return _choice(node, center, number, without).refusal


def take(
    node: Node,
    center: CenterPlan,
    number: str,
    *,
    purpose: str,
    contact: str,
    leg: str = "",
    caller_id: str = "",
    ours: bool = False,
    agent: str = "",
    without: Collection[str] = (),
    quiet: bool = False,
) -> Taken:
    """Take the lines for one call out, and report what was full or that there is none.

    ``leg``: the UUID of the one leg that the call may have (it tries one trunk, then asks again); without it the call is a bridge of
    FreeSWITCH's that tries several by itself. ``caller_id`` is the number to be shown, ``ours`` whether it is the center's own.
    ``quiet``: the caller has been told of before, and asks again.

    An order that is read again, when its leg was found on the switch already, has the line that the leg is on: FreeSWITCH refuses a
    second leg, and what is booked has to be what is there.
    """
    if (same := _booked(node, center, leg, number, caller_id, ours=ours, without=without)) is not None:
        return Taken(ways=(same,))
    choice = _choice(node, center, number, without)
    trunks = choice.trunks[:1] if leg else choice.trunks
    if not quiet:
        to = trunks[0].name if trunks else ""
        for passed in choice.full:
            node.report(
                center.tenant,
                TrunkFull(
                    contact_id=contact,
                    node=node.name,
                    trunk=passed.trunk,
                    channels=passed.channels,
                    number=number,
                    purpose=purpose,
                    diverted_to=to,
                    at_us=node.at_us,
                ),
                "trunk-full",
                f"{passed.trunk}-{node.at_us}",
            )
        if choice.refusal:
            node.report(
                center.tenant,
                DialRefused(
                    contact_id=contact,
                    node=node.name,
                    number=number,
                    purpose=purpose,
                    reason=choice.refusal,
                    agent_id=agent,
                    at_us=node.at_us,
                ),
                "dial-refused",
                f"{node.at_us}",
            )
    ways = tuple(
        _way(
            trunk,
            (leg or f"{contact}-o{node.at_us:x}{i or ''}") if trunk.name else leg,
            number,
            caller_id,
            ours=ours,
        )
        for i, trunk in enumerate(trunks)
    )
    batch = tuple(way.leg for way in ways)
    for way in ways:
        if way.trunk:
            line = TrunkLine(center.tenant, way.trunk, way.gateway, contact, batch)
            _keep(node, way.leg, line)
    return Taken(ways=ways, refusal=choice.refusal)


def _booked(
    node: Node,
    center: CenterPlan,
    leg: str,
    number: str,
    caller_id: str,
    *,
    ours: bool,
    without: Collection[str],
) -> Way | None:
    """The way of a leg that has its line; None for a new one, and for one whose trunk is not to be tried again."""
    line = node.lines.get(leg)
    if line is None or line.trunk in without:
        return None
    trunk = next((t for t in center.outside.trunks if t.name == line.trunk), None)
    return None if trunk is None else _way(trunk, leg, number, caller_id, ours=ours)


def _way(trunk: Trunk, leg: str, number: str, caller_id: str, *, ours: bool) -> Way:
    return Way(
        leg=leg,
        trunk=trunk.name,
        gateway=trunk.gateway,
        number=trunk.dialled(number),
        caller_id=_shown(trunk, caller_id, ours=ours),
    )


def _shown(trunk: Trunk, caller_id: str, *, ours: bool) -> str:
    """The number to be shown; empty for a caller's own, which FreeSWITCH passes on by itself."""
    shown = trunk.shown(caller_id, ours=ours)
    return shown if ours or shown != caller_id else ""


def _choice(node: Node, center: CenterPlan, number: str, without: Collection[str] = ()) -> Choice:
    def in_use(trunk: str) -> int:
        return sum(line.trunk == trunk and line.tenant == center.tenant for line in node.lines.values())

    resting = {gateway for gateway, until_us in node.resting.items() if until_us > node.at_us}
    return choose(center.outside, number, in_use, resting, without=without)


def _keep(node: Node, leg: str, line: TrunkLine) -> None:
    node.lines[leg] = line
    node.timer(f"{TIMER}:{leg}", UNSEEN_MS)


def give_back(node: Node, leg: str) -> None:
    """The leg will not be, or is over."""
    if node.lines.pop(leg, None) is not None:
        node.cancel_timer(f"{TIMER}:{leg}")


def failed(node: Node, leg: str, cause: str) -> None:
    """The leg has ended, or was never made: its gateway rests when that was the way's doing."""
    line = node.lines.get(leg)
    if line is not None and not line.answered and cause in DIVERTING:
        node.resting[line.gateway] = max(node.resting.get(line.gateway, 0), node.at_us + REST_MS * 1000)
        node.report(
            line.tenant,
            TrunkFailed(
                contact_id=line.contact,
                node=node.name,
                trunk=line.trunk,
                gateway=line.gateway,
                cause=cause,
                rest_ms=REST_MS,
                at_us=node.at_us,
            ),
            "trunk-failed",
            leg,
        )
    give_back(node, leg)


# --- what the switch says -----------------------------------------------------------------------------------------------


def watch(node: Node, event: inputs.Input) -> None:
    """Keep the count right; everybody else hears of the same event."""
    match event:
        case inputs.LegCreated():
            if event.trunk is not None:
                _found(node, event.trunk)
        case inputs.LegAnswered() if event.leg in node.lines:
            line = _seen(node, event.leg)
            line.answered = True
            for other in line.batch:
                if other != event.leg and (kept := node.lines.get(other)) is not None and not kept.seen:
                    give_back(node, other)
        case inputs.LegHungUp():
            failed(node, event.leg, event.cause)
            for leg in [k for k, line in node.lines.items() if line.contact == event.leg and not line.seen]:
                give_back(node, leg)
        case inputs.LegProbed() if event.leg in node.lines:
            if event.alive:
                _seen(node, event.leg).answered |= event.answered
            else:
                give_back(node, event.leg)
        case inputs.ChannelsListed():
            for found in event.trunks:
                if found.leg not in node.gone_legs:
                    _found(node, found)
            for leg, line in node.lines.items():
                if line.seen and leg not in event.present:
                    node.emit(outputs.Probe(contact=line.contact, leg=leg))
        case inputs.GatewayChanged():
            if event.up:
                node.resting.pop(event.gateway, None)
            else:
                node.resting[event.gateway] = node.at_us + DOWN_MS * 1000
        case _:
            return


def _seen(node: Node, leg: str) -> TrunkLine:
    line = node.lines[leg]
    if not line.seen:
        line.seen = True
        node.cancel_timer(f"{TIMER}:{leg}")
    return line


def _found(node: Node, found: legs.TrunkLeg) -> None:
    """A leg on a trunk, decided on here or by somebody else.

    The switch is right about the trunk: an order that is read again before its leg is found chooses anew, from other counts and
    without what had failed, and FreeSWITCH refuses the second leg.
    """
    known = node.lines.get(found.leg)
    if known is None or known.trunk != found.trunk:
        give_back(node, found.leg)
        batch = (found.leg, *(leg for leg, _, _ in found.then))
        node.lines[found.leg] = TrunkLine(found.tenant, found.trunk, found.gateway, found.contact, batch)
        if not found.answered:
            for leg, trunk, gateway in found.then:
                if leg not in node.lines:
                    _keep(node, leg, TrunkLine(found.tenant, trunk, gateway, found.contact, batch))
    _seen(node, found.leg).answered |= found.answered


def unseen(node: Node, leg: str) -> None:
    """A line has been kept for a while and no leg has come."""
    line = node.lines.get(leg)
    if line is None or line.seen:
        return
    if any(other in node.lines and node.lines[other].seen for other in line.batch):
        node.timer(f"{TIMER}:{leg}", UNSEEN_MS)  # The one before it still rings.
    elif not node.link_up:
        node.timer(f"{TIMER}:{leg}", UNSEEN_MS)
    else:
        node.emit(outputs.Probe(contact=line.contact, leg=leg))


def restarted(node: Node) -> None:
    """The switch that had the legs is no more."""
    for leg in list(node.lines):
        give_back(node, leg)
