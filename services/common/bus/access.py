"""Who this process is to NATS, and whom it trusts: user and password, an nkey, a credentials file; TLS.

    PEYVAND_NATS_USER, PEYVAND_NATS_PASSWORD   or   PEYVAND_NATS_NKEY_FILE (a seed)   or   PEYVAND_NATS_CREDS_FILE (JWT and seed)
    PEYVAND_NATS_TLS_CA_FILE (who signs the servers' certificates; also turns TLS on), PEYVAND_NATS_TLS_CERT_FILE, _TLS_KEY_FILE (ours)

The files are read again at each connection, so that a secret that was replaced holds from the next one on.
"""

from __future__ import annotations

import importlib.util
import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import ConfigError

PREFIX = "PEYVAND_NATS_"


class NatsAccess(BaseSettings):
    """How to log in; nothing set: without a name, in the clear."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    user: str = Field("", description="Name at NATS; with a password.")
    password: str = Field("", description="Password at NATS.", repr=False)
    nkey_file: Path | None = Field(None, description="File with an nkey's seed (SU...).")
    creds_file: Path | None = Field(None, description="Credentials file with a user's JWT and seed.")
    tls_ca_file: Path | None = Field(
        None, description="Certificates (PEM) that sign the servers'; turns TLS on."
    )
    tls_cert_file: Path | None = Field(None, description="Our certificate (PEM), if the servers ask for one.")
    tls_key_file: Path | None = Field(None, description="Our certificate's private key (PEM).")

    @field_validator("nkey_file", "creds_file", "tls_ca_file", "tls_cert_file", "tls_key_file", mode="before")
    @classmethod
    def _readable(cls, value: object) -> object:
        if not value:
            return None
        try:
            Path(str(value)).read_bytes()
        except OSError as e:
            raise ValueError(f"expected a file that can be read: {e}") from None
        return value

    @model_validator(mode="after")
    def _one_way(self) -> NatsAccess:
        ways = [
            bool(self.user or self.password), self.nkey_file is not None, self.creds_file is not None
        ]  # fmt: skip
        if sum(ways) > 1:
            raise ValueError(
                f"expected one of {PREFIX}USER with _PASSWORD, {PREFIX}NKEY_FILE, {PREFIX}CREDS_FILE"
            )
        if bool(self.user) != bool(self.password):
            raise ValueError(f"expected {PREFIX}USER and {PREFIX}PASSWORD together")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError(f"expected {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE together")
        if (ways[1] or ways[2]) and importlib.util.find_spec("nkeys") is None:
            raise ValueError(
                f"{PREFIX}NKEY_FILE and {PREFIX}CREDS_FILE need the package nkeys, which is not installed"
            )
        return self

    def options(self) -> dict[str, Any]:
        """What nats-py's ``connect`` wants for it. Raises ConfigError for files without what they should hold."""
        options: dict[str, Any] = {}
        if self.user:
            options |= {"user": self.user, "password": self.password}
        if self.nkey_file is not None:
            options["nkeys_seed"] = str(self.nkey_file)
        if self.creds_file is not None:
            options["user_credentials"] = str(self.creds_file)
        if self.tls_ca_file is not None or self.tls_cert_file is not None:
            options["tls"] = self._tls()
        return options

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self.tls_ca_file) if self.tls_ca_file else None)
            if self.tls_cert_file is not None and self.tls_key_file is not None:
                context.load_cert_chain(str(self.tls_cert_file), str(self.tls_key_file))
        except OSError as e:  # ssl.SSLError is one
            raise ConfigError(
                f"{PREFIX}TLS_CA_FILE, _TLS_CERT_FILE or _TLS_KEY_FILE: expected certificates and a key in PEM ({e})"
            ) from None
        return context


def from_environment() -> NatsAccess:
    """Read the variables. Raises ConfigError that names each wrong one and what was expected."""
    try:
        access = NatsAccess()
    except ValidationError as e:
        lines = [
            f"  {PREFIX + str(err['loc'][0]).upper() + ': ' if err['loc'] else ''}{err['msg'].removeprefix('Value error, ')}"
            for err in e.errors(include_url=False)
        ]
        raise ConfigError("settings are wrong:\n" + "\n".join(lines)) from None
    access.options()
    return access
