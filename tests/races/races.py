"""Every race of a call that is known, as a story that runs on the simulated and on the real switch.

The stories are told once, here; ``tests/integration/test_call_races.py`` runs them on the simulated switch and
``tests/freeswitch/test_races.py`` on a real one with SIPp, each on the whole way from the caller's INVITE to routing's log. After each of
them the same must hold (``World.at_rest``, ``books.complaints``): exactly one end an offer and a contact, no agent in two places, no leg
left, nobody stuck, and every agent is idle and can be offered again.

==========================================================  ===========================================================
race                                                        where else
==========================================================  ===========================================================
the caller leaves as the bridge is made (-60 to +180 ms)    unit: test_caller_hangs_up_while_the_bridge_is_made
the agent leaves as the bridge is made (0 to 120 ms)        unit: test_agent_hangs_up_while_the_bridge_is_made
both leave at once                                          property: test_queue_engine
the caller leaves before the agent's channel exists         unit: test_caller_hangs_up_before_freeswitch_has_the_agents_channel
two phones answer at once (ring_all)                        unit: test_two_phones_answer_at_once_and_one_has_the_call
the answer against the end of the ring time                 unit: test_an_offer_is_over_only_with_its_job
the answer against the withdrawal (longest wait is over)    unit: test_routing_withdraws_while_the_bridge_is_made
a key of the caller as the bridge is made                   unit: test_a_key_is_too_late_once_an_agent_has_answered
the target of a transfer leaves as it answers               unit: test_whoever_leaves_after_whichever_step
the caller leaves a consultation as it begins               unit: test_whoever_leaves_after_whichever_step
who asks leaves a consultation as it begins                 unit: test_whoever_leaves_after_whichever_step
somebody leaves as the conference is made                   unit: test_whoever_leaves_after_whichever_step
a hold as one of the two hangs up                           unit: test_whoever_leaves_after_whichever_step
a supervisor joins as the call ends                         unit: test_the_caller_leaves_while_the_supervisor_is_rung
the customer who is called back leaves as the agent answers unit: test_queue_callbacks
the event socket is lost between setvars and bridge         simulated switch only: ``the_socket_breaks_as_the_bridge_is_made``
a process is killed between any two commands                unit: test_killed_between_every_two_commands; real: test_kills
the job overtakes the answer; a bridge that never comes     unit: test_queue_races
a leg is transferred in the middle of its bridge            both switches alone: ``tests/races/bridging.py``
==========================================================  ===========================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.races.books import outcomes
from tests.races.world import EXTENSIONS, POOL, Seen, World, sweep

RING_MS = 300
SETTLED_MS = 700  # Beyond every bridge of a switch that is not overloaded; who talks then, talks.

Race = Callable[[World], Awaitable[None]]


async def _ended_as_seen(w: World, contacts: list[str]) -> None:
    """Who was bridged before the end was answered, and nobody else."""
    closed = await w.closed(contacts)
    for contact in contacts:
        result, bridged = closed[contact].result, w.bridged(contact)
        assert (result == "answered") is bridged, (contact, result, bridged, outcomes(await w.log(), contact))
        assert result in ("answered", "abandoned", "short_abandon"), result


async def _as_the_switch_does(w: World, contacts: list[str]) -> None:
    """What queue says of each contact is what its leg does: it is in a bridge, or it is not."""

    async def agree() -> bool:
        now = await w.calls()
        for contact in contacts:
            joined = await _is_joined(w, contact)
            if now.get(contact) not in (("talking",) if joined else ("waiting", "offered", None)):
                return False
        return True

    await w.until("queue and the switch say the same", agree)


async def _is_joined(w: World, contact: str) -> bool:
    partner = (await w.api(f"uuid_getvar {contact} bridge_uuid")).strip()
    if partner.startswith(("-ERR", "_undef_")) or not partner:
        return False
    return "true" in await w.api(f"uuid_exists {partner}") and any(
        s.name == "CHANNEL_BRIDGE" and {contact, partner} == {s.leg, _other(s)} for s in w.seen
    )


def _other(seen: Seen) -> str:
    a, b = seen.headers.get("Bridge-A-Unique-ID", ""), seen.headers.get("Bridge-B-Unique-ID", "")
    return b if a == seen.leg else a


# --- the bridge ------------------------------------------------------------------------------------------------------


async def the_caller_leaves_as_the_bridge_is_made(w: World) -> None:
    await w.phones(RING_MS)
    w.on("CHANNEL_PROGRESS", "agent", sweep(RING_MS - 60, RING_MS + 180), lambda s: w.hang_up(s.contact))
    contacts = await w.callers(8)
    await _ended_as_seen(w, contacts)


async def the_agent_leaves_as_the_bridge_is_made(w: World) -> None:
    """All ten agents leave. The caller had talked, or hears music again, and then talks with whoever is free first."""
    await w.phones(RING_MS)
    w.on("CHANNEL_ANSWER", "agent", sweep(0, 120, 10), lambda s: w.hang_up(s.leg))
    contacts = await w.callers(10)
    await w.acted()
    await asyncio.sleep(SETTLED_MS / 1000)  # nobody is offered again before a second is over
    now = await w.calls()

    async def music_again() -> bool:
        still = [c for c, state in (await w.calls()).items() if state == now.get(c) == "waiting"]
        return all([await w.hears_music(c) for c in still])

    await w.until("whoever waits hears music", music_again, 4)
    await w.become(contacts, "talking", "gone")
    closed = await w.end(contacts)
    assert {c.result for c in closed.values()} == {"answered"}


async def both_leave_at_once(w: World) -> None:
    await w.phones(RING_MS)

    async def both(seen: Seen) -> None:
        first, second = (seen.contact, seen.leg) if next(turns) else (seen.leg, seen.contact)
        await asyncio.gather(w.hang_up(first), w.hang_up(second))

    turns = iter([True, False] * 8)
    w.on("CHANNEL_BRIDGE", "agent", sweep(0, 600), both)
    contacts = await w.callers(8)
    closed = await w.closed(contacts)
    assert {c.result for c in closed.values()} == {"answered"}
    assert {c.ended_by for c in closed.values()} <= {"caller", "agent"}


async def a_key_of_the_caller_as_the_bridge_is_made(w: World) -> None:
    """The key leads to another queue, which nobody serves: a contact is there, or talks."""
    await w.phones(RING_MS)
    w.on("CHANNEL_PROGRESS", "agent", sweep(RING_MS - 160, RING_MS + 160), lambda s: w.press(s.contact, "5"))
    contacts = await w.callers(8)
    await w.acted()
    await asyncio.sleep(SETTLED_MS / 1000)  # a bridge that is under way
    await _as_the_switch_does(w, contacts)
    await w.end(contacts)
    await _ended_as_seen(w, contacts)


# --- offers ----------------------------------------------------------------------------------------------------------


async def the_caller_leaves_before_the_agents_channel_exists(w: World) -> None:
    await w.phones(2_000)
    w.on("peyvand::waiting", "caller", sweep(0, 105), lambda s: w.hang_up(s.leg))
    contacts = await w.callers(8)
    closed = await w.closed(contacts)
    assert {c.result for c in closed.values()} <= {"abandoned", "short_abandon"}


async def two_phones_answer_at_once(w: World) -> None:
    """Nine phones ring for three callers and are answered in the same moment: three talk, the others are free again."""
    await w.phones(RING_MS)
    contacts = await w.talking(3, "2083")

    async def one_each() -> bool:
        log = await w.log()
        return all(sorted(outcomes(log, c)) == ["accepted", "withdrawn", "withdrawn"] for c in contacts)

    await w.until("one of three has each call", one_each)
    await _as_the_switch_does(w, contacts)
    await w.end(contacts)


async def the_answer_against_the_end_of_the_ring_time(w: World) -> None:
    """The queue rings for five seconds, and that is when the phones are answered: who was in time talks, the others wait on."""
    await w.phones((4_850, 5_150))
    contacts = await w.callers(8, "2082")

    async def every_offer_is_over() -> bool:
        log = await w.log()
        return all(outcomes(log, contact) for contact in contacts)

    await w.until("every first offer is over", every_offer_is_over)
    await asyncio.sleep(SETTLED_MS / 1000)  # a bridge that is under way
    await _as_the_switch_does(w, contacts)
    await w.end(contacts)
    await _ended_as_seen(w, contacts)


async def the_answer_against_the_withdrawal(w: World) -> None:
    """After two seconds the queue gives its callers away, to one that nobody serves, and that is when the phones are answered."""
    await w.phones((1_700, 2_200))
    contacts = await w.callers(8, "2084")
    await asyncio.sleep(2.5 + SETTLED_MS / 1000)  # the limit of the queue, and a bridge that is under way
    await _as_the_switch_does(w, contacts)
    await w.end(contacts)
    closed = await w.closed(contacts)
    assert {c.result for c in closed.values()} <= {"answered", "abandoned", "short_abandon"}


async def the_customer_who_is_called_back_leaves_as_the_agent_answers(w: World) -> None:
    """The agent was reserved before the customer was called, and is free again whenever the customer leaves."""
    await w.phones(RING_MS)
    await w.customers()
    for agent in POOL:
        await w.away(agent)
    asked = await w.callers(5, "2086")
    await asyncio.gather(*(w.press(contact, "71") for contact in asked))
    assert {c.result for c in (await w.closed(asked)).values()} == {"callback_taken"}
    called = [f"{contact}-cb1" for contact in asked]
    w.contacts += called
    w.on("CHANNEL_PROGRESS", "agent", sweep(RING_MS - 60, RING_MS + 180, 5), lambda s: w.hang_up(s.contact))
    for agent in POOL:
        await w.available(agent)
    await _ended_as_seen(w, called)


# --- beside a caller -------------------------------------------------------------------------------------------------


async def _told(w: World, leg: str) -> bool:
    return w.told(leg, "caller-left")


def _free(w: World, taken: set[str]) -> list[str]:
    return [agent for agent in POOL if agent not in taken]


async def _pairs(w: World, calls: int) -> dict[str, tuple[str, str]]:
    """Callers in conversation: their agent, and one who is free, by contact."""
    await w.phones(100)
    contacts = await w.talking(calls)
    first = {s.contact: s.agent for s in w.seen if s.name == "CHANNEL_BRIDGE" and s.role == "agent"}
    free = _free(w, set(first.values()))
    return {contact: (first[contact], free[n]) for n, contact in enumerate(contacts)}


async def the_target_of_a_transfer_leaves_as_it_answers(w: World) -> None:
    """The caller is back in line and talks with whoever is free next."""
    pairs = await _pairs(w, 5)
    targets = {target for _, target in pairs.values()}
    w.on(
        "CHANNEL_ANSWER", "agent", sweep(0, 120, 5), lambda s: w.hang_up(s.leg), lambda s: s.agent in targets
    )
    wishes = (
        w.wish(contact, "transfer", kind="agent", target=target) for contact, (_, target) in pairs.items()
    )
    assert {answer["http"] for answer in await asyncio.gather(*wishes)} == {200}
    await w.acted()
    await w.become(list(pairs), "talking", "gone")
    await w.end(list(pairs))


async def the_caller_leaves_a_consultation_as_it_begins(w: World) -> None:
    pairs = await _pairs(w, 5)
    w.on(
        "CHANNEL_ANSWER",
        "agent",
        sweep(0, 160, 5),
        lambda s: w.hang_up(s.contact),
        lambda s: s.contact in pairs,
    )
    wishes = (w.wish(contact, "consult", agent=target) for contact, (_, target) in pairs.items())
    assert {answer["http"] for answer in await asyncio.gather(*wishes)} == {200}
    closed = await w.closed(list(pairs))
    assert {(c.result, c.agent_id) for c in closed.values()} == {("answered", a) for a, _ in pairs.values()}
    for contact, (_, target) in pairs.items():
        (leg,) = {
            s.leg for s in w.seen if s.name == "CHANNEL_ANSWER" and (s.contact, s.agent) == (contact, target)
        }
        await w.until(f"{target} is told that the caller has left", lambda leg=leg: _told(w, leg), 4)


async def who_asks_leaves_a_consultation_as_it_begins(w: World) -> None:
    """The caller talks with the colleague, or with whoever is free next."""
    pairs = await _pairs(w, 5)

    async def leave(seen: Seen) -> None:
        await w.hang_up(w.agent_leg(seen.contact, pairs[seen.contact][0]))

    w.on("CHANNEL_ANSWER", "agent", sweep(0, 160, 5), leave, lambda s: s.agent == pairs[s.contact][1])
    wishes = (w.wish(contact, "consult", agent=target) for contact, (_, target) in pairs.items())
    assert {answer["http"] for answer in await asyncio.gather(*wishes)} == {200}
    await w.acted()
    await w.become(list(pairs), "talking")
    await _as_the_switch_does(w, list(pairs))
    closed = await w.end(list(pairs))
    assert not {(c.agent_id) for c in closed.values()} & {a for a, _ in pairs.values()} - set(POOL)


async def somebody_leaves_as_the_conference_is_made(w: World) -> None:
    """Caller, agent and colleague in turn: whoever is left is together with somebody, or is told and free."""
    pairs = await _pairs(w, 5)
    wishes = (w.wish(contact, "consult", agent=target) for contact, (_, target) in pairs.items())
    assert {answer["http"] for answer in await asyncio.gather(*wishes)} == {200}
    await w.become(list(pairs), "consulting")

    async def agents_speak() -> bool:
        return all(
            any(
                s.name == "CHANNEL_BRIDGE" and w.agent_leg(c, target) in (s.leg, _other(s))
                for s in w.seen
            )
            for c, (_, target) in pairs.items()
        )  # fmt: skip

    await w.until("the agents talk", agents_speak)

    async def confer(contact: str, who: int, offset_ms: int) -> None:
        first, second = pairs[contact]
        leaver = (contact, w.agent_leg(contact, first), w.agent_leg(contact, second))[who]
        asked = asyncio.create_task(w.wish(contact, "conference"))
        await asyncio.sleep(offset_ms / 1000)  # this is the moment that is tested
        await w.hang_up(leaver)
        assert (await asked)["http"] in (200, 404, 409)

    await asyncio.gather(
        *(confer(c, n % 3, ms) for n, (c, ms) in enumerate(zip(pairs, sweep(0, 160, 5), strict=True)))
    )
    await w.become(list(pairs), "talking", "conference", "gone")
    await w.end(list(pairs))


async def a_hold_as_one_of_the_two_hangs_up(w: World) -> None:
    """Granted or refused; the call is over."""
    await w.phones(100)
    contacts = await w.talking(8)

    async def hold(contact: str, offset_ms: int, by_caller: bool) -> None:
        leg = contact if by_caller else w.agent_leg(contact)
        asked = asyncio.create_task(w.wish(contact, "hold"))
        await asyncio.sleep(offset_ms / 1000)  # this is the moment that is tested
        await w.hang_up(leg)
        assert (await asked)["http"] in (200, 404, 409)

    offsets = sweep(0, 105)
    await asyncio.gather(*(hold(c, offsets[n], bool(n % 2)) for n, c in enumerate(contacts)))
    closed = await w.closed(contacts)
    assert {c.result for c in closed.values()} == {"answered"}


async def a_supervisor_joins_as_the_call_ends(w: World) -> None:
    """The supervisor's leg, sent to a call that is no more, ends too."""
    await w.phones(100)
    contacts = await w.talking(5)
    w.on("CHANNEL_ANSWER", "supervisor", sweep(0, 200, 5), lambda s: w.hang_up(s.contact))
    asked = (w.wish(c, "supervise", mode="listen", extension=EXTENSIONS[POOL[-1]]) for c in contacts)
    await asyncio.gather(*asked)
    await w.acted()
    closed = await w.closed(contacts)
    assert {c.result for c in closed.values()} == {"answered"}


RACES: tuple[Race, ...] = (
    the_caller_leaves_as_the_bridge_is_made,
    the_agent_leaves_as_the_bridge_is_made,
    both_leave_at_once,
    a_key_of_the_caller_as_the_bridge_is_made,
    the_caller_leaves_before_the_agents_channel_exists,
    two_phones_answer_at_once,
    the_answer_against_the_end_of_the_ring_time,
    the_answer_against_the_withdrawal,
    the_customer_who_is_called_back_leaves_as_the_agent_answers,
    the_target_of_a_transfer_leaves_as_it_answers,
    the_caller_leaves_a_consultation_as_it_begins,
    who_asks_leaves_a_consultation_as_it_begins,
    somebody_leaves_as_the_conference_is_made,
    a_hold_as_one_of_the_two_hangs_up,
    a_supervisor_joins_as_the_call_ends,
)
