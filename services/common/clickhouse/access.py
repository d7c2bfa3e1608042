"""Accounts of ClickHouse users, told once and rendered twice: as SQL for a server, as users.xml for the embedded engine.

The embedded engine has no storage in which ``CREATE USER`` could keep anything (error 514): its users stand in the file
that it reads when it starts. Production has only SQL. So an account is data here, and a test asks the engine to show an
account of its users.xml as SQL (``SHOW CREATE USER``, ``SHOW GRANTS``, ``SHOW CREATE ROW POLICIES``) and compares it with ours.

Row policies hold for SELECT and are permissive: of a table, an account sees the rows that its condition names. A table
without a condition for anybody is open to whoever has the grant, so an account must be granted nothing beyond the tables
that its policies name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from services.common.errors import ConfigError

ACCOUNTS_FILE: Final = "accounts.json"
"""In the embedded engine's folder: the accounts beside its own, as JSON."""
NAME: Final = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
_SHA256: Final = re.compile(r"^[0-9a-f]{64}$")
_DATABASE: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
_SETTING: Final = re.compile(r"^[a-z_]+$")
_GRANT: Final = re.compile(r"^[A-Z ]+ ON [A-Za-z0-9_`.*]+$")


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A setting's value and the bounds within which the user may change it; no bounds: not at all."""

    setting: str
    value: int
    least: int | None = None
    most: int | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows of a table the account sees: ``condition`` is SQL over the table's columns."""

    database: str
    table: str
    condition: str


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user. ``password_sha256`` is hexadecimal; empty: nobody can log in, views run as this user.

    ``grants`` are texts such as ``SELECT ON `db`.`table` ``; ``policies`` belong to this account alone.
    """

    name: str
    password_sha256: str = ""
    grants: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for what would not be one name, hash or grant once it stands in SQL or XML."""
        for what, pattern, values in (
            ("name", NAME, (self.name,)),
            ("password_sha256", _SHA256, (self.password_sha256,) if self.password_sha256 else ()),
            ("grant", _GRANT, self.grants),
            ("database or table", _DATABASE, [n for p in self.policies for n in (p.database, p.table)]),
            ("setting", _SETTING, [limit.setting for limit in self.limits]),
        ):
            for value in values:
                if not pattern.fullmatch(value):
                    raise ConfigError(
                        f"account {self.name!r}: {what} {'' if what == 'password_sha256' else repr(value)}: expected {pattern.pattern}"
                    )

    def __repr__(self) -> str:
        return f"Account({self.name})"


def hashed(password: str) -> str:
    """What an account keeps of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------- as a file
def dumps(accounts: Sequence[Account]) -> str:
    """The text of ``ACCOUNTS_FILE``."""
    return msgspec.json.format(msgspec.json.encode(list(accounts)), indent=1).decode() + "\n"


def loads(text: str) -> list[Account]:
    """Raises ConfigError that says what of the text is wrong."""
    try:
        return msgspec.json.decode(text, type=list[Account])
    except msgspec.MsgspecError as e:
        raise ConfigError(f"{ACCOUNTS_FILE}: {e}") from None


# --------------------------------------------------------------------------------------------------------------- as XML
def profiles_xml(accounts: Iterable[Account]) -> str:
    """The ``<profiles>`` of users.xml that the accounts need, one each under the account's own name."""
    return "\n".join(f"<{a.name}>{_limits_xml(a.limits)}</{a.name}>" for a in accounts)


def users_xml(accounts: Iterable[Account], network: str) -> str:
    """The ``<users>`` of users.xml. Who can log in comes from ``network``."""
    return "\n".join(_user_xml(a, network) for a in accounts)


def _limits_xml(limits: Iterable[Limit]) -> str:
    limits = list(limits)
    values = "".join(f"<{x.setting}>{x.value}</{x.setting}>" for x in limits)
    bounds = "".join(f"<{x.setting}>{_bounds_xml(x)}</{x.setting}>" for x in limits)
    return f"{values}<constraints>{bounds}</constraints>"


def _bounds_xml(limit: Limit) -> str:
    if limit.least is None and limit.most is None:
        return "<const/>"
    least = "" if limit.least is None else f"<min>{limit.least}</min>"
    return least + ("" if limit.most is None else f"<max>{limit.most}</max>")


def _user_xml(account: Account, network: str) -> str:
    # There is no "nobody" among the networks of users.xml; the unspecified address is one that nobody comes from.
    where = network if account.password_sha256 else "::"
    password = account.password_sha256 or hashlib.sha256(json.dumps(account.name).encode()).hexdigest()
    grants = "".join(f"<query>{escape(f'GRANT {grant}')}</query>" for grant in account.grants)
    policies = "".join(
        f"<database name={quoteattr(p.database)}><table name={quoteattr(p.table)}><filter>{escape(p.condition)}</filter></table></database>"
        for p in account.policies
    )
    return (
        f"<{account.name}><password_sha256_hex>{password}</password_sha256_hex><networks><ip>{where}</ip></networks>"
        f"<profile>{account.name}</profile><quota>default</quota>"
        f"<grants>{grants}</grants><databases>{policies}</databases></{account.name}>"
    )


# --------------------------------------------------------------------------------------------------------------- as SQL
def create_sql(account: Account, on_cluster: str = "") -> list[str]:
    """Statements that make the account, or change it to this; each may run twice. Without a hash an existing password stays."""
    quoted = f"`{account.name}`"
    limits = ", ".join(_limit_sql(limit) for limit in account.limits)
    settings = f" SETTINGS {limits}" if limits else ""
    if account.password_sha256:
        made = f"IDENTIFIED WITH sha256_hash BY '{account.password_sha256}'"
        statements = [
            f"CREATE USER IF NOT EXISTS {quoted} {on_cluster} {made}{settings}",
            f"ALTER USER {quoted} {on_cluster} {made}{settings}",
        ]
    else:
        statements = [
            # Nobody logs in as this one; a hash of nothing in particular satisfies servers that refuse users without any.
            f"CREATE USER IF NOT EXISTS {quoted} {on_cluster} IDENTIFIED WITH sha256_hash BY '{'0' * 64}' HOST NONE{settings}",
            f"ALTER USER {quoted} {on_cluster} HOST NONE{settings}",
        ]
    statements += [
        f"CREATE ROW POLICY OR REPLACE `{account.name}` {on_cluster} ON `{p.database}`.`{p.table}` FOR SELECT USING {p.condition} TO {quoted}"
        for p in account.policies
    ]
    statements += [f"GRANT {on_cluster} {grant} TO {quoted}" for grant in account.grants]
    return [re.sub(r"  +", " ", statement) for statement in statements]


def drop_sql(name: str, tables: Iterable[tuple[str, str]], on_cluster: str = "") -> list[str]:
    """Statements that remove an account and its policies on ``tables`` (database, table); each may run twice."""
    statements = [f"DROP USER IF EXISTS `{name}` {on_cluster}"]
    statements += [
        f"DROP ROW POLICY IF EXISTS `{name}` ON `{database}`.`{table}` {on_cluster}"
        for database, table in tables
    ]
    return [statement.strip() for statement in statements]


def _limit_sql(limit: Limit) -> str:
    if limit.least is None and limit.most is None:
        return f"{limit.setting} = {limit.value} CONST"
    least = "" if limit.least is None else f" MIN {limit.least}"
    return f"{limit.setting} = {limit.value}{least}" + ("" if limit.most is None else f" MAX {limit.most}")
