"""ClickHouse behind one port. Only ``reporting`` uses it; the embedded engine and a cluster differ in the URL alone.

``Store`` is the port, ``ServerStore`` (``server.py``) the adapter over clickhouse-driver's native protocol, and
``EmbeddedClickHouse`` (``embedded.py``) a supervised server process out of the chdb-core wheel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from services.common.errors import ConfigError, ContractError

Row = dict[str, Any]

_IDENTIFIER: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")


class StoreRefused(ContractError):
    """ClickHouse understood the statement and refused it: wrong SQL, wrong types, no rights. Sending it again is useless.

    ``code`` is ClickHouse's own error number.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"ClickHouse refused the statement (code {code}): {message}")
        self.code = code


class ValuesRefused(StoreRefused):
    """Values that do not fit their columns. The statement is fine: other rows may be inserted by it."""


class Store(Protocol):
    """A ClickHouse server as a service sees it.

    Every method raises StoreUnavailable when there was no confirmed answer (try again; an insert under the same token
    and block is stored once) and StoreRefused when the server said no.
    """

    async def ping(self) -> str:
        """Return the server's version."""
        ...

    async def query(
        self, sql: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> list[Row]:
        """Return the rows of one SELECT as dicts by column name.

        ``params`` fill ``{name:Type}`` places on the server, so values are never part of the SQL text. ``timeout_s``
        also ends the query on the server.
        """
        ...

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, token: str
    ) -> None:
        """Store ``rows`` as one block, whole or not at all; returns after ClickHouse confirmed.

        ``token`` is the block's identity: the same block sent again under it within the table's deduplication window
        is stored once. Never use one token for different rows.
        """
        ...

    async def command(
        self, sql: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> None:
        """Run one statement without a result: DDL, or INSERT ... SELECT with ``params`` as in ``query``."""
        ...

    async def stop(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True)
class StoreUrl:
    """``clickhouse://user:password@host:port/database``; ``clickhouses://`` for TLS."""

    host: str
    port: int
    user: str
    password: str
    database: str
    secure: bool = False

    @classmethod
    def parse(cls, url: str) -> StoreUrl:
        """Raises ConfigError that says which part is wrong; the password is never part of the text."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its text may hold a part of the password
            raise ConfigError(
                "PEYVAND_CLICKHOUSE_URL: expected clickhouse://user:password@host:port/database, the password percent-encoded"
            ) from None
        if parts.scheme not in ("clickhouse", "clickhouses"):
            raise ConfigError(
                f"PEYVAND_CLICKHOUSE_URL: expected clickhouse://user:password@host:port/database, found scheme {parts.scheme!r}"
            )
        if not parts.hostname:
            raise ConfigError("PEYVAND_CLICKHOUSE_URL: expected a host after '@'")
        database = unquote(parts.path.strip("/")) or "peyvand"
        if not _IDENTIFIER.fullmatch(database):
            raise ConfigError(
                f"PEYVAND_CLICKHOUSE_URL: database {database!r} is no name (letters, digits and '_')"
            )
        secure = parts.scheme == "clickhouses"
        return cls(
            host=parts.hostname,
            port=port or (9440 if secure else 9000),
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=database,
            secure=secure,
        )

    def __repr__(self) -> str:
        return f"StoreUrl({self.user}@{self.host}:{self.port}/{self.database})"


__all__ = ["Row", "Store", "StoreRefused", "StoreUrl", "ValuesRefused"]
