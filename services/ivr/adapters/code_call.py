"""A call from an agent's phone to a feature code: ask routing, play the answer, hang up.

``*23`` and an agent's number asks for the PIN. Its digits are read from the events of the call and looked at in memory: they are in no variable
of the channel (CDRs have those), in no log and in no fact.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog

from services.center.model import Center
from services.common.bus import Bus
from services.common.esl import Event
from services.ivr.adapters import channel, listening, seats, wishes
from services.ivr.adapters.call import Session
from services.ivr.core import codes
from services.ivr.core.model import PlayPrompt

log = structlog.get_logger()

_END_S = 5.0
_PUT_DOWN_S = 0.5  # A phone that has just had its BYE is busy for a moment.
_TRIES = 5  # Routing locks the agent sooner; this bounds a call to a phone whose routing has other rules.
_FIRST_KEY_S = 12.0  # The prompt, and a moment to remember.
_NEXT_KEY_S = 4.0
_MOST_DIGITS = 12


async def serve(session: Session, leg: channel.Leg, center: Center | None, bus: Bus, sounds_dir: str) -> None:
    """Do what the code asks for. ``center`` is that of the phone's agent, None when nobody has this phone.

    Raises CallGone when the agent hangs up before the answer; what was asked for holds all the same.
    """
    wish = codes.wish(leg.entry)
    if center is None or wish is None:
        prompt = codes.NOT_POSSIBLE
    elif isinstance(wish, codes.Supervise):
        if await _listens(session, leg, center, bus, wish.extension):
            return
        prompt = codes.NOT_POSSIBLE
    elif isinstance(wish, codes.SitDown):
        prompt = await _sit_down(session, leg, center, bus, sounds_dir, wish.number)
    else:
        prompt = await wishes.grant(bus, center, leg.agent_extension, wish)
    log.info(
        "feature_code_served",
        extension=leg.agent_extension,
        tenant=center.tenant if center else "",
        code=leg.entry[:3],
        answer=prompt,
        known_phone=center is not None,
    )
    await say_and_end(session, center, prompt, sounds_dir)


async def _listens(session: Session, leg: channel.Leg, center: Center, bus: Bus, extension: str) -> bool:
    """Let the phone hear an agent's conversation; return whether it does, or did."""
    found = await listening.find(bus, center, leg, extension)
    if found is None:
        return False
    if found.node == leg.node:
        if not await listening.listen(bus, center, leg, session.unique_id, found):
            return False
        # The leg is at the call. ``exit`` now would stop the media of the leg that we no longer hold: on a real switch the
        # supervisor heard nothing from then on. So the socket stays until the leg is over.
        await drain(session)
        return True
    await session.execute("hangup", "NORMAL_CLEARING", wait=False)
    await asyncio.wait([asyncio.ensure_future(drain(session))], timeout=_END_S)
    await asyncio.sleep(_PUT_DOWN_S)
    await listening.ring_back(bus, center, leg, found)
    return True


async def say_and_end(session: Session, center: Center | None, prompt: str, sounds_dir: str) -> None:
    """Play a prompt in the first of the center's languages that has it, and hang up. Raises CallGone."""
    if center is not None:
        await _say(session, center, sounds_dir, prompt)
    await session.execute("hangup", "NORMAL_CLEARING", wait=False)
    await asyncio.wait([asyncio.ensure_future(drain(session))], timeout=_END_S)


async def drain(session: Session) -> list[Event]:
    """Everything that happens to the leg until it is over."""
    return [event async for event in session.events]


async def _say(session: Session, center: Center, sounds_dir: str, prompt: str) -> None:
    """Play a prompt in the first language that has it."""
    for language in center.languages:
        complete = await session.execute(
            "playback", channel.playback(sounds_dir, center, PlayPrompt(1, prompt, language))
        )
        if channel.heard(complete):
            return


async def _sit_down(
    session: Session, leg: channel.Leg, center: Center, bus: Bus, sounds_dir: str, number: str
) -> str:
    """Ask for the PIN until it is right, or nothing more is to be asked; return the prompt that says how it ended."""
    asking = codes.ENTER_PIN
    for _ in range(_TRIES):
        asked = asyncio.ensure_future(_say(session, center, sounds_dir, asking))
        pin = await _digits(session, asked)
        if not pin:
            return codes.NOT_POSSIBLE
        answer = await seats.sit_down(bus, center, leg, number, pin)
        if answer != codes.WRONG_PIN:
            return answer
        asking = codes.WRONG_PIN
    return codes.WRONG_PIN


async def _digits(session: Session, prompt: asyncio.Future[None]) -> str:
    """The keys up to the pound key; the first one ends the prompt, and a pause or a hang-up what is keyed."""
    keyed = ""
    try:
        while len(keyed) < _MOST_DIGITS:
            event = await _next(session.events, _FIRST_KEY_S if not keyed else _NEXT_KEY_S)
            if event is None:
                break
            if event.name != "DTMF":
                continue
            key = event.get("DTMF-Digit")
            if not prompt.done():
                await session.api(f"uuid_break {session.unique_id}")
            if key == "#":
                break
            keyed += key if key.isdigit() else ""
    finally:
        if session.hung_up:
            prompt.cancel()
        await asyncio.gather(prompt, return_exceptions=True)
    return "" if session.hung_up else keyed  # Half a PIN is no wrong one.


async def _next(events: AsyncIterator[Event], timeout_s: float) -> Event | None:
    """The next event of a call; None after so long, and when there will be none."""
    try:
        return await asyncio.wait_for(anext(events), timeout_s)
    except (TimeoutError, StopAsyncIteration):
        return None
