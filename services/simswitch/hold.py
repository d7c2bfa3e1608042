"""Hold: by a command, and by the phone's re-INVITE as the switch sees it. Measured on 1.10.12.

By command (``uuid_hold``): CALLSTATE HELD and CHANNEL_HOLD at once; the other side of the bridge gets the held leg's
``hold_music`` as a broadcast, 200 ms later. ``uuid_hold off``: CALLSTATE UNHELD, the music ends, CHANNEL_UNHOLD, and CALLSTATE ACTIVE
20 ms after that. A leg that is held already, and one that is not, answer ``-ERR Operation failed``; one that does not
exist ``+OK Success``.

By the phone: the same, with ``sofia::reinvite`` after it, and CHANNEL_UNHOLD waits for the end of the music.

A held leg that ends is unheld first. When the other side ends, the held leg is unheld before CHANNEL_UNBRIDGE.
"""

from __future__ import annotations

import asyncio
from typing import Final

from services.simswitch.channel import Channel
from services.simswitch.messages import broadcast_message
from services.simswitch.waiting import TICK_S

INDICATE: Final = "indicate_hold"
"""As ``hold_music``: the other side is held by a re-INVITE instead of hearing music."""
REINVITE_S: Final = 0.26
"""From the re-INVITE to the end of its negotiation, where ``sofia::reinvite`` comes."""


def hold(leg: Channel) -> bool:
    """Put the other side on hold; False when that is so already, or there is nothing to hold."""
    if leg.held or leg.down or not leg.answered:
        return False
    leg.held = True
    leg.set_call_state("HELD")
    leg.profile.times.last_hold = leg.switch.now_us()
    leg.switch.fire("CHANNEL_HOLD", leg)
    return True


def command_hold(leg: Channel) -> bool:
    """``uuid_hold <uuid>``."""
    if not hold(leg):
        return False
    _play_music(leg, locked=True)
    if leg.music_at is not None:
        asyncio.get_running_loop().call_later(REINVITE_S, _one_way, leg, leg.music_at)
    return True


def command_unhold(leg: Channel) -> bool:
    """``uuid_hold off <uuid>``."""
    if not leg.held or leg.down:
        return False
    leg.set_call_state("UNHELD")
    if leg.music_at is not None:
        asyncio.get_running_loop().call_later(TICK_S, leg.sound_both_ways, leg.music_at)
    _stop_music(leg)
    asyncio.get_running_loop().call_soon(_unheld, leg)
    return True


def phone_holds(leg: Channel) -> None:
    """The phone sends a re-INVITE with ``sendonly``."""
    if hold(leg):
        _play_music(leg, locked=False)
        asyncio.get_running_loop().call_later(REINVITE_S, _reinvited, leg)


def phone_resumes(leg: Channel) -> None:
    """The phone sends a re-INVITE with ``sendrecv``."""
    if leg.held and not leg.down:
        if leg.music_at is not None:
            leg.sound_both_ways(leg.music_at)
        _stop_music(leg)
        other = leg.partner
        if leg.var("hold_music") == INDICATE and other is not None and other.party is not None:
            other.party.on_hold(held=False)
        asyncio.get_running_loop().call_later(REINVITE_S, _resumed, leg)


def _play_music(leg: Channel, *, locked: bool) -> None:
    music = leg.var("hold_music") or leg.switch.globals.get("hold_music", "")
    other = leg.partner
    if other is None or music in ("", "silence"):
        return
    if music == INDICATE:
        if other.party is not None:
            other.party.on_hold(held=True)
        return
    leg.music_at = other
    other.queue(broadcast_message("playback", music, locked=locked, loops=-1, role="hold"))


def _one_way(leg: Channel, other: Channel) -> None:
    """The re-INVITEs of a hold are answered: the side that hears music is described anew."""
    if not leg.held or leg.down or other.down or leg.music_at is not other:
        return
    if not other.hears("hold"):
        asyncio.get_running_loop().call_later(TICK_S, _one_way, leg, other)
        return
    leg.variables["remote_audio_media_flow"] = "recvonly"
    if not leg.profile.callee_name and leg.profile.callee_number != "0000000000":
        leg.profile.callee_name = leg.profile.callee_number
    other.variables["switch_m_sdp"] = leg.var("switch_r_sdp")
    other.variables |= {"video_media_flow": "inactive", "text_media_flow": "inactive"}
    other.variables["audio_media_flow"] = "recvonly"


def _stop_music(leg: Channel) -> None:
    other, leg.music_at = leg.music_at, None
    if other is not None:
        other.stop_broadcast("hold")


def _unheld(leg: Channel) -> None:
    if leg.held and not leg.down:
        leg.unhold_quietly(call_state=False)
        asyncio.get_running_loop().call_later(TICK_S, _active, leg)


def _resumed(leg: Channel) -> None:
    if leg.held and not leg.down:
        leg.unhold_quietly()
        _reinvited(leg)
        leg.set_call_state("ACTIVE")


def _active(leg: Channel) -> None:
    if not leg.down and leg.call_state == "UNHELD":
        leg.set_call_state("ACTIVE")


def _reinvited(leg: Channel) -> None:
    if not leg.down:
        leg.switch.fire(
            "CUSTOM", leg, subclass="sofia::reinvite", variables=False, location="sofia::reinvite"
        )
