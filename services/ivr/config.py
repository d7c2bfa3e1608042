"""Settings of ivr: environment variables with the prefix ``PEYVAND_``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from services.common.config import CenterSettings
from services.common.errors import ConfigError
from services.common.webclient import Network, networks
from services.ivr.recognisers.engine import named


class IvrSettings(CenterSettings):
    """Where FreeSWITCH connects to, how it finds prompts, and what bounds a call."""

    ivr_esl_host: str = Field(
        "127.0.0.1", description="Address on which the dialplan's socket application finds ivr."
    )
    ivr_esl_port: int = Field(8084, description="Port of the same; 0 takes a free one.", ge=0, le=65535)
    ivr_sounds_dir: str = Field(
        "${sounds_dir}",
        description="Sounds folder as FreeSWITCH sees it. The default is FreeSWITCH's own variable for it.",
        min_length=1,
    )
    ivr_recordings_dir: str = Field(
        "${recordings_dir}",
        description="Folder for messages, as FreeSWITCH sees it; the recording service looks into the same. "
        "The default is FreeSWITCH's own variable for it.",
        min_length=1,
        pattern=r"^[^\s]+$",
    )
    ivr_transfer_dial: str = Field(
        "sofia/gateway/trunk/{number}",
        description="Dial string for transfers out of a flow, for centers whose document has no trunks; {number} is replaced.",
        pattern=r"^[^\s\r\n]*\{number\}[^\s\r\n]*$",
    )
    ivr_transfer_ring_s: int = Field(45, description="How long a transfer rings.", ge=5, le=300)
    ivr_secrets_dir: Path | None = Field(
        None,
        description="Folder with the secrets that headers of web services name: <folder>/<tenant>/<name>, one line each.",
    )
    ivr_web_private: str = Field(
        "",
        description="Networks that are not global and in which web services of flows may be, separated by commas: 10.1.2.0/24. "
        "Whoever edits a center document can have them asked.",
    )
    ivr_web_ca: Path | None = Field(
        None, description="File (PEM) with authorities for web services, beside the system's."
    )
    ivr_max_sessions: int = Field(
        2000, description="Calls at a time; one more goes straight to waiting.", ge=1
    )
    ivr_max_steps: int = Field(
        200, description="Nodes a call may go through before the fallback queue.", ge=1
    )
    ivr_max_time_s: int = Field(
        900, description="Seconds in a flow before the fallback queue.", ge=10, le=86_400
    )
    ivr_outbox_size: int = Field(
        20_000, description="Facts kept in memory while the bus is down; more are lost and counted.", ge=100
    )
    ivr_speech_dir: Path | None = Field(
        None,
        description="Folder that ivr and FreeSWITCH see under the same path, writable for both: texts as they were spoken, and for a "
        "moment what callers say. Empty: nothing is spoken but by FreeSWITCH's own modules, and nothing understood.",
    )
    ivr_voice: Literal["espeak-ng", "http", "switch", "none"] = Field(
        "espeak-ng",
        description="Who speaks texts: the program espeak-ng, a service (PEYVAND_IVR_VOICE_URL), a module of FreeSWITCH "
        "(PEYVAND_IVR_VOICE_MODULE), or nobody.",
    )
    ivr_voice_url: str = Field(
        "",
        description="Of the service: POST of {text, language, voice} as JSON, answered by a WAV file of 16 bit.",
        pattern=r"^(https?://\S+)?$",
    )
    ivr_voice_token: SecretStr = Field(
        SecretStr(""), description="Bearer token for the service, if it wants one."
    )
    ivr_voice_module: str = Field(
        "flite",
        description="FreeSWITCH's name of the module's engine: flite, tts_commandline ...",
        pattern=r"^[a-z0-9_]+$",
    )
    ivr_voice_timeout_s: float = Field(
        4.0, description="How long a caller waits in silence for a text to be spoken.", gt=0, le=30
    )
    ivr_voice_at_a_time: int = Field(
        2, description="Texts made at a time; four times as many may wait.", ge=1, le=64
    )
    ivr_voice_kept_mb: int = Field(256, description="Room for texts as they were spoken.", ge=1)
    ivr_recognisers: str = Field(
        "en=pocketsphinx",
        description="Who understands callers, by language: en=pocketsphinx,fa=vosk:/models/vosk-model-small-fa-0.5. "
        "Languages that are not here are served by keys.",
    )
    ivr_recognising: int = Field(
        1,
        description="Answers understood at a time in each language, each by a process that takes a processor meanwhile; twice as many "
        "may wait, the next one is served by keys.",
        ge=1,
        le=64,
    )
    ivr_stop_grace_s: float = Field(
        5.0,
        description="Seconds that calls may go on in their flow after the process was told to stop.",
        ge=0,
        le=8,
    )

    @field_validator("ivr_web_private")
    @classmethod
    def _networks(cls, text: str) -> str:
        try:
            networks(_parts(text))
        except ConfigError as e:
            raise ValueError(str(e)) from None
        return text

    @field_validator("ivr_recognisers")
    @classmethod
    def _recognisers(cls, text: str) -> str:
        for part in _parts(text):
            language, equals, recogniser = part.partition("=")
            if not equals or len(language) != 2:
                raise ValueError(f'"{part}" is no <language>=<recogniser>')
            try:
                named(recogniser)
            except ConfigError as e:
                raise ValueError(str(e)) from None
        return text

    @model_validator(mode="after")
    def _voice(self) -> IvrSettings:
        if self.ivr_voice == "http" and not self.ivr_voice_url:
            raise ValueError("PEYVAND_IVR_VOICE=http needs PEYVAND_IVR_VOICE_URL")
        return self

    def web_networks(self) -> tuple[Network, ...]:
        """``ivr_web_private`` as networks."""
        return networks(_parts(self.ivr_web_private))

    def recognisers(self) -> dict[str, str]:
        """The recogniser of each language."""
        parts = (part.partition("=") for part in _parts(self.ivr_recognisers))
        return {language: recogniser for language, _, recogniser in parts}


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
