"""A mail server in the test's event loop (aiosmtpd), which keeps what it takes."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import warnings
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class MailServer:
    """Listens on a free port of loopback from ``start`` to ``stop``. With ``user`` it takes mail only after AUTH."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.taken: list[tuple[str, EmailMessage]] = []
        self.in_tls: list[bool] = []
        """Of each mail, whether it came so."""
        self.logins: list[tuple[str, str]] = []
        self.refuses = False
        self.port = 0
        self._tls, self._starttls = tls, starttls
        self._user, self._password = user, password
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        def protocol() -> SMTP:
            with warnings.catch_warnings(
                action="ignore", category=UserWarning
            ):  # that a password without TLS is not safe
                return SMTP(
                    self,
                    tls_context=self._starttls,
                    authenticator=self._authenticate if self._user else None,
                    auth_required=bool(self._user),
                    auth_require_tls=self._starttls is not None,
                    enable_SMTPUTF8=True,
                    hostname="mail.example.com",
                    loop=loop,
                )

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, said: Any
    ) -> AuthResult:
        assert isinstance(said, LoginPassword)
        user, password = said.login.decode(), said.password.decode()
        self.logins.append((user, password))
        return AuthResult(success=(user, password) == (self._user, self._password), handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuses:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.taken += [(address, message) for address in envelope.rcpt_tos]
        self.in_tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"
