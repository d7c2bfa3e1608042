"""Write the data dictionary: ``python -m services.reporting.dictionary [--check]``.

Starts an embedded engine in a temporary folder, applies the migrations, and renders what the engine says of its tables
(``core/dictionary.py``). With ``--check`` nothing is written; the exit code is 1 when DICTIONARY.md is not current.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

from services.common import log
from services.common.clickhouse import Store
from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.reporting import migrate
from services.reporting.core import dictionary
from services.reporting.core.formulas import formulas

PAGE: Final = Path(__file__).parent / "DICTIONARY.md"
_DATABASE: Final = "peyvand"


async def read(store: Store, database: str) -> list[dictionary.Relation]:
    """What the engine says of a database's tables and views, with the comments that views take from tables."""
    params = {"database": database}
    tables = await store.query(
        "SELECT name, engine, comment, partition_key, sorting_key, create_table_query FROM system.tables "
        "WHERE database = {database:String} AND name != 'schema_migrations' ORDER BY name",
        params,
    )
    columns = await store.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {database:String} ORDER BY table, position",
        params,
    )
    return dictionary.described(dictionary.relations(tables, columns, database))


async def page(store: Store, database: str) -> str:
    """The page. Raises ValueError that names every column without a comment."""
    found = await read(store, database)
    if missing := dictionary.undocumented(found):
        raise ValueError(
            f"no COMMENT, and no words in core/dictionary.py, for {', '.join(missing)}: say what they mean"
        )
    return dictionary.markdown(found, formulas())


async def _rendered() -> str:
    with tempfile.TemporaryDirectory(prefix="peyvand-dictionary-") as folder:
        engine = EmbeddedClickHouse(
            Path(folder), password=secrets.token_urlsafe(24), analyst_password=secrets.token_urlsafe(24)
        )
        await asyncio.to_thread(engine.start)
        store = ServerStore(engine.url, threads=1, database="default")
        try:
            await migrate.apply(store, database=_DATABASE)
            return await page(store, _DATABASE)
        finally:
            await store.stop()
            await asyncio.to_thread(engine.kill)  # nothing of it is kept


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.reporting.dictionary")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when DICTIONARY.md is not current"
    )
    args = parser.parse_args(argv)
    log.setup("dictionary", "1", fmt="console", level="warning")
    try:
        text = asyncio.run(_rendered())
    except ValueError as e:
        sys.stderr.write(f"dictionary: {e}\n")
        return 1
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if text == current:
        return 0
    if args.check:
        sys.stderr.write(
            "services/reporting/DICTIONARY.md is not what the migrations say; run: make dictionary\n"
        )
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
