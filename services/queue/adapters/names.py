"""What legs are called inside the engine, where that is not their UUID.

To the engine a caller's leg has its contact's id for a name, and so it is, for the contact is named by its first leg. A caller who came from
another node has a leg with another UUID; it says so by ``cc_contact`` and ``presence_data``. Here one is put for the other on the way
in and out, so that nothing else has to know.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from services.common.esl import Event
from services.queue.core import legs, outputs

MOVED = "moved"
_INPUT_FIELDS = ("leg", "partner")
_COMMAND_FIELDS = ("leg", "caller_leg", "target", "then")
_S = TypeVar("_S", bound=Struct)


class LegNames:
    """Names that differ from UUIDs, of one node."""

    def __init__(self) -> None:
        self._name_of: dict[str, str] = {}
        self._uuid_of: dict[str, str] = {}

    def learn(self, event: Event) -> None:
        """Remember the name of a leg that says ``cc_state=moved``."""
        if event.variable("cc_state") == MOVED:
            self.know(event.unique_id, event.variable("cc_contact"))

    def know(self, uuid: str, name: str) -> None:
        """Remember one."""
        if name and uuid and name != uuid:
            self._name_of[uuid] = name
            self._uuid_of[name] = uuid

    def know_row(self, uuid: str, presence: str) -> None:
        """Remember what a row of ``show channels`` says: ``c/<tenant>/<contact>``."""
        kind, _, rest = presence.partition("/")
        if kind == "c":
            self.know(uuid, rest.rpartition("/")[2])

    def forget(self, uuid: str) -> None:
        """The leg is over."""
        name = self._name_of.pop(uuid, "")
        if name and self._uuid_of.get(name) == uuid:
            del self._uuid_of[name]

    def name(self, uuid: str) -> str:
        """What the engine calls the leg."""
        return self._name_of.get(uuid, uuid)

    def uuid(self, name: str) -> str:
        """What FreeSWITCH calls it."""
        return self._uuid_of.get(name, name)

    def named(self, event: _S) -> _S:
        """An input with names in it."""
        return _replaced(event, _INPUT_FIELDS, self._name_of) if self._name_of else event

    def addressed(self, command: outputs.Command) -> outputs.Command:
        """A command with UUIDs in it."""
        return _replaced(command, _COMMAND_FIELDS, self._uuid_of) if self._uuid_of else command


def _replaced(struct: _S, fields: tuple[str, ...], table: dict[str, str]) -> _S:
    changed: dict[str, object] = {}
    for field in fields:
        if (other := table.get(getattr(struct, field, ""))) is not None:
            changed[field] = other
    for field in ("caller", "customer"):
        inner = getattr(struct, field, None)
        if isinstance(inner, legs.CallerLeg) and (inner.leg in table or inner.partner in table):
            changed[field] = _replaced(inner, _INPUT_FIELDS, table)
    return replace(struct, **changed) if changed else struct
