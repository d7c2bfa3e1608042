"""Check center documents and make the audio of their prompts.

python -m services.center check FILE...               every fault as file:line: path: message; exit 1 when there is one
python -m services.center prompts --out DIR [FILE...]  audio for <DIR>/<prompts_dir>/<language>/<prompt>.wav
python -m services.center pin                          ask for a PIN twice and print what a document has of it (agents.<id>.pin)
python -m services.center show|get|history|diff|put|rollback TENANT ...    the revisions in the store (PEYVAND_NATS_URL)
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import subprocess
import sys
from pathlib import Path

from services.center import cli
from services.center.loader import CenterError, CenterSet, load, load_files
from services.center.pins import hashed
from services.center.prompts import make
from services.common.errors import PeyvandError

_CENTERS = Path("deploy/centers")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.center", description="Center documents")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="print every fault of these documents")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument(
        "--sounds", type=Path, help="FreeSWITCH's sounds folder: every prompt's audio must be there"
    )
    prompts = commands.add_parser("prompts", help="make audio for prompts that have none")
    prompts.add_argument("--out", required=True, type=Path, help="FreeSWITCH's sounds folder")
    prompts.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help=f"documents (default: {_CENTERS})"
    )
    commands.add_parser("pin", help="make the salted hash of an agent's PIN")
    cli.add(commands)
    options = parser.parse_args(arguments)
    if options.command == "pin":
        return _pin()
    if options.command in cli.COMMANDS:
        try:
            asyncio.run(cli.run(options))
        except (PeyvandError, OSError) as e:
            print(e, file=sys.stderr)
            return 1
        return 0
    try:
        centers = _load(options.files, options.sounds if options.command == "check" else None)
    except CenterError as e:
        print(e, file=sys.stderr)
        return 1
    if options.command == "check":
        for center in centers.centers:
            print(f"{center.path}: {center.tenant}, revision {center.revision}")
        return 0
    try:
        made = make(centers, options.out)
    except (OSError, subprocess.SubprocessError) as e:
        print(f"prompts could not be made in {options.out}: {e}", file=sys.stderr)
        return 1
    print(
        f"{made.made} prompts made by {made.engine}, {made.current} were current, {made.recorded} recorded ones left alone"
    )
    return 0


def _pin() -> int:
    """Ask at the terminal, where it is not echoed; from a pipe, take the first line."""
    typed = sys.stdin.isatty()
    pin = getpass.getpass("PIN: ") if typed else sys.stdin.readline().strip()
    if typed and getpass.getpass("again: ") != pin:
        print("the two are not the same", file=sys.stderr)
        return 1
    try:
        print(hashed(pin))
    except ValueError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


def _load(files: list[Path], sounds_dir: Path | None) -> CenterSet:
    if len(files) == 1:
        return load(files[0], sounds_dir=sounds_dir, new=True)
    return load_files(files, sounds_dir=sounds_dir, new=True) if files else load(_CENTERS, new=True)


if __name__ == "__main__":
    sys.exit(main())
