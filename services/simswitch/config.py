"""Settings of the simulated switch."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from pydantic import AliasChoices, Field

from services.common.config import CenterSettings
from services.common.errors import ConfigError
from services.common.ids import is_token


class SimswitchSettings(CenterSettings):
    """Environment variables ``PEYVAND_SIMSWITCH_...``."""

    http_port: int = Field(
        0,
        validation_alias=AliasChoices("PEYVAND_SIMSWITCH_HTTP_PORT", "PEYVAND_HTTP_PORT"),
        description="Port of the HTTP API; 0 takes a free one and logs it.",
        ge=0,
        le=65535,
    )
    simswitch_node: str = Field("fs1", description="Name of the node, the same as in PEYVAND_SWITCHES.")
    simswitch_esl_host: str = Field("127.0.0.1", description="Address of the event socket.")
    simswitch_esl_port: int = Field(
        8021, description="Port of the event socket; 0 takes a free one.", ge=0, le=65535
    )
    simswitch_nodes: str = Field(
        "",
        description="More nodes in this process, which can call each other: name=PORT (of the event socket), separated by commas.",
    )
    simswitch_esl_password: str = Field("ClueCon", description="Password of the event socket.", repr=False)
    simswitch_esl_network: str = Field(
        "", description="Who may connect: networks in CIDR form, separated by commas; empty is everybody."
    )
    simswitch_esl_deadline_s: float = Field(
        25.0, description="How long a client may stay without a command.", gt=0
    )
    simswitch_event_poll_ms: int = Field(
        0,
        description="How long events wait on an idle connection at most: 20 as in the real switch, 0 not at all.",
        ge=0,
        le=1000,
    )
    simswitch_event_queue: int = Field(
        10_000, description="Events that wait for one listener at most; the real switch keeps 100000.", ge=1
    )
    simswitch_heartbeat_s: float = Field(20.0, description="Interval of HEARTBEAT.", gt=0)
    simswitch_max_sessions: int = Field(2000, description="Legs at most.", ge=0)
    simswitch_sps: int = Field(200, description="New legs a second at most.", ge=0)
    simswitch_dialplan: Path = Field(
        Path("freeswitch/conf/dialplan/peyvand.xml"), description="The dialplan file of the real switch."
    )
    simswitch_ivr: str = Field(
        "", description="Addresses of ivr (cc_ivr of the dialplan): host:port, several separated by '|'."
    )
    simswitch_sounds: Path | None = Field(
        None, description="Folder of sound files (sounds_dir of the dialplan)."
    )
    simswitch_outbound: str = Field(
        "",
        description="Globals ($${name}) of the dialplan that differ here: name=value;name=value.",
    )
    simswitch_ledger: Path | None = Field(
        None, description="File that gets a JSON line for every leg and call."
    )
    simswitch_cdr_spool: Path | None = Field(
        None, description="Folder that gets <uuid>.cdr.json for every leg."
    )
    simswitch_cdr_urls: str = Field(
        "",
        description="Web servers that every leg's record is posted to, separated by blanks; tried in turn.",
    )
    simswitch_cdr_retries: int = Field(0, description="More tries of a post that failed.", ge=0, le=100)
    simswitch_cdr_delay_s: float = Field(5.0, description="Pause before such a try.", ge=0)
    simswitch_cdr_errors: Path | None = Field(
        None, description="Folder that gets the records which no server took."
    )
    simswitch_recordings: Path | None = Field(
        None, description="Folder that recordings must be in; without it they may be anywhere."
    )
    simswitch_speech: Path | None = Field(
        None,
        description="Another folder in which recordings may be: of what callers say to ivr (PEYVAND_IVR_SPEECH_DIR).",
    )
    simswitch_scenario: Path | None = Field(
        None, description="YAML file with the behaviour of callers and agents."
    )
    simswitch_rate: float | None = Field(None, description="Calls a second; overrides the scenario.", ge=0)
    simswitch_time_scale: float | None = Field(
        None, description="How much faster than life people act; overrides the scenario.", gt=0
    )
    simswitch_autostart: bool = Field(
        True, description="Begin the scenario at once; false waits for POST /v1/scenario/start."
    )
    simswitch_seed: int = Field(1, description="Seed of all chance.")
    simswitch_duration_s: float = Field(0.0, description="New calls end after so long; 0 is never.", ge=0)
    simswitch_missing_file_ms: int = Field(
        2000,
        description="How long a missing sound file plays; 0 makes it FILE NOT FOUND, as in the real switch.",
        ge=0,
    )


def nodes(settings: SimswitchSettings) -> dict[str, int]:
    """Event socket ports by node, the first one first. Raises ConfigError."""
    found = {settings.simswitch_node: settings.simswitch_esl_port}
    for text in filter(None, (part.strip() for part in settings.simswitch_nodes.split(","))):
        name, _, port = text.partition("=")
        if not is_token(name) or name in found or not port.isdigit() or int(port) > 65535:
            raise ConfigError(
                f"PEYVAND_SIMSWITCH_NODES: expected name=PORT with another name for each, found {text!r}"
            )
        found[name] = int(port)
    return found


def networks(settings: SimswitchSettings) -> tuple[IPv4Network | IPv6Network, ...]:
    """Who may connect to the event socket; empty is everybody. Raises ConfigError."""
    texts = [text.strip() for text in settings.simswitch_esl_network.split(",") if text.strip()]
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as e:
        raise ConfigError(
            f"PEYVAND_SIMSWITCH_ESL_NETWORK: {e}; expected networks such as 10.0.0.0/8"
        ) from None


def cdr_urls(settings: SimswitchSettings) -> list[str]:
    """Where records are posted. Raises ConfigError."""
    urls = settings.simswitch_cdr_urls.split()
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"PEYVAND_SIMSWITCH_CDR_URLS: expected http://... or https://..., found {url!r}"
            )
    return urls


def overrides(settings: SimswitchSettings) -> dict[str, str]:
    """Globals of the dialplan that the settings give. Raises ConfigError."""
    values: dict[str, str] = {}
    if settings.simswitch_ivr:
        values["cc_ivr"] = settings.simswitch_ivr
    if settings.simswitch_sounds is not None:
        values["sounds_dir"] = values["cc_sounds"] = str(settings.simswitch_sounds.resolve())
    for pair in filter(None, settings.simswitch_outbound.split(";")):
        name, equals, value = pair.strip().partition("=")
        if not name or not equals:
            raise ConfigError(f"PEYVAND_SIMSWITCH_OUTBOUND: expected name=value, found {pair!r}")
        values[name] = value
    return values
