"""Lines of Asterisk's queue_log a second into ClickHouse, from the file to the rows, by one process.

A day of 30,000 calls with all that happens to them: 91,000 lines, 30,000 contacts, 140,000 rows. ``per_s`` is elapsed time with the embedded ClickHouse
beside it on the same cores; ``cpu_per_s`` is by this process's own seconds, ClickHouse not counted, and ``core_per_s`` of them the reading
alone; ``again_per_s`` is a second import of the same file, which finds everything there.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from services.common.clickhouse.embedded import EmbeddedClickHouse
from services.common.clickhouse.server import ServerStore
from services.reporting import migrate
from services.reporting.core.imports.names import Names
from services.reporting.importer.files import File
from services.reporting.importer.progress import Lines
from services.reporting.importer.run import Rejects, Summary, run
from services.reporting.importer.sink import Sink
from services.reporting.importer.sources import QueueLog, Terms

CALLS = 30_000
TENANT = "bench"


def write_log(path: Path, calls: int = CALLS, seed: int = 1) -> None:
    """A log of so many calls, three seconds apart: a fifth abandoned, a third with an agent who did not answer first."""
    chance = random.Random(seed)
    lines: list[tuple[int, str]] = []
    for n in range(calls):
        at = 1_795_334_400 + 3 * n
        call, queue, agent = f"{at}.{n}", chance.choice("abcd"), f"SIP/{1000 + n % 50}"
        lines.append((at, f"{call}|{queue}|NONE|ENTERQUEUE||0912{n:07}|1"))
        if chance.random() < 0.2:
            lines.append((at + 20, f"{call}|{queue}|NONE|ABANDON|1|1|20"))
            continue
        if chance.random() < 0.33:
            lines.append((at + 10, f"{call}|{queue}|SIP/{1000 + (n + 7) % 50}|RINGNOANSWER|8000"))
        lines.append((at + 15, f"{call}|{queue}|{agent}|CONNECT|15|{at + 11}.9|4"))
        lines.append((at + 135, f"{call}|{queue}|{agent}|COMPLETECALLER|15|120|1"))
    with path.open("w", encoding="utf-8") as out:
        out.writelines(f"{at}|{line}\n" for at, line in sorted(lines, key=lambda one: one[0]))


def source(path: Path) -> QueueLog:
    terms = Terms(tenant=TENANT, source="pbx", zone=ZoneInfo("UTC"), names=Names())
    return QueueLog(terms, [File(path)])


async def timed(path: Path, store: ServerStore, database: str) -> tuple[float, float, Summary]:
    """One import: seconds elapsed and of this process, and what it did."""
    reader, rejects = source(path), Rejects(path.with_suffix(".rejected"))
    began, cpu_s = time.perf_counter(), time.process_time()
    summary = await run(reader, reader.files, Sink(store, database, TENANT), rejects, Lines())
    return time.perf_counter() - began, time.process_time() - cpu_s, summary


async def measure(folder: Path, server: EmbeddedClickHouse) -> int:
    database = server.url.database
    admin = ServerStore(server.url, threads=1, database="default")
    await migrate.apply(admin, database=database)
    await admin.stop()
    path = folder / "queue_log"
    write_log(path)
    reader = source(path)
    cpu_s = time.process_time()
    histories = sum(1 for _ in reader.read())
    cpu_s = time.process_time() - cpu_s
    store = ServerStore(server.url, threads=2)
    first_s, first_cpu_s, first = await timed(path, store, database)
    again_s, _, again = await timed(path, store, database)
    await store.stop()
    print(
        json.dumps(
            {
                "name": "import_lines",
                "per_s": round(first.lines / first_s),
                "cpu_per_s": round(first.lines / first_cpu_s),
                "core_per_s": round(reader.lines / cpu_s),
                "again_per_s": round(again.lines / again_s),
                "lines": first.lines,
                "contacts": first.written.contacts,
                "histories": histories,
            }
        )
    )
    right = first.written.contacts == CALLS and again.written.contacts == 0 and not first.rejected
    return 0 if right else 1


def main() -> int:
    """Measure and print; 1 when not everything was imported once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = EmbeddedClickHouse(
            folder / "db", password="for-the-bench-only", analyst_password="for-the-bench-only"
        )
        server.start()
        try:
            return asyncio.run(measure(folder, server))
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
