"""Which trunk carries a call to a number outside: the one pure function that everything that dials out asks.

Routes are looked up by the beginning of the number as it is written in the document, the longest that fits; its trunks are tried in
their order. A trunk with as many calls as it has channels is passed over. One that failed lately comes behind all others instead of
being left out: when nothing else is left, trying is better than refusing. What a trunk's carrier wants to see is written by its ``rewrite``.

A center without trunks has one without a name and without a limit: the dial string that the installation is set to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

MOST_WAYS = 3
"""Trunks that one call tries. A caller who has heard three of them fail does not want to hear a fourth."""

NO_ROUTE, FULL = "no-route", "trunks-full"

DIVERTING = (
    "GATEWAY_DOWN",
    "INVALID_GATEWAY",
    "INVALID_PROFILE",
    "NORMAL_TEMPORARY_FAILURE",
    "NORMAL_CIRCUIT_CONGESTION",
    "REQUESTED_CHAN_UNAVAIL",
    "SWITCH_CONGESTION",
    "NETWORK_OUT_OF_ORDER",
    "RECOVERY_ON_TIMER_EXPIRE",
)
"""Causes that say nothing of the called party but of the way there: 500, 503, 408, a gateway that does not answer its pings. Any other
end (busy, no answer, no such number, declined) is the party's own and would be the same by another carrier."""


class Rewrite(Struct, frozen=True, kw_only=True):
    """For numbers that begin with ``prefix``: without their first ``strip`` characters and with ``add`` in front."""

    prefix: str = ""
    strip: int = 0
    add: str = ""


class Trunk(Struct, frozen=True, kw_only=True):
    """A carrier's gateway as one tenant may use it on one node. ``channels`` 0: without limit."""

    name: str = ""
    gateway: str = ""
    channels: int = 0
    rewrite: tuple[Rewrite, ...] = ()
    caller_id: str = ""
    shows_callers: bool = True

    def dialled(self, number: str) -> str:
        """The number as the carrier wants it: by the first rewrite that fits."""
        for rule in self.rewrite:
            if number.startswith(rule.prefix):
                return rule.add + number[rule.strip :]
        return number

    def shown(self, number: str, *, ours: bool) -> str:
        """The number that the called party sees. ``ours``: it is one of the center's, not a caller's."""
        return number if number and (ours or self.shows_callers) else self.caller_id or number


class Route(Struct, frozen=True, kw_only=True):
    """Numbers that begin with ``prefix`` go by these trunks, in this order."""

    prefix: str = ""
    trunks: tuple[str, ...] = ()


class Outside(Struct, frozen=True, kw_only=True):
    """All trunks and routes of a tenant. Without routes every number goes by all trunks."""

    trunks: tuple[Trunk, ...] = ()
    routes: tuple[Route, ...] = ()

    def carrying(self, number: str) -> tuple[Trunk, ...]:
        """The trunks for a number, best first; without trunks the nameless one."""
        if not self.trunks:
            return (Trunk(),)
        if not self.routes:
            return self.trunks
        fits = [route for route in self.routes if number.startswith(route.prefix)]
        if not fits:
            return ()
        named = {trunk.name: trunk for trunk in self.trunks}
        return tuple(named[name] for name in max(fits, key=lambda route: len(route.prefix)).trunks)


class Passed(Struct, frozen=True, kw_only=True):
    """A full trunk that a call did not take."""

    trunk: str
    channels: int


class Choice(Struct, frozen=True, kw_only=True):
    """The trunks to try, in their order; none, and then ``refusal`` says why: no-route or trunks-full."""

    trunks: tuple[Trunk, ...] = ()
    full: tuple[Passed, ...] = ()
    refusal: str = ""


def choose(
    outside: Outside,
    number: str,
    in_use: Callable[[str], int],
    resting: Collection[str] = (),
    *,
    without: Collection[str] = (),
) -> Choice:
    """Return the trunks by which a number can be called now.

    ``in_use`` is how many calls a trunk has, by its name; ``resting`` are the gateways that failed lately; ``without`` the trunks
    that this very call has tried.
    """
    carrying = outside.carrying(number)
    if not carrying:
        return Choice(refusal=NO_ROUTE)
    free: list[Trunk] = []
    full: list[Passed] = []
    for trunk in carrying:
        if trunk.name in without:
            continue
        if trunk.channels and in_use(trunk.name) >= trunk.channels:
            full.append(Passed(trunk=trunk.name, channels=trunk.channels))
        else:
            free.append(trunk)
    free.sort(key=lambda trunk: trunk.gateway in resting)
    return Choice(trunks=tuple(free[:MOST_WAYS]), full=tuple(full), refusal="" if free else FULL)


class Way(Struct, frozen=True, kw_only=True):
    """One trunk that a call tries. ``leg`` is the UUID that its leg gets; empty: FreeSWITCH's own choice."""

    leg: str = ""
    trunk: str = ""
    gateway: str = ""
    number: str
    caller_id: str = ""

    def dial(self, template: str) -> str:
        """The endpoint; ``template``, with ``{number}``, is that of an installation whose center has no trunks."""
        if not self.gateway:
            return template.format(number=self.number)
        return f"sofia/gateway/{self.gateway}/{self.number}"


def leg_variables(way: Way, tenant: str, contact: str, then: Sequence[Way] = ()) -> dict[str, str]:
    """What the leg of a trunk carries, so that whoever owns the node counts it, and what would be tried after it."""
    if not way.trunk:
        return {}
    values = {
        "cc_trunk": way.trunk,
        "cc_gateway": way.gateway,
        "cc_tenant": tenant,
        "cc_contact": contact,
        "cc_then": " ".join(f"{other.leg}:{other.trunk}:{other.gateway}" for other in then if other.leg),
    }
    return {name: value for name, value in values.items() if value}


def bridge_string(ways: Sequence[Way], template: str, tenant: str, contact: str, ring_s: int = 0) -> str:
    """The argument of the application ``bridge`` that tries the ways one after the other.

    With ``fail_on_single_reject=!<causes>`` FreeSWITCH goes on after these causes and no others (switch_ivr_originate.c looks for the
    cause's name within that text): a busy party is not called again by the next carrier.
    """
    shared = {"originate_timeout": str(ring_s)} if ring_s else {}
    if len(ways) > 1:
        shared["fail_on_single_reject"] = "!" + ".".join(DIVERTING)
    groups = []
    for i, way in enumerate(ways):
        own = leg_variables(way, tenant, contact, ways[i + 1 :])
        if way.leg:
            own |= {"origination_uuid": way.leg}
        if way.trunk:
            own |= {
                "cc_role": "trunk",
                "presence_data": f"o/{tenant}/{contact}",
                "accountcode": contact,
            }
        if way.caller_id:
            own |= {"origination_caller_id_number": way.caller_id}
        groups.append(_brackets("[]", own) + way.dial(template))
    return _brackets("{}", shared) + "|".join(groups)


def _brackets(kind: str, values: dict[str, str]) -> str:
    """All values are tokens, numbers and UUIDs: nothing in them has a meaning to FreeSWITCH."""
    inner = ",".join(f"{name}={value}" for name, value in values.items())
    return f"{kind[0]}{inner}{kind[1]}" if inner else ""
