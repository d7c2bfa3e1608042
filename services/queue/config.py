"""Settings of the queue service."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from services.common.config import CenterSettings
from services.common.ids import is_token
from services.common.parts import SwitchSettings

_SIP_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


class QueueSettings(SwitchSettings, CenterSettings):
    """What queue dials, and where FreeSWITCH keeps sounds and recordings."""

    queue_agent_dial: str = Field(
        "user/{extension}@{domain}", description="Dial string of an agent's phone.", pattern=r"\{extension\}"
    )
    queue_sip_domain: str = Field(
        "peyvand.local", description="SIP domain of the agents' phones.", pattern=r"^[A-Za-z0-9.:-]+$"
    )
    queue_transfer_dial: str = Field(
        "sofia/gateway/trunk/{number}",
        description="Dial string of an outside number, for centers whose document has no trunks.",
        pattern=r"\{number\}",
    )
    queue_nodes: str = Field(
        "",
        description="Where each FreeSWITCH node takes calls of the others (its profile nodes): name=HOST:PORT, separated by commas. "
        "Empty: an agent's phone is dialled from the caller's node alone.",
    )
    queue_moves: bool = Field(
        False,
        description="Callers who wait on a node that drains go on at another one: it takes over their lines by a re-INVITE, which every "
        "carrier understands that takes calls of both nodes. False: they stay and are served, unless PEYVAND_QUEUE_REFERS says otherwise.",
    )
    queue_refers: str = Field(
        "",
        description="Where the carrier reaches each FreeSWITCH node (its profile trunk): name=HOST:PORT, separated by commas. With it callers "
        "who wait on a node that drains are moved by SIP REFER: only for carriers that are known to follow one.",
    )
    queue_operators: str = Field(
        "",
        description="Tenants whose administrators see and empty FreeSWITCH nodes, separated by commas. Empty: those of every tenant, which "
        "is right for an installation of one.",
    )
    queue_recordings_dir: Path = Field(
        Path(".dev/recordings"), description="Folder for recordings, as FreeSWITCH sees it."
    )
    queue_sounds_dir: Path = Field(
        Path(".dev/sounds"), description="FreeSWITCH's sounds folder, as FreeSWITCH sees it."
    )

    @field_validator("queue_nodes", "queue_refers")
    @classmethod
    def _addresses(cls, text: str) -> str:
        found = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        for name, _, address in found:
            if not is_token(name) or not _SIP_ADDRESS.fullmatch(address):
                raise ValueError(f"expected name=HOST:PORT, found {name}={address}")
        if len({name for name, _, _ in found}) < len(found):
            raise ValueError("a node is there more than once")
        return text

    def sip_addresses(self) -> dict[str, str]:
        """``queue_nodes`` by node."""
        return _by_node(self.queue_nodes)

    def refer_addresses(self) -> dict[str, str]:
        """``queue_refers`` by node."""
        return _by_node(self.queue_refers)

    @field_validator("queue_operators")
    @classmethod
    def _tenants(cls, text: str) -> str:
        if wrong := [part for part in text.split(",") if part.strip() and not is_token(part.strip())]:
            raise ValueError(f"expected names of tenants, found {wrong[0]}")
        return text

    def operators(self) -> frozenset[str]:
        """``queue_operators`` as a set."""
        return frozenset(part.strip() for part in self.queue_operators.split(",") if part.strip())

    @field_validator("queue_recordings_dir", "queue_sounds_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()

    @field_validator("queue_agent_dial", "queue_transfer_dial")
    @classmethod
    def _template(cls, text: str) -> str:
        try:
            text.format(extension="1000", domain="example", number="1000")
        except (KeyError, IndexError, ValueError) as e:
            raise ValueError(f"unknown placeholder: {e}") from None
        return text


def _by_node(text: str) -> dict[str, str]:
    return dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
