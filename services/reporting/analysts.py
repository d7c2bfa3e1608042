"""Analysts' access to ClickHouse: ``python -m services.reporting.analysts add|remove|list|sync``.

Theory of operation
-------------------
Row policies of ClickHouse hold where a table is read. Put on a view, they are only one more filter, and a condition of the
analyst's own may be evaluated before it: ``throwIf(talk_ms = 1234)`` then tells by its error what another tenant has. Put on
the tables, they hold; but then the analyst needs the right to read the tables, and ``system.tables`` shows how many rows all
tenants have, ``mergeTreeAnalyzeIndexes`` which keys there are. (All of this was tried: adr/0055.) So:

* ``NAME__views`` is a user as whom nobody can log in. It may read the tables and views of the installation's database, and
  on every table a row policy shows it the rows of the analyst's tenants.
* The database ``<database>_NAME`` holds one view for each ``v_*`` view, which runs with the rights of ``NAME__views``
  (SQL SECURITY DEFINER). Columns carry the comments of the dictionary.
* ``NAME`` may read that database and nothing else, within limits of time, memory and rows.

Everything may be run again: ``sync`` brings all analysts' views and policies to what the migrations made of the tables. A table
that is new since then can be reached by nobody until it has run.

A server keeps users itself; the embedded engine reads them from its folder (``--embedded DIR``) and begins anew for it.
Passwords are made here or read from standard input, printed once, and stored as their SHA-256 only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog
from msgspec import structs

from services.common import config, log
from services.common.clickhouse import Store, StoreRefused, StoreUrl, access, embedded
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable
from services.reporting import dictionary
from services.reporting.config import ReportingSettings
from services.reporting.core.dictionary import Relation
from services.reporting.migrate import serving

logger = structlog.get_logger()

VIEWS_SUFFIX: Final = "__views"
MIN_PASSWORD: Final = 12
_TENANT: Final = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
_RESERVED: Final = frozenset({"default", "analyst", "launcher", "peyvand", "all"})  # all: see migrate.serving
_OTHERS: Final = "peyvand_others"
_BOOK: Final = "analyst_users"
_RESTART_S: Final = 120.0


@dataclass(frozen=True)
class Analyst:
    """Whom to let in, to which tenants, within which limits."""

    name: str
    tenants: tuple[str, ...]
    seconds: int = 60
    memory_mib: int = 1024
    rows: int = 1_000_000

    def __post_init__(self) -> None:
        """Raises ConfigError that names what is wrong."""
        if not access.NAME.fullmatch(self.name) or self.name.endswith(VIEWS_SUFFIX) or self.name in _RESERVED:
            raise ConfigError(
                f"analyst {self.name!r}: expected a name of small letters, digits and '_' that is not one of {sorted(_RESERVED)}"
            )
        if not self.tenants:
            raise ConfigError(f"analyst {self.name}: expected a tenant or more")
        for tenant in self.tenants:
            if not _TENANT.fullmatch(tenant):
                raise ConfigError(f"analyst {self.name}: {tenant!r} is no tenant")
        for what, value in (("seconds", self.seconds), ("memory", self.memory_mib), ("rows", self.rows)):
            if value < 1:
                raise ConfigError(f"analyst {self.name}: {what}: expected 1 or more, found {value}")

    @property
    def views_user(self) -> str:
        return self.name + VIEWS_SUFFIX

    def database(self, of: str) -> str:
        """The analyst's own database, beside the installation's ``of``."""
        return f"{of}_{self.name}"

    @property
    def condition(self) -> str:
        """SQL that is true for rows of the analyst's tenants."""
        return f"tenant IN ({', '.join(_text(tenant) for tenant in sorted(self.tenants))})"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# ------------------------------------------------------------------------------------------------------ what they may read
def _has_tenant(relation: Relation) -> bool:
    return any(column.name == "tenant" for column in relation.columns)


def kept_tables(found: Iterable[Relation]) -> list[str]:
    """Tables with rows of tenants in them, on which row policies stand. A Distributed table has no rows: ClickHouse refuses
    to read one that has a policy, and its policies are those of the tables below it."""
    return [r.name for r in found if r.kind == "table" and _has_tenant(r) and "MergeTree" in r.engine]


def shown_views(found: Iterable[Relation]) -> list[Relation]:
    """Views that analysts see."""
    return [r for r in found if r.kind == "view" and r.name.startswith("v_") and _has_tenant(r)]


def accounts(
    analyst: Analyst, found: Sequence[Relation], database: str, password_sha256: str, *, served: str = ""
) -> tuple[access.Account, access.Account]:
    """The user as whom the views run, and the analyst's. ``served``: the database that is read from, where it is another one
    (adr/0051); policies stand on the tables below it."""
    readable = [
        r.name for r in found if _has_tenant(r) or (r.kind == "view" and not r.columns)
    ]  # views with parameters have no columns of their own, and read tables that have policies
    memory = analyst.memory_mib * 1024 * 1024
    views = access.Account(
        name=analyst.views_user,
        grants=tuple(
            f"SELECT ON `{one}`.`{name}`"
            for one in dict.fromkeys((database, served or database))
            for name in readable
        ),
        policies=tuple(access.Policy(database, name, analyst.condition) for name in kept_tables(found)),
    )
    user = access.Account(
        name=analyst.name,
        password_sha256=password_sha256,
        grants=(f"SELECT ON `{analyst.database(database)}`.*",),
        limits=(
            # 2: settings may change, for clients that send some with every query; of the limits, 0 means none.
            access.Limit("readonly", 2),
            access.Limit("max_execution_time", analyst.seconds, 1, analyst.seconds),
            access.Limit("max_memory_usage", memory, 1, memory),
            access.Limit("max_memory_usage_for_user", 2 * memory),
            access.Limit("max_result_rows", analyst.rows, 1, analyst.rows),
            access.Limit("max_concurrent_queries_for_user", 8),
            # A plan that another replica carries out goes past the policies of its tables.
            access.Limit("serialize_query_plan", 0),
        ),
    )
    return views, user


def view_sql(analyst: Analyst, view: Relation, database: str, on_cluster: str, *, served: str = "") -> str:
    """One view of the analyst's database. The condition stands in it, too: should a server read a shard of a Distributed
    table as somebody else, still nobody else's rows come out."""
    columns = ", ".join(f"`{c.name}` {c.type} COMMENT {_text(c.comment)}" for c in view.columns)
    names = ", ".join(f"`{c.name}`" for c in view.columns)
    select = f"SELECT {names} FROM `{served or database}`.`{view.name}` WHERE {analyst.condition}"  # noqa: S608 - checked names
    return (
        f"CREATE OR REPLACE VIEW `{analyst.database(database)}`.`{view.name}` {on_cluster} ({columns})"
        f" DEFINER = `{analyst.views_user}` SQL SECURITY DEFINER"
        f" AS {select} COMMENT {_text(view.comment)}"
    )


# --------------------------------------------------------------------------------------------------------------- the book
_BOOK_SQL: Final = f"""CREATE TABLE IF NOT EXISTS {{database}}.{_BOOK} {{on_cluster}}
(
    name String COMMENT 'User',
    tenants Array(String) COMMENT 'Whose rows the user sees; empty: removed',
    seconds UInt32 COMMENT 'Longest query',
    memory_mib UInt32 COMMENT 'Memory of one query',
    rows UInt64 COMMENT 'Rows of one answer',
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When it was written'
)
ENGINE = {{replicated}}ReplacingMergeTree(at)
ORDER BY name"""


class Keeper(Protocol):
    """Where accounts are kept."""

    async def put(self, accounts: Sequence[access.Account]) -> None:
        """Make the accounts, or change them; one without a password keeps the one that it has."""
        ...

    async def remove(self, names: Sequence[str], database: str, tables: Sequence[str]) -> None:
        """Remove accounts and their policies on the tables."""
        ...

    async def open_to_others(self, database: str, tables: Sequence[str], views_users: Sequence[str]) -> None:
        """Everybody but the views' users sees all rows, whatever the server does with users whom no policy names."""
        ...


class ServerKeeper:
    """A ClickHouse server or cluster, by SQL. The user of ``store`` needs ACCESS MANAGEMENT with its grant option."""

    def __init__(self, store: Store, on_cluster: str) -> None:
        self._store = store
        self._on_cluster = on_cluster

    async def put(self, accounts: Sequence[access.Account]) -> None:
        for account in accounts:
            for statement in access.create_sql(account, self._on_cluster):
                await self._store.command(statement)

    async def remove(self, names: Sequence[str], database: str, tables: Sequence[str]) -> None:
        for name in names:
            for statement in access.drop_sql(name, [(database, table) for table in tables], self._on_cluster):
                await self._store.command(statement)

    async def open_to_others(self, database: str, tables: Sequence[str], views_users: Sequence[str]) -> None:
        for statement in others_sql(database, tables, views_users, self._on_cluster):
            await self._store.command(statement)


def others_sql(
    database: str, tables: Iterable[str], views_users: Sequence[str], on_cluster: str = ""
) -> list[str]:
    """A server may hide a table with policies from whom none of them names (users_without_row_policies_can_read_rows)."""
    who = "ALL" + (f" EXCEPT {', '.join(f'`{name}`' for name in views_users)}" if views_users else "")
    return [
        " ".join(
            f"CREATE ROW POLICY OR REPLACE `{_OTHERS}` {on_cluster} ON `{database}`.`{table}` FOR SELECT USING 1 TO {who}".split()
        )
        for table in tables
    ]


class EmbeddedKeeper:
    """The embedded engine's folder: it reads accounts when it starts, so it begins anew when they have changed."""

    def __init__(self, folder: Path, *, timeout_s: float = _RESTART_S) -> None:
        self._folder = folder
        self._timeout_s = timeout_s

    async def put(self, accounts: Sequence[access.Account]) -> None:
        kept = {account.name: account for account in self._read()}
        for account in accounts:
            password = account.password_sha256 or (
                kept[account.name].password_sha256 if account.name in kept else ""
            )
            kept[account.name] = structs.replace(account, password_sha256=password)
        await self._write(list(kept.values()))

    async def remove(self, names: Sequence[str], database: str, tables: Sequence[str]) -> None:
        await self._write([account for account in self._read() if account.name not in names])

    async def open_to_others(self, database: str, tables: Sequence[str], views_users: Sequence[str]) -> None:
        """It shows everything to whom no policy names."""

    def _read(self) -> list[access.Account]:
        path = self._folder / access.ACCOUNTS_FILE
        return access.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    async def _write(self, accounts: Sequence[access.Account]) -> None:
        text = access.dumps(sorted(accounts, key=lambda account: account.name))
        self._replace(text)
        if embedded.loaded(self._folder) != access.hashed(text):
            os.kill(self._pid(), signal.SIGHUP)
        await self._until_loaded(access.hashed(text))

    def _replace(self, text: str) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder)  # readable by us alone
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(self._folder / access.ACCOUNTS_FILE)

    def _pid(self) -> int:
        try:
            return int((self._folder / "lock").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ConfigError(
                f"{self._folder}: expected the folder of an embedded ClickHouse that runs"
            ) from None

    async def _until_loaded(self, wanted: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while embedded.loaded(self._folder) != wanted:  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise StoreUnavailable(
                f"the embedded ClickHouse in {self._folder} did not come back with the new accounts within {self._timeout_s:g} s"
            ) from None


class Access:
    """Analysts of one installation; every method raises StoreUnavailable and StoreRefused."""

    def __init__(
        self, store: Store, *, database: str, cluster: str = "", keeper: Keeper | None = None
    ) -> None:
        """``store`` is not bound to ``database`` and may make databases and views; ``keeper`` is the server itself unless
        it is named."""
        self._store = store
        self._database = database
        self._cluster = cluster
        self._served = serving(database, cluster)
        self._on_cluster = f"ON CLUSTER '{cluster}'" if cluster else ""
        self._keeper: Keeper = keeper or ServerKeeper(store, self._on_cluster)

    async def analysts(self) -> list[Analyst]:
        """Those who have access, by name."""
        await self._store.command(
            _BOOK_SQL.format(
                database=f"`{self._database}`",
                on_cluster=self._on_cluster,
                replicated="Replicated" if self._cluster else "",
            )
        )
        rows = await self._store.query(
            f"SELECT name, tenants, seconds, memory_mib, rows FROM `{self._database}`.{_BOOK} FINAL"  # noqa: S608 - a checked name
            " WHERE notEmpty(tenants) ORDER BY name"
        )
        return [
            Analyst(r["name"], tuple(r["tenants"]), r["seconds"], r["memory_mib"], r["rows"]) for r in rows
        ]

    async def add(self, analyst: Analyst, password: str | None) -> None:
        """Let somebody in, or change what they may see; without a password the one of before stays.

        Raises ConfigError when there is none yet, or when a user of that name is somebody else's."""
        if password is not None and len(password) < MIN_PASSWORD:
            raise ConfigError(
                f"analyst {analyst.name}: expected a password of {MIN_PASSWORD} characters or more"
            )
        if analyst.name not in {known.name for known in await self.analysts()}:
            if password is None:
                raise ConfigError(
                    f"analyst {analyst.name}: there is no such analyst yet: a password is needed"
                )
            taken = await self._store.query(
                "SELECT name FROM system.users WHERE name IN ({a:String}, {b:String})",
                {"a": analyst.name, "b": analyst.views_user},
            )
            if taken:
                raise ConfigError(
                    f"analyst {analyst.name}: ClickHouse has a user {taken[0]['name']!r} that is no analyst of ours"
                )
        # The book first: what is half made is listed, and is made whole or removed by the next run.
        await self._write(analyst, analyst.tenants)
        await self._carry_out([analyst], password)
        logger.info("analyst_added", analyst=analyst.name, tenants=list(analyst.tenants))

    async def sync(self) -> list[Analyst]:
        """Bring every analyst's grants, policies and views to the tables and views that there are now."""
        analysts = await self.analysts()
        await self._carry_out(analysts, None)
        return analysts

    async def remove(self, name: str) -> None:
        """Raises ConfigError when there is no such analyst. Queries that run are not ended."""
        known = {analyst.name: analyst for analyst in await self.analysts()}
        if name not in known:
            raise ConfigError(
                f"analyst {name}: there is no such analyst; there are: {', '.join(sorted(known)) or 'none'}"
            )
        analyst = known[name]
        found = await dictionary.read(self._store, self._database)
        own = analyst.database(self._database)
        await self._store.command(f"DROP DATABASE IF EXISTS `{own}` {self._on_cluster} SYNC")
        await self._keeper.remove((analyst.name, analyst.views_user), self._database, kept_tables(found))
        await self._write(analyst, ())
        logger.info("analyst_removed", analyst=name)

    async def _write(self, analyst: Analyst, tenants: Sequence[str]) -> None:
        await self._store.insert(
            f"`{self._database}`.{_BOOK}",
            ("name", "tenants", "seconds", "memory_mib", "rows"),
            [(analyst.name, list(tenants), analyst.seconds, analyst.memory_mib, analyst.rows)],
            token=secrets.token_hex(8),
        )

    async def _carry_out(self, analysts: Sequence[Analyst], password: str | None) -> None:
        found = await dictionary.read(self._store, self._database)
        password_sha256 = access.hashed(password) if password is not None else ""
        everybody = [analyst.views_user for analyst in await self.analysts()]
        # Policies come before grants, and the one for everybody else before both: at no moment does anybody see too much.
        await self._keeper.open_to_others(self._database, kept_tables(found), everybody)
        await self._keeper.put(
            [
                account
                for analyst in analysts
                for account in accounts(analyst, found, self._database, password_sha256, served=self._served)
            ]
        )
        for analyst in analysts:
            await self._show(analyst, found)

    async def _show(self, analyst: Analyst, found: Sequence[Relation]) -> None:
        own = analyst.database(self._database)
        await self._store.command(f"CREATE DATABASE IF NOT EXISTS `{own}` {self._on_cluster}")
        views = shown_views(found)
        for view in views:
            await self._store.command(
                view_sql(analyst, view, self._database, self._on_cluster, served=self._served)
            )
        there = await self._store.query(
            "SELECT name FROM system.tables WHERE database = {own:String}", {"own": own}
        )
        for name in sorted({row["name"] for row in there} - {view.name for view in views}):
            await self._store.command(f"DROP VIEW IF EXISTS `{own}`.`{name}` {self._on_cluster}")


# ------------------------------------------------------------------------------------------------------------ the command
async def run(args: argparse.Namespace, settings: ReportingSettings) -> None:
    """Carry one command out. Raises ConfigError, StoreUnavailable and StoreRefused."""
    url = StoreUrl.parse(settings.clickhouse_url)
    store = ServerStore(url, threads=1, database="default")
    keeper = EmbeddedKeeper(args.embedded) if args.embedded else None
    rights = Access(store, database=url.database, cluster=settings.clickhouse_cluster, keeper=keeper)
    try:
        if args.what == "list":
            for known in await rights.analysts():
                _say(
                    f"{known.name}: {', '.join(known.tenants)} in the database {known.database(url.database)}"
                )
        elif args.what == "sync":
            for known in await rights.sync():
                _say(f"{known.name} is current")
        elif args.what == "remove":
            await rights.remove(args.name)
        else:
            wanted = Analyst(args.name, tuple(args.tenants), args.seconds, args.memory_mib, args.rows)
            password: str | None = None
            if args.password_stdin:
                password = sys.stdin.readline().rstrip("\n")
            elif args.new_password or args.name not in {known.name for known in await rights.analysts()}:
                password = secrets.token_urlsafe(24)
            await rights.add(wanted, password)
            _say(f"user {wanted.name}, database {wanted.database(url.database)}")
            if password is not None and not args.password_stdin:
                _say(f"password {password} (it is shown this once)")
    finally:
        await store.stop()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.reporting.analysts",
        description="Read-only users of ClickHouse who see some tenants and nothing else; PEYVAND_CLICKHOUSE_URL says where.",
    )
    parser.add_argument(
        "--embedded",
        type=Path,
        metavar="DIR",
        help="the embedded engine's folder; its server begins anew for new users",
    )
    commands = parser.add_subparsers(dest="what", required=True)
    add = commands.add_parser("add", help="let somebody in, or change what they may see")
    add.add_argument("name", help="name of the user")
    add.add_argument("tenants", nargs="+", metavar="tenant", help="whose rows the user sees")
    add.add_argument("--seconds", type=int, default=Analyst.seconds, help="longest query")
    add.add_argument("--memory-mib", type=int, default=Analyst.memory_mib, help="memory of one query")
    add.add_argument("--rows", type=int, default=Analyst.rows, help="rows of one answer")
    password = add.add_mutually_exclusive_group()
    password.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    password.add_argument("--new-password", action="store_true", help="make a new one for a user who has one")
    remove = commands.add_parser("remove", help="take the access away")
    remove.add_argument("name", help="name of the user")
    commands.add_parser("list", help="who has access to what")
    commands.add_parser("sync", help="after migrations: show new tables and views to those who have access")
    return parser.parse_args(argv)


def main() -> int:
    args = arguments()
    try:
        settings = config.load(ReportingSettings)
        log.setup("reporting-analysts", settings.instance, fmt=settings.log_format, level=settings.log_level)
        asyncio.run(run(args, settings))
    except (ConfigError, StoreUnavailable, StoreRefused) as e:
        sys.stderr.write(f"analysts: {e}\n")
        return 69 if isinstance(e, StoreUnavailable) else 78
    return 0


if __name__ == "__main__":
    sys.exit(main())
