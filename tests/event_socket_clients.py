"""Other people's event socket clients, each in a process of its own: npm modesl and esl, PyPI genesis, stock greenswitch.

They are installed by name and version, from the locks beside their programs, into ``.dev/clients``; without node or npm, or when
a registry cannot be reached, whoever asks is skipped with the reason.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(__file__).with_name("clients")
INSTALLED = ROOT / ".dev" / "clients"
CLIENTS = ("greenswitch", "genesis", "modesl", "esl")
_INSTALL_S = 100
_CALL_S = 30.0


def command(name: str) -> list[str]:
    """How the program of a client is started; installs it first. Skips the test where that is impossible."""
    if name == "greenswitch":
        return [sys.executable, "-W", "ignore", str(PROGRAMS / "greenswitch_calls.py")]
    if name == "genesis":
        return [str(_genesis() / "bin" / "python"), str(PROGRAMS / "genesis_calls.py")]
    return ["node", str(_node() / f"{name}_calls.mjs")]


async def place(name: str, host: str, port: int, password: str, dial: str) -> dict[str, Any]:
    """Let the client originate ``dial``, and end the call when its job is done; what it saw."""
    child = await _start(name, "inbound", host, str(port), password, dial)
    return await _result(child)


async def answer(name: str, originate: Any, port: int) -> dict[str, Any]:
    """Let the client listen on ``port``, then ``await originate()``; what it saw of the call that it answered."""
    child = await _start(name, "outbound", str(port))
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), _CALL_S) == b'"listening"\n', await _said(child)
    await originate()
    return await _result(child)


async def _start(name: str, *arguments: str) -> asyncio.subprocess.Process:
    line = await asyncio.to_thread(command, name)
    env = {**os.environ, "OTEL_SDK_DISABLED": "true"}
    return await asyncio.create_subprocess_exec(
        *line, *arguments, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def _result(child: asyncio.subprocess.Process) -> dict[str, Any]:
    try:
        out, err = await asyncio.wait_for(child.communicate(), _CALL_S)
    except TimeoutError:
        raise AssertionError(f"no end of the call: {await _said(child)}") from None
    assert child.returncode == 0, err.decode()
    seen: dict[str, Any] = json.loads(out)
    return seen


async def _said(child: asyncio.subprocess.Process) -> str:
    if child.returncode is None:
        child.kill()
    return (await child.communicate())[1].decode()


def _node() -> Path:
    if shutil.which("node") is None or (npm := shutil.which("npm")) is None:
        pytest.skip("node and npm are not installed")
    with _once("npm", PROGRAMS / "package-lock.json") as folder:
        if folder is not None:
            for file in ("package.json", "package-lock.json"):
                shutil.copy(PROGRAMS / file, folder)
            _install([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], folder)
    for program in PROGRAMS.glob("*.mjs"):  # node looks for packages beside the program
        shutil.copy(program, INSTALLED / "npm")
    return INSTALLED / "npm"


def _genesis() -> Path:
    uv = [sys.executable, "-m", "uv"]
    with _once("genesis", PROGRAMS / "genesis.lock") as folder:
        if folder is not None:
            _install([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, "venv"], folder)
            python = str(folder / "venv" / "bin" / "python")
            lock = str(PROGRAMS / "genesis.lock")
            _install(
                [*uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock], folder
            )
    return INSTALLED / "genesis" / "venv"


@contextmanager
def _once(name: str, lock: Path) -> Iterator[Path | None]:
    """The folder to install into, or None when this very lock is installed there already; one process at a time."""
    folder = INSTALLED / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / ".installed"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    with (INSTALLED / f"{name}.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == digest:
            yield None
            return
        yield folder
        done.write_text(digest)


def _install(line: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            line, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"no answer from the package registry within {_INSTALL_S} s: {line[0]}")
    if done.returncode:
        said = done.stderr.strip()
        if any(
            word in said for word in ("ENOTFOUND", "ECONN", "EAI_AGAIN", "ETIMEDOUT", "fetch", "dns error")
        ):
            pytest.skip(f"the package registry cannot be reached: {said[-200:]}")
        raise AssertionError(said)
