"""Settings of the queue service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.common.config import CenterSettings
from services.common.parts import SwitchSettings


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
    queue_recordings_dir: Path = Field(
        Path(".dev/recordings"), description="Folder for recordings, as FreeSWITCH sees it."
    )
    queue_sounds_dir: Path = Field(
        Path(".dev/sounds"), description="FreeSWITCH's sounds folder, as FreeSWITCH sees it."
    )

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
