"""Listening in: the applications ``eavesdrop`` and ``three_way``. Measured on 1.10.12.

The listener's leg stays in its application (CS_EXECUTE) and the leg listened to gets a media bug: MEDIA_BUG_START with the
function ``eavesdrop``, then CALL_UPDATE tells the listener's phone whom it hears. The bug goes with whichever of the two ends first,
and follows the leg through bridges and parking. A leg that does not exist ends the application at once, which looks
like success. The keys 1, 2, 3 and 0 of the listener (who is spoken to) are DTMF events and nothing else, ``*`` ends the listening; with
``eavesdrop_enable_dtmf=false``, and in ``three_way``, nobody takes a key, and those that came are forgotten. What is queued
for the leg (``uuid_broadcast``, ``sendmsg``) waits for that, too. The voices are not mixed into recordings here.
"""

from __future__ import annotations

from services.simswitch import bugs
from services.simswitch.channel import Channel

_KEYS = "eavesdrop_enable_dtmf"


async def eavesdrop(leg: Channel, data: str) -> str:
    """``eavesdrop <uuid>|all``."""
    return await _listen(leg, data.strip(), keys=not leg.var(_KEYS) or leg.truth(_KEYS))


async def three_way(leg: Channel, data: str) -> str:
    """``three_way <uuid>``: listening in with both sides spoken to."""
    return await _listen(leg, data.strip(), keys=False)


def display(leg: Channel, shown: str) -> None:
    """``name|number`` on the phone's display; told as CALL_UPDATE."""
    name, _, number = shown.partition("|")
    number = number or name
    leg.variables["last_sent_callee_id_name"] = name
    leg.variables["last_sent_callee_id_number"] = number
    head = {"Direction": "SEND", "Sent-Callee-ID-Name": name, "Sent-Callee-ID-Number": number}
    if leg.partner is not None:
        head["Bridged-To"] = leg.partner.uuid
    leg.switch.fire("CALL_UPDATE", leg, head=head)


async def _listen(leg: Channel, target: str, *, keys: bool) -> str:
    heard = _any_call(leg) if target == "all" else leg.switch.find(target)
    if heard is None or heard is leg or heard.down or not heard.answered:
        return ""
    await leg.pause(0)
    bugs.start_eavesdrop(heard)
    number = heard.profile.cid_number
    name = heard.profile.cid_name or number
    display(leg, f"{name}|{number}")
    heard.overhearing.add(leg)
    try:
        await leg.wait(
            None, digits="take" if keys else "keep", accept="*", messages=False, until=lambda: heard.down
        )
    finally:
        heard.overhearing.discard(leg)
        if heard.listeners:
            bugs.stop_eavesdrop(heard)
        leg.drop_digits()
    return ""


def _any_call(leg: Channel) -> Channel | None:
    """``all``: somebody who talks."""
    for other in leg.switch.channels.values():
        if other is not leg and other.partner is not None and not other.down:
            return other
    return None
