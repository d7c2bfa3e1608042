"""The other end of a leg: the person or phone, and what keys may mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.simswitch.channel import Channel


class KeyTaker(Protocol):
    """What keys are bound to."""

    def take(self, digit: str) -> bool:
        """Whether the key is no DTMF."""
        ...


class Party:
    """The person or phone at the other end of a leg; told what a person would notice."""

    relays = False
    """Whether this is no person but a call to another node; who is at its end is told by that."""

    def on_app(self, leg: Channel, app: str, data: str) -> None:
        """The leg begins an application: a prompt, a menu, music."""

    def on_bridged(self, leg: Channel, other: Channel) -> None:
        """There is somebody on the line."""

    def on_unbridged(self, leg: Channel) -> None:
        """The other is gone."""

    def on_refer(self, leg: Channel, uri: str) -> int:
        """Asked to call ``uri`` in place of this line (REFER); the SIP status of the answer, 0 for none."""
        return 405

    def on_taken_over(self, leg: Channel) -> bool:
        """A re-INVITE comes from another node than the leg's; whether it is accepted."""
        return True

    def on_moved(self, former: Channel, leg: Channel) -> None:
        """The line goes on on another leg."""

    def on_key(self, digit: str) -> None:
        """The other side of the bridge has pressed a key."""

    def on_hold(self, *, held: bool) -> None:
        """The other side of the bridge holds, and says so (``indicate_hold``), or is back."""

    def on_ended(self, leg: Channel) -> None:
        """The line is dead."""
