"""Settings of a process: environment variables with the prefix ``PEYVAND_``, typed, checked as a whole at start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import ConfigError

S = TypeVar("S", bound="Settings")

PREFIX = "PEYVAND_"


class Settings(BaseSettings):
    """What every process has. A service adds its own fields in ``services/<name>/config.py``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    instance: str = Field("1", description="Name of this copy of the service, unique among its copies.")
    http_host: str = Field(
        "127.0.0.1", description="Address the HTTP API listens on. Loopback unless told otherwise."
    )
    http_port: int = Field(
        0, description="Port of the HTTP API; 0 takes a free one and logs it.", ge=0, le=65535
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222", description="One or more NATS servers, separated by commas."
    )
    nats_replicas: int = Field(
        1, description="Copies of each stream: 1 on one server, 3 on a cluster.", ge=1, le=5
    )
    auth_secret: str = Field(
        ...,
        description="Secret (32 characters or more) that signs and checks bearer tokens.",
        min_length=32,
        repr=False,
    )
    log_format: str = Field(
        "auto",
        description="'json', 'console', or 'auto' (console on a terminal).",
        pattern="^(auto|json|console)$",
    )
    log_level: str = Field(
        "info", description="debug, info, warning or error.", pattern="^(debug|info|warning|error)$"
    )

    nice: int = Field(
        0,
        description="Added to the process's niceness at its start. Above 0 it gives way to others while the machine is full; below 0 it "
        "goes before them, for which it needs CAP_SYS_NICE or RLIMIT_NICE; without, it says so and goes on.",
        ge=-20,
        le=19,
    )

    @field_validator("nats_url")
    @classmethod
    def _servers(cls, text: str) -> str:
        servers = [part.strip() for part in text.split(",") if part.strip()]
        if not servers or not all(map(_is_server, servers)):
            # Without what was found: it may hold a password.
            raise ValueError("expected nats://host:port, several separated by commas (tls:// for TLS)")
        return text


def _is_server(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class CenterSettings(Settings):
    """For services that work from the centers' documents."""

    centers: Path = Field(
        Path("deploy/centers"), description="Folder with one center document (YAML) a tenant, or one file."
    )
    centers_rule: Literal["files", "store", "newest"] = Field(
        "files",
        description="What the running documents are. files: those of PEYVAND_CENTERS; HTTP edits are refused. store: the "
        "newest revisions on the bus, made by HTTP; a file gives a tenant its first. newest: as store, but a file that "
        "changes makes a revision too.",
    )
    centers_cache: Path | None = Field(
        None,
        description="Folder of this process in which it keeps the revisions that it runs, for a start without NATS "
        "(rules store and newest). Empty: such a start runs the files.",
    )


def load(settings_type: type[S]) -> S:
    """Read ``settings_type`` from the environment.

    Raises ConfigError that names each wrong variable and what was expected.
    """
    try:
        return settings_type()
    except ValidationError as e:
        lines = [
            f"  {PREFIX}{'_'.join(str(p) for p in err['loc']).upper()}: {err['msg'].removeprefix('Value error, ')}"
            for err in e.errors(include_url=False)
        ]
        raise ConfigError("settings are wrong:\n" + "\n".join(lines)) from None
