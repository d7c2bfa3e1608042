"""The recognisers of this process: a few workers a language, each its own process, and a clean refusal when they have too much to do.

A worker begins when the first caller of its language is listened to. One that does not answer in time is killed and begun anew; one that
cannot load its model is not tried again, because what is missing is missing: that language is served by keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from services.common.errors import NotReady
from services.ivr.recognisers.worker import Question, Reply

log = structlog.get_logger()

# Answers of callers that were to be understood. `busy`: more at a time than there are workers for, see PEYVAND_IVR_RECOGNISING.
UNDERSTOOD = Counter("peyvand_ivr_utterances_total", "Answers that were to be understood", ["how"])
# Seconds from the end of an answer until it was understood.
UNDERSTAND_S = Histogram("peyvand_ivr_recogniser_seconds", "Understanding", buckets=(0.1, 0.2, 0.5, 1, 2, 5))

_LENGTH = struct.Struct(">I")
_START_S = 30.0
_ANSWER_S = 5.0
_WAITING = 2
"""So many answers may wait for each worker."""
_END_S = 1.0


class CannotUnderstand(NotReady):
    """Nobody could listen; the message says why."""


@dataclass
class _Worker:
    process: asyncio.subprocess.Process

    async def ask(self, question: Question) -> Reply:
        data = msgspec.msgpack.encode(question)
        assert self.process.stdin is not None
        self.process.stdin.write(_LENGTH.pack(len(data)) + data)
        await self.process.stdin.drain()
        return await self.reply()

    async def reply(self) -> Reply:
        assert self.process.stdout is not None
        (length,) = _LENGTH.unpack(await self.process.stdout.readexactly(_LENGTH.size))
        return msgspec.msgpack.decode(await self.process.stdout.readexactly(length), type=Reply)

    async def end(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()


@dataclass
class _Language:
    recogniser: str
    free: asyncio.Queue[_Worker | None]
    """Workers that have nothing to do; None stands for one that is to be begun."""
    wishes: int = 0
    is_there: bool = True
    running: set[asyncio.subprocess.Process] = field(default_factory=set)


class Recognisers:
    """The recogniser of each language, with ``at_a_time`` workers."""

    def __init__(self, recognisers: Mapping[str, str], at_a_time: int) -> None:
        self._at_a_time = at_a_time
        self._languages: dict[str, _Language] = {}
        self._warming: set[asyncio.Task[None]] = set()
        for language, recogniser in recognisers.items():
            free: asyncio.Queue[_Worker | None] = asyncio.Queue()
            for _ in range(at_a_time):
                free.put_nowait(None)
            self._languages[language] = _Language(recogniser, free)

    def knows(self, language: str) -> bool:
        """Whether callers of a language may be understood; begins a worker, which has the length of a prompt to load its model."""
        at = self._languages.get(language)
        if at is None or not at.is_there:
            return False
        if not at.running and not at.wishes:
            warming = asyncio.ensure_future(self._warm(language, at))
            self._warming.add(warming)
            warming.add_done_callback(self._warming.discard)
        return True

    async def understand(self, language: str, sound: bytes, phrases: Sequence[str]) -> str:
        """Return what was said, in words; empty for nothing that could be understood. Raises CannotUnderstand."""
        at = self._languages.get(language)
        if at is None or not at.is_there:
            UNDERSTOOD.labels("nobody").inc()
            raise CannotUnderstand(f'no recogniser for "{language}"')
        if at.wishes >= self._at_a_time * (1 + _WAITING):
            UNDERSTOOD.labels("busy").inc()
            raise CannotUnderstand(f"{at.wishes} answers wait already")
        at.wishes += 1
        try:
            with UNDERSTAND_S.time():
                async with asyncio.timeout(_ANSWER_S):
                    reply = await self._ask(language, at, Question(sound, tuple(phrases)))
        except TimeoutError:
            UNDERSTOOD.labels("late").inc()
            raise CannotUnderstand(f"{at.recogniser} did not answer in {_ANSWER_S} s") from None
        finally:
            at.wishes -= 1
        if reply.error:
            UNDERSTOOD.labels("failed").inc()
            log.error("recogniser_failed", recogniser=at.recogniser, reason=reply.error)
            raise CannotUnderstand(reply.error)
        UNDERSTOOD.labels("words" if reply.text else "nothing").inc()
        return reply.text

    async def stop(self) -> None:
        """End all workers."""
        for task in list(self._warming):
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        for at in self._languages.values():
            at.is_there = False
            for process in list(at.running):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _ask(self, language: str, at: _Language, question: Question) -> Reply:
        worker = await at.free.get()
        next_one: _Worker | None = None
        try:
            if worker is None:
                worker = await self._begin(language, at)
            reply = await worker.ask(question)
            next_one = worker
        except (asyncio.IncompleteReadError, ConnectionError, OSError) as e:
            return Reply(error=f"the worker of {at.recogniser} ended: {e!r}")
        finally:
            # Cut off in the middle of an answer, the next one would get this one's reply.
            if next_one is None and worker is not None:
                at.running.discard(worker.process)
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
            at.free.put_nowait(next_one)
        return reply

    async def _warm(self, language: str, at: _Language) -> None:
        if at.free.empty():
            return  # An answer came first, and its worker is being begun for it.
        worker = at.free.get_nowait()
        try:
            if worker is None:
                worker = await self._begin(language, at)
        except (CannotUnderstand, OSError, asyncio.IncompleteReadError) as e:
            log.error("recogniser_not_begun", recogniser=at.recogniser, reason=str(e))
        finally:
            at.free.put_nowait(worker)

    async def _begin(self, language: str, at: _Language) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ivr.recognisers.worker",
            at.recogniser,
            language,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        at.running.add(process)
        worker = _Worker(process)
        try:
            async with asyncio.timeout(_START_S):
                reply = await worker.reply()
        except BaseException:
            at.running.discard(process)
            await worker.end()
            raise
        if reply.error:
            at.running.discard(process)
            at.is_there = False
            await worker.end()
            log.error("recogniser_missing", recogniser=at.recogniser, language=language, reason=reply.error)
            raise CannotUnderstand(reply.error)
        log.info("recogniser_begun", recogniser=at.recogniser, language=language)
        return worker
