"""Make and update the tables: numbered SQL files, forwards only.

Rules that make it safe to run at any time, from several processes at once: every statement may run twice (checked when
the files are read), a file is recorded under its checksum after all of its statements, and a recorded file that was
changed since is refused by name. There is no lock, because ClickHouse has none to offer and none is needed.

    python -m services.reporting.migrate        applies what is missing; PEYVAND_CLICKHOUSE_URL says where
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

import structlog

from services.common import config, log
from services.common.clickhouse import Store, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable
from services.reporting.config import ReportingSettings

logger = structlog.get_logger()

FOLDER: Final = Path(__file__).parent / "migrations"
_NAME: Final = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
_REPEATABLE: Final = re.compile(
    r"^(CREATE\s+(TABLE|VIEW|DATABASE|MATERIALIZED\s+VIEW)\s+IF\s+NOT\s+EXISTS\b"
    r"|CREATE\s+OR\s+REPLACE\s+VIEW\b"
    r"|DROP\s+(TABLE|VIEW)\s+IF\s+EXISTS\b"
    r"|ALTER\s+TABLE\s+\S+(\s+(ON\s+CLUSTER\s+\S+|\$\{on_cluster\}))?\s+(ADD|DROP|MODIFY|COMMENT|MATERIALIZE)\s+(COLUMN|INDEX|PROJECTION)\s+IF\s+(NOT\s+)?EXISTS\b)",
    re.IGNORECASE,
)
_WAIT_S: Final = 30.0
_VIEW: Final = re.compile(r"^CREATE\s+(OR\s+REPLACE\s+)?VIEW\b", re.IGNORECASE)


@dataclass(frozen=True)
class Migration:
    """One file: its name, the checksum of its text, and its statements with places."""

    name: str
    checksum: str
    statements: tuple[str, ...]


def read(folder: Path = FOLDER) -> list[Migration]:
    """The files in their order. Raises ConfigError for a wrong name or a statement that must not run twice."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        if not _NAME.fullmatch(path.name):
            raise ConfigError(f"{path.name}: expected a name such as 0003_what_it_does.sql")
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
        statements = tuple(
            s.strip() for s in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE) if s.strip()
        )
        for statement in statements:
            if not _REPEATABLE.match(statement):
                raise ConfigError(
                    f"{path.name}: a statement must be repeatable (IF NOT EXISTS, IF EXISTS, OR REPLACE): {statement[:80]!r}"
                )
        found.append(Migration(path.name, hashlib.sha256(text.encode()).hexdigest(), statements))
    return found


def render(statement: str, *, database: str, cluster: str = "") -> str:
    """Fill the places of a statement for a single server, or for a cluster whose replicas share one Keeper."""
    window = (
        "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800"
        if cluster
        else "non_replicated_deduplication_window = 10000"
    )
    places = {
        "database": database,
        "on_cluster": f"ON CLUSTER '{cluster}'" if cluster else "",
        "replicated": "Replicated" if cluster else "",
        "dedup_window": window,
    }
    return Template(statement).substitute(places)


async def apply(store: Store, *, database: str, cluster: str = "", folder: Path = FOLDER) -> list[str]:
    """Apply what is missing and return the names of the files that were applied.

    ``store`` must not be bound to ``database``, which may not exist yet. Raises ConfigError when a file that was applied
    before has another text now, StoreUnavailable and StoreRefused.
    """
    migrations = read(folder)
    for statement in _BOOK:
        await store.command(render(statement, database=database, cluster=cluster))
    rows = await store.query(
        f"SELECT name, groupUniqArray(checksum) AS sums FROM {database}.schema_migrations GROUP BY name"  # noqa: S608 - a checked name
    )
    applied: dict[str, list[str]] = {row["name"]: row["sums"] for row in rows}
    for migration in migrations:
        if migration.name in applied and migration.checksum not in applied[migration.name]:
            raise ConfigError(
                f"{migration.name} was changed after it had been applied to the database {database}: "
                "restore the file and put the change into a new one"
            )
    if newer := sorted(set(applied) - {m.name for m in migrations}):
        logger.info("schema_is_newer", migrations=newer)
    done = []
    for migration in migrations:
        if migration.name in applied:
            continue
        for statement in migration.statements:
            await store.command(render(statement, database=database, cluster=cluster), timeout_s=300)
        await store.insert(
            f"{database}.schema_migrations",
            ("name", "checksum"),
            [(migration.name, migration.checksum)],
            token=f"{migration.name}:{migration.checksum}",
        )
        logger.info("migration_applied", name=migration.name)
        done.append(migration.name)
    return done


def serving(database: str, cluster: str) -> str:
    """The database that rows are written into and reports are read from: on a cluster the one that spreads them over the shards."""
    return f"{database}_all" if cluster else database


async def spread(
    store: Store,
    *,
    database: str,
    cluster: str,
    applied: Sequence[str],
    folder: Path = FOLDER,
    on_cluster: bool = True,
) -> None:
    """Make the tables and views of ``serving``: under the same names, over all shards of the cluster.

    A tenant's rows are on one shard, so whatever joins or groups them does so there. The tables hold nothing themselves and are made anew
    when a migration was ``applied``. ``on_cluster`` says it to all servers (which takes a Keeper), else to this one.
    Raises StoreUnavailable and StoreRefused.
    """
    over = serving(database, cluster)
    everywhere = cluster if on_cluster else ""
    await store.command(render(_BOOK[0], database=over, cluster=everywhere))
    rows = await store.query(
        "SELECT database, name, engine FROM system.tables WHERE database IN ({one:String}, {all:String})",
        {"one": database, "all": over},
    )
    there = {row["name"] for row in rows if row["database"] == over}
    for row in rows:
        name = row["name"]
        if row["database"] == over or not str(row["engine"]).endswith("MergeTree") or name in _OWN:
            continue
        if name in there and not applied:
            continue
        statement = (
            f"CREATE OR REPLACE TABLE {over}.{name} ${{on_cluster}} AS {database}.{name}"
            f" ENGINE = Distributed('{cluster}', '{database}', '{name}', cityHash64(tenant))"
        )
        await store.command(render(statement, database=over, cluster=everywhere), timeout_s=300)
    views = [s for migration in read(folder) for s in migration.statements if _VIEW.match(s)]
    if applied or not any(name.startswith("v_") for name in there):
        for statement in views:
            await store.command(render(statement, database=over, cluster=everywhere), timeout_s=300)


_OWN: Final = ("schema_migrations", "analyst_users")
"""Tables that each shard has for itself."""

_BOOK: Final = (
    "CREATE DATABASE IF NOT EXISTS ${database} ${on_cluster}",
    """CREATE TABLE IF NOT EXISTS ${database}.schema_migrations ${on_cluster}
(
    name String COMMENT 'File of the migration',
    checksum String COMMENT 'SHA-256 of its text',
    applied_at DateTime('UTC') DEFAULT now('UTC') COMMENT 'When it was applied'
)
ENGINE = ${replicated}ReplacingMergeTree
ORDER BY (name, checksum)
SETTINGS ${dedup_window}""",
)


async def _main(settings: ReportingSettings) -> int:
    url = StoreUrl.parse(settings.clickhouse_url)
    store = ServerStore(url, threads=1, database="default")
    give_up = time.monotonic() + _WAIT_S
    try:
        while True:
            try:
                done = await apply(store, database=url.database, cluster=settings.clickhouse_cluster)
                if cluster := settings.clickhouse_cluster:
                    await spread(store, database=url.database, cluster=cluster, applied=done)
            except StoreUnavailable as e:
                if time.monotonic() > give_up:
                    raise
                logger.warning("waiting_for_clickhouse", reason=str(e))
                await asyncio.sleep(1.0)
            else:
                logger.info("schema_is_current", applied=done)
                return 0
    finally:
        await store.stop()


def main() -> int:
    try:
        settings = config.load(ReportingSettings)
        log.setup("reporting-migrate", settings.instance, fmt=settings.log_format, level=settings.log_level)
        return asyncio.run(_main(settings))
    except (ConfigError, StoreUnavailable) as e:
        sys.stderr.write(f"migrate: {e}\n")
        return 78 if isinstance(e, ConfigError) else 69


if __name__ == "__main__":
    sys.exit(main())
