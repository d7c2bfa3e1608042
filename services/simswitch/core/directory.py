"""The users that the real switch's directory files name, with what clients ask about them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from services.common.errors import ConfigError
from services.simswitch.core.dialplan import expand_globals


@dataclass(frozen=True, slots=True)
class User:
    """One user; params and variables of the domain and group are under those of the user itself."""

    id: str
    domain: str
    group: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directory:
    """All users, by id and domain."""

    users: Mapping[tuple[str, str], User] = field(default_factory=dict)

    def find(self, user: str, domain: str) -> User | None:
        """The user, or None."""
        return self.users.get((user, domain))

    @property
    def domains(self) -> frozenset[str]:
        """Names of the domains that have users."""
        return frozenset(domain for _, domain in self.users)


def parse(text: str, source: PurePath, globals_: Mapping[str, str]) -> Directory:
    """Read one file of ``directory/``. Raises ConfigError."""
    try:
        root = ET.fromstring(expand_globals(text, globals_))  # noqa: S314 - the operator's own configuration
    except ET.ParseError as e:
        raise ConfigError(f"{source}: not XML: {e}") from None
    users: dict[tuple[str, str], User] = {}
    for domain in [root] if root.tag == "domain" else root.iter("domain"):
        name = domain.get("name", "")
        for group in domain.iter("group"):
            for user in group.iter("user"):
                levels = (domain, group, user)
                made = User(
                    id=user.get("id", ""),
                    domain=name,
                    group=group.get("name", ""),
                    params=_pairs(levels, "params", "param"),
                    variables=_pairs(levels, "variables", "variable"),
                    attributes=dict(user.attrib),
                )
                users[made.id, name] = made
    return Directory(users)


def merge(directories: list[Directory]) -> Directory:
    """All of them in one; a later one wins."""
    return Directory({key: user for d in directories for key, user in d.users.items()})


def _pairs(levels: tuple[ET.Element, ...], group: str, item: str) -> dict[str, str]:
    return {
        element.get("name", ""): element.get("value", "")
        for level in levels
        for parent in level.findall(group)
        for element in parent.findall(item)
    }
