"""Settings of the recording service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.common.config import Settings
from services.common.esl import SwitchAddress


class RecordingSettings(Settings):
    """The folder is the one that FreeSWITCH writes to, as this process sees it."""

    switches: str = Field(
        ..., description="FreeSWITCH nodes: name=esl://:PASSWORD@HOST:PORT, separated by commas.", repr=False
    )
    recording_dir: Path = Field(Path(".dev/recordings"), description="Folder that FreeSWITCH records into.")

    @field_validator("recording_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()

    def addresses(self) -> list[SwitchAddress]:
        """The nodes. Raises ConfigError."""
        return [SwitchAddress.parse(part) for part in self.switches.split(",") if part.strip()]
