"""Calls between nodes: the leg that goes out of one simulated switch and the leg that comes in at another.

What SIP carries from one to the other, measured on two real ones (1.10.12, the configuration of this repository): ringing, early
media and the answer; how the far leg ended, as the cause of its ``Reason`` header; the cancel and the BYE; keys; the hold of the far phone
(``hold_music=indicate_hold``). What it does not carry is the death of a node: nobody says BYE. The leg at the other node hears
nothing any more and ends after its ``media_timeout``, else when the session timer finds nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from services.common.errors import Refused
from services.simswitch.channel import Channel
from services.simswitch.core.leg_variables import refusal_variables, unreachable_variables
from services.simswitch.hold import phone_holds, phone_resumes
from services.simswitch.originate import early_media, ringing
from services.simswitch.party import Party
from services.simswitch.switch import Switch

CONTEXT: Final = "nodes"
PROFILE: Final = "nodes"
FIRST_PORT: Final = 5085
FIRST_TRUNK: Final = 5080
SESSION_TIMER_S: Final = 120.0
_HEADER: Final = "sip_h_X-"
_STATUS: Final = {
    "USER_BUSY": 486,
    "CALL_REJECTED": 603,
    "NORMAL_TEMPORARY_FAILURE": 503,
    "RECOVERY_ON_TIMER_EXPIRE": 408,
    "UNALLOCATED_NUMBER": 404,
    "INCOMPATIBLE_DESTINATION": 488,
}
"""What the far node answers when its leg ends with a cause before an answer; else 480."""


def connect(switches: Sequence[Switch], port: int = FIRST_PORT, trunk_port: int = FIRST_TRUNK) -> None:
    """Let nodes call each other: the first is at ``127.0.0.1:<port>``, the others at the ports after it. Nothing listens there.

    The carrier reaches them at ``trunk_port`` and after.
    """
    for switch in switches:
        switch.carrier = {f"127.0.0.1:{trunk_port + i}": other for i, other in enumerate(switches)}
    addresses = {f"127.0.0.1:{port + i}": switch for i, switch in enumerate(switches)}
    for switch in switches:
        switch.nodes = {
            address: NodePhone(other) for address, other in addresses.items() if other is not switch
        }


class NodePhone:
    """Another node, as what rings at the end of a leg that is sent there."""

    def __init__(self, far: Switch) -> None:
        self._far = far

    def invite(self, leg: Channel) -> None:
        """The INVITE arrives at the other node, or nobody is there."""
        if self._far.down:
            leg.sip_status = 503
            leg.variables |= unreachable_variables(leg)
            leg.end("NORMAL_TEMPORARY_FAILURE", by="switch", disposition="recv_refuse")
            return
        call = _Call(leg)
        headers = {
            name: value
            for name, value in leg.variables.items()
            if name.startswith(_HEADER) and isinstance(value, str)
        }
        try:
            incoming = self._far.place_call(
                context=CONTEXT,
                destination=leg.profile.destination,
                caller_number=leg.profile.cid_number,
                caller_name=leg.profile.cid_name,
                party=FarEnd(call),
                sofia_profile=PROFILE,
                variables=headers,
            )
        except Refused:
            leg.refuse(503)
            return
        call.begin(incoming)


class _News(asyncio.Event):
    """What a leg sets when it rings, has early media, is answered or ends."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def set(self) -> None:
        # In the middle of the change, so a moment later.
        asyncio.get_running_loop().call_soon(self._tell)


class _Call:
    """Both legs of one call between two nodes."""

    def __init__(self, near: Channel) -> None:
        self.near = near
        self.far: Channel | None = None
        self._phone: Channel | None = None
        near.party = NearEnd(self)
        self._news = _News(self._look)
        near.watchers_of_progress.add(self._news)

    def begin(self, far: Channel) -> None:
        self.far = far
        far.watchers_of_progress.add(self._news)

    @property
    def phone(self) -> Channel | None:
        """The leg of the phone behind the far node."""
        if self.far is not None and self.far.partner is not None:
            self._phone = self.far.partner
        return self._phone

    def _look(self) -> None:
        near, far = self.near, self.far
        if far is None:
            return
        if near.down or far.down:
            self._over(near, far)
        elif far.answered:
            near.mark_answered()
        elif far.profile.times.progress_media:
            early_media(near)
        elif far.profile.times.progress:
            ringing(near)

    def _over(self, near: Channel, far: Channel) -> None:
        """One of the two has ended; the other hears of it, unless the first one's switch is dead."""
        near.watchers_of_progress.discard(self._news)
        far.watchers_of_progress.discard(self._news)
        if not near.down:
            if not near.answered:
                status = _STATUS.get(far.hangup_cause, 480)
                near.sip_status = status
                near.variables.update(refusal_variables(near, "127.0.0.1", status))
            near.end(far.hangup_cause, by="agent")
        elif not far.down:
            cause = "NORMAL_CLEARING" if far.answered else near.hangup_cause
            far.end(cause, by="caller")

    def died(self, left: Channel | None) -> None:
        """The switch of one leg is gone without a word."""
        if left is None or left.down:
            return
        wait_ms = left.var("media_timeout") if left.answered else ""
        seconds = int(wait_ms) / 1000 if wait_ms.isdigit() else SESSION_TIMER_S
        cause = "MEDIA_TIMEOUT" if wait_ms.isdigit() else "RECOVERY_ON_TIMER_EXPIRE"
        asyncio.get_running_loop().call_later(seconds, lambda: left.end(cause, by="switch"))


class NearEnd(Party):
    """What is at the end of a leg that goes to another node: a person at a phone there."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    def on_bridged(self, leg: Channel, other: Channel) -> None:
        phone = self._call.phone
        if phone is not None and phone.party is not None:
            phone.party.on_bridged(phone, other)

    def on_unbridged(self, leg: Channel) -> None:
        phone = self._call.phone
        if phone is not None and phone.party is not None:
            phone.party.on_unbridged(phone)

    def on_ended(self, leg: Channel) -> None:
        if leg.vanished:
            self._call.died(self._call.far)
            self.on_unbridged(leg)  # Nobody is heard any more.


class FarEnd(Party):
    """What is at the end of a leg that came from another node: whoever is bridged with the leg there."""

    relays = True

    def __init__(self, call: _Call) -> None:
        self._call = call

    def on_key(self, digit: str) -> None:
        self._call.near.press(digit)

    def on_hold(self, *, held: bool) -> None:
        (phone_holds if held else phone_resumes)(self._call.near)

    def on_ended(self, leg: Channel) -> None:
        if leg.vanished:
            self._call.died(self._call.near)
