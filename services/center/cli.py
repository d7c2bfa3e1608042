"""The commands that work on the store of revisions: for whoever operates the installation and may reach its NATS."""

from __future__ import annotations

import argparse
import difflib
import getpass
import os
import sys
import time
from pathlib import Path

from services.center.changes import changes
from services.center.editor import value_of
from services.center.store import Author, CenterRevised, CenterStore, Stored
from services.common.bus import Bus
from services.common.bus.access import from_environment
from services.common.bus.nats import NatsBus
from services.common.clock import Clock, SystemClock
from services.common.errors import Refused, WrongSequence

COMMANDS = ("show", "get", "put", "history", "diff", "rollback")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the parser."""
    made = {
        "show": commands.add_parser("show", help="the newest revision: number, revision, who, when, why"),
        "get": commands.add_parser("get", help="print a document"),
        "put": commands.add_parser("put", help="make a file the newest revision"),
        "history": commands.add_parser("history", help="the revisions that are kept, the newest first"),
        "diff": commands.add_parser("diff", help="what is different between two revisions"),
        "rollback": commands.add_parser("rollback", help="make an earlier document the newest revision"),
    }
    for parser in made.values():
        parser.add_argument("tenant")
        parser.add_argument("--url", default=os.environ.get("PEYVAND_NATS_URL", "nats://127.0.0.1:4222"))
    made["get"].add_argument("number", nargs="?", type=int, help="of a revision (default: the newest)")
    made["put"].add_argument("file", type=Path)
    made["diff"].add_argument("before", type=int)
    made["diff"].add_argument("after", type=int)
    made["rollback"].add_argument("number", type=int)
    for name in ("put", "rollback"):
        made[name].add_argument(
            "--based-on", required=True, help="revision that the change is based on; none: the first"
        )
        made[name].add_argument("--reason", default="", help="why, for the history")
        made[name].add_argument("--dry-run", action="store_true", help="check, and change nothing")


async def run(options: argparse.Namespace) -> None:
    """Carry out one command on the installation's NATS. Raises PeyvandError."""
    clock = SystemClock()
    bus = NatsBus(options.url, source="/center-cli/1", clock=clock, access=from_environment())
    bus.start()
    try:
        await carry_out(options, bus, clock)
    finally:
        await bus.stop()


async def carry_out(options: argparse.Namespace, bus: Bus, clock: Clock) -> None:
    """Carry out one command; what it prints goes to standard output. Raises Refused, CenterError, BusUnavailable."""
    store = CenterStore(bus, clock)
    tenant: str = options.tenant
    if options.command == "history":
        for revised in reversed(await store.history(tenant)):
            _say(_line(revised))
        return
    if options.command == "diff":
        await _diff(store, tenant, options.before, options.after)
        return
    head = await store.head(tenant)
    if options.command in ("put", "rollback"):
        await _change(options, store, head)
        return
    number = getattr(options, "number", None)
    found = await store.numbered(tenant, number) if number is not None else head.revised
    if found is None:
        raise Refused("unknown-tenant", f"the store has no document of tenant {tenant}", status=404)
    _say(found.text().decode().rstrip("\n") if options.command == "get" else _line(found))


async def _diff(store: CenterStore, tenant: str, before: int, after: int) -> None:
    texts = [(await store.numbered(tenant, number)).text() for number in (before, after)]
    for change in changes(*(value_of(tenant, text) for text in texts)):
        _say(f"{change.path}: {change.before or '(absent)'} -> {change.after or '(absent)'}")
    left, right = (text.decode().splitlines() for text in texts)
    for line in difflib.unified_diff(
        left, right, f"revision {before}", f"revision {after}", n=1, lineterm=""
    ):
        _say(line)


async def _change(options: argparse.Namespace, store: CenterStore, head: Stored) -> None:
    tenant: str = options.tenant
    if (head.revision or "none") != options.based_on:
        raise Refused(
            "revision-outdated",
            f"{tenant} is at revision {head.revision or 'none'}, not {options.based_on}",
            status=412,
        )
    if options.command == "put":
        text, kind = options.file.read_bytes(), "replaced"
    else:
        text, kind = (await store.numbered(tenant, options.number)).text(), "rolled_back"
    read = store.check(tenant, text, await store.others(tenant))
    revised = store.next_after(
        tenant, head, read, text, Author(f"cli:{getpass.getuser()}", kind, options.reason)
    )
    for change in revised.changes:
        _say(f"{change.path}: {change.before or '(absent)'} -> {change.after or '(absent)'}")
    if revised.revision == head.revision or options.dry_run:
        _say("nothing changed" if not options.dry_run else "right; nothing was changed (dry run)")
        return
    try:
        await store.put(tenant, head, revised)
    except WrongSequence:
        raise Refused("revision-outdated", f"somebody else has just revised {tenant}", status=412) from None
    _say(_line(revised))


def _line(revised: CenterRevised) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(revised.at_us // 1_000_000))
    count = len(revised.changes) + revised.changes_left_out
    reason = f": {revised.reason}" if revised.reason else ""
    return f"{revised.number}  {revised.revision}  {at}  {revised.kind} by {revised.actor}, {count} changes{reason}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
