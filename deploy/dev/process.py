"""One child process of the development runner: its log file, its readiness, its end with ours."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """Let the kernel end the child when the runner is killed, so that nothing is left behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ProcessFailed(Exception):
    """A child ended, or was not ready in time; the text holds the end of its log."""


class Process:
    """A child with its own session (the terminal's Ctrl-C reaches only the runner) and a log file of its own."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log_dir: Path,
        cwd: Path,
        ready_url: str = "",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.env = dict(env)
        self.ready_url = ready_url
        self.log_path = log_dir / f"{name}.log"
        self.restarts = 0
        self._cwd = cwd
        self._child: asyncio.subprocess.Process | None = None
        self._expected_end = False

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def ended_unexpectedly(self) -> bool:
        return self._child is not None and not self.alive and not self._expected_end

    async def start(self) -> None:
        self._expected_end = False
        with self.log_path.open("ab") as out:
            self._child = await asyncio.create_subprocess_exec(
                *self.argv,
                env={**os.environ, **self.env},
                cwd=self._cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    async def wait_ready(self, deadline_s: float) -> None:
        """Wait for a 200 of ``ready_url``. Raises ProcessFailed with the log's end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        answer = ""
        async with httpx.AsyncClient(timeout=1, trust_env=False) as client:
            while loop.time() < until:
                if not self.alive:
                    raise ProcessFailed(f"{self.name} ended while starting:\n{self.log_tail()}")
                with contextlib.suppress(httpx.HTTPError):
                    response = await client.get(self.ready_url)
                    if response.status_code == 200:
                        return
                    answer = response.text
                await asyncio.sleep(0.05)
        raise ProcessFailed(
            f"{self.name} is not ready after {deadline_s:.0f} s; it says: {answer}\n{self.log_tail()}"
        )

    async def stop(self, grace_s: float = 10) -> int:
        """SIGTERM, then SIGKILL after the grace. Returns the exit code."""
        self._expected_end = True
        if self._child is None:
            return 0
        if self.alive:
            self._child.terminate()
            try:
                await asyncio.wait_for(self._child.wait(), grace_s)
            except TimeoutError:
                self._child.kill()
        return await self._child.wait()

    async def kill(self) -> None:
        """SIGKILL: what a crash looks like. It stays down until it is started again."""
        self._expected_end = True
        if self._child is not None and self.alive:
            self._child.kill()
            await self._child.wait()

    def log_tail(self, lines: int = 15) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"


def module(name: str, *args: str) -> list[str]:
    """The command line of a module of this checkout."""
    return [sys.executable, "-m", name, *args]
