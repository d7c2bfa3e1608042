"""Whether FreeSWITCH has every part of a sentence that is put together of files.

FreeSWITCH passes over the parts of a ``file_string`` that are missing, and tells nobody: "four seven one one" without one of its files is a
wrong number that sounds right. So before a sentence is played FreeSWITCH is asked for each of its files (``file_exists``; we may run where
they cannot be seen), once a minute for each node and file: 300 answers take 36 ms on 1.10.12, and numbers share few parts. What was missing
is looked for sooner, because somebody may just be recording it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.common.errors import CallGone, SwitchUnavailable

log = structlog.get_logger()

_THERE_S = 60.0
_MISSING_S = 5.0
_MOST = 20_000
"""Answers that are kept; a language's parts are some two hundred."""


class Sentences:
    """What is known of the files of all nodes."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._seen: dict[tuple[str, str], tuple[float, bool]] = {}
        """By node and file: until when the answer holds, and the answer."""

    def whole(self, node: str, files: Sequence[str]) -> bool | None:
        """Whether the node has all of the files, as far as is known now; None: somebody has to ``ask``."""
        now_s = self._now_s()
        unknown = False
        for file in files:
            until_s, there = self._seen.get((node, file), (0.0, True))
            if until_s <= now_s:
                unknown = True
            elif not there:
                return False
        return None if unknown else True

    async def ask(self, node: str, files: Sequence[str], api: Callable[[str], Awaitable[str]]) -> bool:
        """Ask the node by ``api``, the call's own, for what is not known; return whether it has all of the files.

        A node that does not answer in time is taken to have them. Raises CallGone.
        """
        now_s = self._now_s()
        unknown = [
            file for file in dict.fromkeys(files) if self._seen.get((node, file), (0.0, True))[0] <= now_s
        ]
        answers = await asyncio.gather(
            *(api(f"file_exists {file}") for file in unknown), return_exceptions=True
        )
        missing = False
        for file, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, CallGone):
                raise answer
            if isinstance(answer, SwitchUnavailable):
                log.warning("sentence_not_looked_at", node=node, file=file, reason=str(answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                there = answer.strip() != "false"
                missing = missing or not there
                self._keep(node, file, there)
        return not missing and self.whole(node, files) is not False

    def _keep(self, node: str, file: str, there: bool) -> None:
        if not there:
            log.error("sentence_part_missing", node=node, file=file)
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[node, file] = self._now_s() + (_THERE_S if there else _MISSING_S), there
