"""What the simulated switch asks of those around it: who listens, who keeps the books, what rings, what runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from services.simswitch.core.wire import Event

if TYPE_CHECKING:
    from services.simswitch.channel import Channel
    from services.simswitch.switch import Switch


class Listener(Protocol):
    """A connection that gets events."""

    def offers(self, name: str, subclass: str) -> bool:
        """Whether events of this name may be wanted."""
        ...

    def deliver(self, event: Event) -> None:
        """Send the event if it is wanted."""
        ...


Application = Callable[["Channel", str], Awaitable[str]]
"""Runs an application on a leg; returns its Application-Response, empty for ``_none_``."""


Api = Callable[["Switch", str, str], Awaitable[str]]
"""Carries out an API command (name, argument) and returns its output."""


class Observer:
    """What the ledger sees; every method may be overridden."""

    def leg_created(self, leg: Channel) -> None:
        """A leg exists."""

    def leg_answered(self, leg: Channel) -> None:
        """A leg was answered."""

    def app_started(self, leg: Channel, app: str, data: str) -> None:
        """A leg began an application."""

    def controller_took(self, leg: Channel) -> None:
        """An outbound controller said ``connect``."""

    def digit(self, leg: Channel, digit: str) -> None:
        """A person pressed a key."""

    def bridged(self, a: Channel, b: Channel) -> None:
        """Two legs hear each other."""

    def unbridged(self, a: Channel, b: Channel) -> None:
        """They no longer do."""

    def recorded(self, leg: Channel, path: str, ms: int, samples: int) -> None:
        """A recording was closed."""

    def leg_moved(self, leg: Channel, to: Channel) -> None:
        """The carrier has brought a caller to another node; the first leg ends next."""

    def leg_hung_up(self, leg: Channel) -> None:
        """A leg begins to end; the others have not noticed yet."""

    def leg_ended(self, leg: Channel) -> None:
        """A leg is over; its cause and who ended it are on it."""

    def call_refused(self, destination: str, number: str, reason: str) -> None:
        """An INVITE found no place and was answered 503; there never was a leg."""

    def fault(self, what: str, number: int, fault: Mapping[str, Any]) -> None:
        """A fault ``began`` or ``ended``."""


class Phone(Protocol):
    """A registered telephone, asked by ``originate``."""

    def invite(self, leg: Channel) -> None:
        """Ring. Later: ``leg.switch.phone_answers(leg)`` or ``leg.end(cause, by="agent")``."""
        ...


@dataclass(slots=True)
class Gateway:
    """A carrier's gateway. One that is not ``up`` refuses every call without an INVITE (GATEWAY_DOWN)."""

    up: bool = True
