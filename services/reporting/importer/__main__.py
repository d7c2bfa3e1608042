"""Bring the history of FreeSWITCH, FusionPBX, mod_callcenter, Asterisk or FreePBX into the reports.

    python -m services.reporting.importer json_cdr  PATH... --tenant T
    python -m services.reporting.importer cdr_csv   PATH... --tenant T --timezone Europe/Berlin [--template TEXT]
    python -m services.reporting.importer queue_log PATH... --tenant T
    python -m services.reporting.importer callcenter PATH... --tenant T [--center-out FILE]

PEYVAND_CLICKHOUSE_URL says where to. Paths are files or folders (then all files below that look like it), plain or .gz. Importing
again changes nothing, so after an interruption the same command goes on where it was. Ends with 0 when everything was taken, 1 when
lines were rejected (the reject file says which and why), 64 and above when it could not begin or go on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import Field

from services.common import config, ids, log
from services.common.clickhouse import StoreRefused, StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import ConfigError, StoreUnavailable
from services.reporting.config import ReportingSettings
from services.reporting.core.imports.records import BadLine
from services.reporting.importer.files import File, find
from services.reporting.importer.progress import shown
from services.reporting.importer.run import Rejects, Summary, names_of, run
from services.reporting.importer.sink import Sink
from services.reporting.importer.sources import FORMATS, CallCenter, Terms


class ImporterSettings(ReportingSettings):
    """Those of reporting; a tool signs and checks no tokens."""

    auth_secret: str = Field("", description="Not used.", repr=False)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.reporting.importer",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join((__doc__ or "").splitlines()[2:]),
    )
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
    parser.add_argument("--tenant", required=True, help="whose history it is")
    parser.add_argument(
        "--source",
        default="",
        help="name of the system it is from, when there are several (default: the format)",
    )
    parser.add_argument(
        "--timezone", default="UTC", help="of times without a zone, such as Asia/Tehran (default: UTC)"
    )
    parser.add_argument(
        "--map", type=Path, help="YAML with queues, agents and numbers: old names to new ones"
    )
    parser.add_argument(
        "--template",
        default="",
        help="cdr_csv: FreeSWITCH's template of the lines, or the name of one it ships",
    )
    parser.add_argument(
        "--center-out", type=Path, help="callcenter: write agents and queues as the part of a center document"
    )
    parser.add_argument(
        "--rejects", type=Path, default=Path("rejected.jsonl"), help="(default: rejected.jsonl)"
    )
    return parser.parse_args(argv)


async def run_import(given: argparse.Namespace, url: StoreUrl) -> int:
    """Import what was asked for; the exit code.

    Raises ConfigError, BadLine (a file of no known form), StoreUnavailable, StoreRefused and OSError.
    """
    reader, suffixes = FORMATS[given.format]
    if not ids.is_token(given.tenant):
        raise ConfigError(f"--tenant: expected a tenant's name (a-z, 0-9, '-'), found {given.tenant!r}")
    try:
        zone = ZoneInfo(given.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            f"--timezone: expected a name such as Europe/Berlin, found {given.timezone!r}"
        ) from None
    terms = Terms(
        tenant=given.tenant,
        source=given.source or given.format,
        zone=zone,
        names=names_of(given.map),
        template=given.template,
    )
    files: list[File] = find(given.paths, suffixes)
    source = reader(terms, files)
    store = ServerStore(url, threads=2)
    rejects, bar = Rejects(given.rejects), shown()
    try:
        summary = await run(source, files, Sink(store, url.database, given.tenant), rejects, bar)
    finally:
        bar.close()
        rejects.close()
        await store.stop()
    if isinstance(source, CallCenter) and given.center_out is not None:
        document = yaml.safe_dump(source.lists.document(), allow_unicode=True, sort_keys=False)
        given.center_out.write_text(document, encoding="utf-8")
        summary.notes.append(f"{given.center_out}: agents and queues as the part of a center document")
    _tell(summary, rejects)
    return 1 if summary.rejected else 0


def _tell(summary: Summary, rejects: Rejects) -> None:
    written = summary.written
    print(
        f"read {summary.lines:,} lines: imported {written.contacts:,} contacts"
        f" ({written.segments:,} segments, {written.offers:,} offers), {written.legs:,} legs,"
        f" {written.intervals:,} agents' times; already there {written.there:,}; rejected {summary.rejected:,}"
    )
    for note in summary.notes:
        print(f"note: {note}")
    if summary.rejected:
        print(f"rejected lines and the reasons: {rejects.path}")


def main(argv: list[str] | None = None) -> int:
    """Run an import and return its exit code."""
    given = arguments(argv)
    try:
        settings = config.load(ImporterSettings)
        log.setup("reporting-importer", settings.instance, fmt=settings.log_format, level="warning")
        return asyncio.run(run_import(given, StoreUrl.parse(settings.clickhouse_url)))
    except (ConfigError, BadLine) as e:
        sys.stderr.write(f"import: {e}\n")
        return 78
    except (StoreUnavailable, StoreRefused) as e:
        sys.stderr.write(f"import: {e}\n")
        return 69
    except OSError as e:
        sys.stderr.write(f"import: {e}\n")
        return 74


if __name__ == "__main__":
    sys.exit(main())
