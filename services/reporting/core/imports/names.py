"""What other systems called things, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

_TECHNOLOGY = re.compile(
    r"^(?:SIP|PJSIP|IAX2|DAHDI|Zap|SCCP|Agent|Local|Skinny|Khomp|user|sofia/[^/]+)/", re.IGNORECASE
)
_SUFFIX = re.compile(r"(?:@.*|/n)$")


class QueueName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A queue: its name here, and the seconds against which its waits are judged (T and S of the service level)."""

    queue: str
    service_level_s: int = 20
    short_abandon_s: int = 5


class AgentName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent: the id here, and the team in which to count what is imported."""

    agent: str
    team: str = ""


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping file. What it does not name keeps its name, without technology and domain (``SIP/1001`` is ``1001``)."""

    queues: Mapping[str, str | QueueName] = {}
    agents: Mapping[str, str | AgentName] = {}
    numbers: Mapping[str, str] = {}
    """Called number to entry point."""

    def queue(self, name: str) -> QueueName:
        """A queue by its old name."""
        found = self.queues.get(name)
        if found is None:
            found = plain(name)
        return QueueName(found) if isinstance(found, str) else found

    def agent(self, name: str) -> AgentName:
        """An agent by the old name of the agent, or by that name without technology and domain."""
        if name in ("", "NONE"):
            return AgentName("")
        found = self.agents.get(name) or self.agents.get(plain(name)) or plain(name)
        return AgentName(found) if isinstance(found, str) else found

    def number(self, number: str) -> str:
        """The entry point of a called number."""
        return self.numbers.get(number, number)


@lru_cache(maxsize=65_536)
def plain(name: str) -> str:
    """A name without technology and domain."""
    return _SUFFIX.sub("", _TECHNOLOGY.sub("", name)) or name
