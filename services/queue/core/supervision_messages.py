"""What goes into the engine and comes out of it for supervisions."""

from __future__ import annotations

from services.queue.core.inputs import Input
from services.queue.core.outputs import Command, Originate


class SuperviseWished(Input, frozen=True, kw_only=True):
    """A supervisor wants to hear a contact, in a mode (listen, whisper, barge), or to leave it (off).

    ``leg`` is the one to be used: of a phone that has dialled (``extension`` is empty), else the UUID for the one to be rung.
    ``phone_node``: the node that the phone is registered with, and that the leg goes through when it is another one; empty: not known.
    """

    request: str
    tenant: str
    contact: str
    mode: str
    supervisor: str
    everybody: bool = False
    extension: str = ""
    phone_node: str = ""
    leg: str


class ModeKeyed(Input, frozen=True, kw_only=True):
    """The supervisor's phone has pressed a key that stands for a mode."""

    leg: str
    mode: str


class LegOverheard(Input, frozen=True, kw_only=True):
    """MEDIA_BUG_START of an eavesdrop: somebody hears this leg from now on."""

    leg: str


class CallSupervisor(Originate, frozen=True, kw_only=True):
    """bgapi originate of a supervisor's leg, parked when answered; ``offer`` and ``leg`` are its UUID, ``agent`` the supervisor."""

    heard_agent: str = ""
    mode: str


class Listen(Command, frozen=True, kw_only=True):
    """uuid_transfer of the supervisor's leg to the call: first to ``target``, and when that has ended, silently to ``then``."""

    target: str
    then: str = ""
