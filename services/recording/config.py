"""Settings of the recording service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.common.parts import SwitchSettings


class RecordingSettings(SwitchSettings):
    """The folder is the one that FreeSWITCH writes to, as this process sees it."""

    recording_dir: Path = Field(Path(".dev/recordings"), description="Folder that FreeSWITCH records into.")
    nice: int = Field(
        5, description="As everywhere, but 5: no caller waits for what becomes of a file.", ge=-20, le=19
    )

    @field_validator("recording_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.absolute()
