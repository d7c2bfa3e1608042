"""A call from an agent's phone to a feature code: ask routing, play the answer, hang up."""

from __future__ import annotations

import asyncio

import structlog

from services.center.model import Center
from services.common.bus import Bus
from services.common.esl import Event
from services.ivr.adapters import channel, listening, wishes
from services.ivr.adapters.call import Session
from services.ivr.core import codes
from services.ivr.core.model import PlayPrompt

log = structlog.get_logger()

_END_S = 5.0


async def serve(session: Session, leg: channel.Leg, center: Center | None, bus: Bus, sounds_dir: str) -> None:
    """Do what the code asks for. ``center`` is that of the phone's agent, None when nobody has this phone.

    Raises CallGone when the agent hangs up before the answer; what was asked for holds all the same.
    """
    wish = codes.wish(leg.entry)
    if center is None or wish is None:
        prompt = codes.NOT_POSSIBLE
    elif isinstance(wish, codes.Supervise):
        if await listening.listen(bus, center, leg, session.unique_id, wish.extension):
            # The leg is at the call. ``exit`` now would stop the media of the leg that we no longer hold: on a real switch the
            # supervisor heard nothing from then on. So the socket stays until the leg is over.
            await _drain(session)
            return
        prompt = codes.NOT_POSSIBLE
    else:
        prompt = await wishes.grant(bus, center, leg.agent_extension, wish)
    log.info(
        "feature_code_served",
        extension=leg.agent_extension,
        tenant=center.tenant if center else "",
        code=leg.entry,
        answer=prompt,
        known_phone=center is not None,
    )
    if center is not None:
        for language in center.languages:
            argument = channel.playback(sounds_dir, center, PlayPrompt(1, prompt, language))
            complete = await session.execute("playback", argument)
            if channel.heard(complete):
                break
    await session.execute("hangup", "NORMAL_CLEARING", wait=False)
    await asyncio.wait([asyncio.ensure_future(_drain(session))], timeout=_END_S)


async def _drain(session: Session) -> list[Event]:
    return [event async for event in session.events]
