"""Posts records to web servers as mod_json_cdr 1.10.12 does (``url``, ``retries``, ``delay``, ``err-log-dir``).

Each leg's record is one POST to ``<url>?uuid=<leg>`` with a JSON body. A failure (no 2xx) moves on to the next URL, for this record
and all later ones, and waits ``delay`` before the next try; after ``retries`` more of them the record is written to a folder.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

_TIMEOUT_S: Final = 10.0


class CdrPoster:
    """Posts in the background; `stop` waits for what is under way."""

    def __init__(
        self, urls: Sequence[str], *, retries: int = 0, delay_s: float = 5.0, errors: Path | None = None
    ) -> None:
        self._urls = list(urls)
        self._tries = retries + 1
        self._delay_s = delay_s
        self._errors = errors
        self._at = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, uuid: str, record: bytes) -> None:
        """Begin to post the record of a leg."""
        task = asyncio.get_running_loop().create_task(self._post(uuid, record), name=f"cdr {uuid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait for the tries under way; what has not been accepted is written to the folder."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _post(self, uuid: str, record: bytes) -> None:
        accepted = False
        try:
            for turn in range(self._tries):
                if turn:
                    await asyncio.sleep(self._delay_s)
                url = self._urls[self._at]
                status = await asyncio.to_thread(_send, f"{url}?uuid={uuid}", record)
                accepted = 200 <= status < 300
                if accepted:
                    return
                log.warning("cdr_not_posted", uuid=uuid, url=url, status=status)
                self._at = (self._at + 1) % len(self._urls)
        finally:
            if not accepted:
                self._back_up(uuid, record)

    def _back_up(self, uuid: str, record: bytes) -> None:
        if self._errors is None:
            return
        try:
            (self._errors / f"{uuid}.cdr.json").write_bytes(record)
        except OSError as e:
            log.warning("cdr_not_written", path=str(self._errors), error=str(e))


def _send(url: str, record: bytes) -> int:
    """The status of the answer; 0 when there was none."""
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked with the settings
        url,
        data=record,
        headers={"Content-Type": "application/json", "User-Agent": "freeswitch-json/1.0"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            return int(answer.status)
    except urllib.error.HTTPError as e:
        with e:
            return e.code
    except OSError:
        return 0
