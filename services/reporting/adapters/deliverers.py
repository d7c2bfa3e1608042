"""How reports leave: e-mail by SMTP, and files in folders. Objects in S3 are in ``s3``."""

from __future__ import annotations

import asyncio
import hashlib
import os
import smtplib
import ssl
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from services.common.errors import ConfigError, PeyvandError

_TIMEOUT_S: Final = 30.0


Starttls = Literal["offered", "required", "never"]
"""Of a server at ``smtp://``. ``offered``: TLS where the server offers it, and no password without; ``never``: all in the clear."""


class DeliveryFailed(PeyvandError):
    """It did not leave; the text says why."""


class Parcel(msgspec.Struct, frozen=True):
    """A report on its way. ``key`` names this report for ever: every attempt at it has the same."""

    key: str
    tenant: str
    subject: str
    page: str
    """HTML."""
    text: str
    """For who reads no HTML."""
    file_name: str
    media_type: str
    content: bytes
    at_us: int
    labels: Mapping[str, str] = {}
    """What it is, in ASCII, for who finds the file without this program: tenant, schedule, from, to."""


class Deliverer(Protocol):
    """One kind of target."""

    async def deliver(self, where: str, parcel: Parcel) -> None:
        """Returns when the parcel was taken over. Raises DeliveryFailed."""
        ...


class SmtpUrl(msgspec.Struct, frozen=True):
    """``smtp://user:password@host:port`` (TLS by STARTTLS, see ``Starttls``), ``smtps://`` for TLS from the start."""

    host: str
    port: int
    user: str
    password: str
    secure: bool

    def __repr__(self) -> str:
        return f"SmtpUrl({self.host}:{self.port})"

    @classmethod
    def parse(cls, url: str) -> SmtpUrl:
        """Raises ConfigError that says which part is wrong; the password is never part of the text."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ConfigError(
                "expected smtp://user:password@host:port, the password percent-encoded"
            ) from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ConfigError("expected smtp://user:password@host:port or smtps://…")
        secure = parts.scheme == "smtps"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not (user + password).isascii():  # smtplib would fail at each report
            raise ConfigError("expected user and password in ASCII")
        return cls(parts.hostname, port or (465 if secure else 587), user, password, secure)


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """How servers are verified: by these authorities alone, or by the system's. Raises ConfigError for a file that has none."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as e:  # ssl.SSLError is one
        raise ConfigError(f"{ca_file}: expected certificates of authorities (PEM): {e}") from None


class MailDeliverer:
    """Sends by one mail server, in a thread: a report takes seconds and there are few of them."""

    def __init__(
        self,
        url: SmtpUrl,
        sender: str,
        tls: ssl.SSLContext | None = None,
        starttls: Starttls = "offered",
        *,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """``sender``: ``Name <address>`` or an address; ``tls`` of ``trusting``. Raises ConfigError."""
        if "@" not in parseaddr(sender)[1]:
            raise ConfigError(f"{sender!r}: expected an address, or Name <address>")
        self._url = url
        self._sender = sender
        self._tls = tls or trusting(None)
        self._starttls = starttls
        self._timeout_s = timeout_s

    async def deliver(self, where: str, parcel: Parcel) -> None:
        message = self.message(where, parcel)
        try:
            await asyncio.to_thread(self._send, message)
        except (smtplib.SMTPException, OSError) as e:
            raise DeliveryFailed(f"mail server {self._url.host}:{self._url.port}: {_said(e)}") from None

    def message(self, where: str, parcel: Parcel) -> EmailMessage:
        """The mail. All attempts at it have one Message-ID, so that programs which drop repetitions can."""
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = where
        message["Subject"] = parcel.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(parcel.at_us / 1e6, UTC))
        name = hashlib.sha256(f"{parcel.key} {where}".encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{name}@{parseaddr(self._sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(parcel.text)
        message.add_alternative(parcel.page, subtype="html")
        main, _, sub = parcel.media_type.partition("/")
        message.add_attachment(
            parcel.content, maintype=main, subtype=sub.partition(";")[0], filename=parcel.file_name
        )
        return message

    def _send(self, message: EmailMessage) -> None:
        with (
            smtplib.SMTP_SSL(self._url.host, self._url.port, timeout=self._timeout_s, context=self._tls)
            if self._url.secure
            else smtplib.SMTP(self._url.host, self._url.port, timeout=self._timeout_s)
        ) as server:
            if not self._url.secure and self._starttls != "never":
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
                    server.starttls(context=self._tls)
                elif self._url.user or self._starttls == "required":
                    # Who stands in between may have taken the offer out of the answer to get the password.
                    raise smtplib.SMTPNotSupportedError(
                        "it offers no STARTTLS, and nothing is sent in the clear (PEYVAND_REPORTING_SMTP_STARTTLS)"
                    )
            if self._url.user:
                server.login(self._url.user, self._url.password)
            server.send_message(message)


def _said(e: Exception) -> str:
    if isinstance(e, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{code} {text.decode(errors='replace')}" for code, text in e.recipients.values())
    if isinstance(e, smtplib.SMTPResponseException):
        text = e.smtp_error.decode(errors="replace") if isinstance(e.smtp_error, bytes) else e.smtp_error
        return f"{e.smtp_code} {text}"
    if isinstance(e, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {e.verify_message} (a private authority: PEYVAND_REPORTING_SMTP_CA)"
    if isinstance(e, ssl.SSLError):
        return f"no TLS that both agree on: {e.reason or e}"
    return str(e) or type(e).__name__


class FolderDeliverer:
    """Writes files whole or not at all, each tenant's in a folder of its own; the same report again replaces its file."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def deliver(self, where: str, parcel: Parcel) -> None:
        try:
            await asyncio.to_thread(self._write, self._root / parcel.tenant / where, parcel)
        except OSError as e:
            raise DeliveryFailed(f"folder {where}: {e.strerror or e}") from None

    def _write(self, folder: Path, parcel: Parcel) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(parcel.content)
            Path(temporary).chmod(0o640)
            Path(temporary).replace(folder / parcel.file_name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
