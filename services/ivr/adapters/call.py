"""One call: the channel's events into the interpreter, its outputs onto the channel and into facts.

Everything that happens to a call goes through one inbox and is handled one by one, in the moment in which it comes. Playbacks, the
hand-over, and what runs as a task come back as events; so the interpreter hears of a key or a hang-up at once, whatever
runs. Nothing here waits for the bus.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

import structlog
from prometheus_client import Counter, Histogram

from services.center.model import Center, EntryPoint
from services.common.bus import Outgoing
from services.common.clock import Clock
from services.common.errors import CallGone, PeyvandError, WebUnavailable
from services.common.esl import Event, multiset
from services.common.sentences import Sentences
from services.ivr.adapters import channel
from services.ivr.adapters.facts import Facts
from services.ivr.adapters.inbox import Inbox, Running
from services.ivr.adapters.looking import QueueNow
from services.ivr.adapters.speech import SpeechOfCall, SpeechOfProcess
from services.ivr.adapters.trunks import Trunks
from services.ivr.adapters.web import Web
from services.ivr.core import model as core
from services.ivr.core.interpreter import Interpreter
from services.ivr.core.state import State

log = structlog.get_logger()

# Calls by how they left ivr. `failed` above a trickle: the connection to FreeSWITCH breaks.
CALLS = Counter("peyvand_ivr_calls_total", "Calls that left ivr, by outcome", ["outcome"])
# Seconds that callers spend in the flow.
CALL_S = Histogram(
    "peyvand_ivr_call_seconds", "Time in the flow", buckets=(1, 2, 5, 10, 20, 40, 80, 160, 320, 900)
)
# Prompts without audio. Anything above zero: run `python -m services.center prompts` or add the recording.
PROMPTS_MISSING = Counter("peyvand_ivr_prompts_missing_total", "Playbacks without a file", ["language"])
# Calls that went to the fallback queue because ivr failed. Anything above zero is a bug: see flow_broken in the log.
BROKEN = Counter("peyvand_ivr_flows_broken_total", "Flows broken off by an internal error")

# FreeSWITCH looks at the break flag every 20 ms, but only in a playback that has begun: one that was only queued when the
# break arrived would play to its end. So the break is repeated for as long as this very playback has not ended.
_BREAK_AGAIN_S = 0.25
_BREAKS = 8
_END_S = 5.0
# Steps are told with the hand-over or the end of the call, which most calls reach sooner than this: one fact instead of one a node. What a
# killed process has not told yet is where callers were in a menu that they now skip; no book counts it (services/adr/0045).
_UNTOLD_S = 30.0
_MOST_UNTOLD = 50
_MOST_FAILURES = 3


class Session(Protocol):
    """What a call needs of ``services.common.esl.OutboundSession``."""

    unique_id: str
    channel: Event
    hung_up: bool

    @property
    def events(self) -> AsyncIterator[Event]: ...
    def listen(self, on_event: Callable[[Event], None], on_over: Callable[[], None]) -> None: ...
    def run(self, app: str, arg: str, done: Callable[[Event | Exception], None] | None = None) -> None: ...
    @overload
    async def execute(self, app: str, arg: str = "", *, wait: Literal[True] = True) -> Event: ...
    @overload
    async def execute(self, app: str, arg: str = "", *, wait: bool) -> Event | None: ...
    async def api(self, command_line: str) -> str: ...
    def set_variables(self, variables: Mapping[str, str]) -> None: ...
    def break_off(self) -> None: ...
    def set_and_tell(
        self,
        variables: Mapping[str, str],
        subclass: str,
        headers: Mapping[str, str],
        done: Callable[[Exception | None], None],
    ) -> None: ...
    def leave(self, *applications: tuple[str, str]) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What all calls of this process share."""

    clock: Clock
    put: Callable[[Outgoing], None]
    sounds_dir: str
    recordings_dir: str
    look: Callable[[str, str], Awaitable[QueueNow | None]]
    """The state of a tenant's queue; None when it cannot be had in time."""
    look_at_agent: Callable[[str, str], Awaitable[str]]
    """How an agent is: ready, busy, away; unseen when it cannot be had in time."""
    trunks: Trunks
    web: Web
    speech: SpeechOfProcess
    sentences: Sentences


class Call:
    """A caller in a flow."""

    def __init__(
        self,
        session: Session,
        leg: channel.Leg,
        center: Center,
        number: str,
        entry: EntryPoint,
        interpreter: Interpreter,
        around: Surroundings,
        after: channel.Conversation | None = None,
    ) -> None:
        """``after``: the conversation that the caller is asked about, of a survey."""
        self._session = session
        self._leg = leg
        self._center = center
        self._number = number
        self._entry = entry
        self._interpreter = interpreter
        self._around = around
        self._state = State()
        self._inbox = Inbox(self._handle)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._preparing: core.SpeakText | core.SayText | None = None
        """What is to be played, but is not sound yet."""
        self._speech = SpeechOfCall(around.speech, session, center, self._now, self._inbox.put_nowait)
        self._playback: asyncio.Task[None] | Running | None = None
        self._over = asyncio.get_running_loop().create_future()
        self._failures = 0
        self._handed: core.HandOver | None = None
        self._ended: core.Ended | None = None
        self._missed = 0
        self._after = after
        self._recorded_as = ""
        self._untold: list[core.StepTaken] = []
        self._telling: asyncio.TimerHandle | None = None
        self._started_us = around.clock.now_us()
        flow = entry.flow if after is None else after.flow
        self._facts = Facts(center.tenant, leg.contact_id, self._started_us, flow, after)

    async def run(self) -> None:
        """Serve the call until it ended or was handed over. When cancelled, hand over to the fallback queue."""
        if self._after is None:
            self._around.put(self._facts.started(self._leg, self._center, self._number, self._entry))
        self._session.listen(self._heard, self._gone)
        begun = core.Begun(
            self._started_us,
            self._center.language_order(self._first_language()),
            self._leg.caller,
            self._leg.entry,
            random.getrandbits(63),
            self._leg.answered,
        )
        try:
            self._inbox.take(begun)
            await self._over
        except asyncio.CancelledError:
            self._let_go()
            raise
        finally:
            for timer in self._timers:
                timer.cancel()
            self._tell_steps()
            if self._tasks:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
            self._log()

    def _handle(self, event: core.Event) -> None:
        """Step, and do what comes of it. Whatever goes wrong here ends in the fallback queue."""
        if self._ended is not None or self._over.done():
            return
        try:
            self._state, outputs = self._interpreter.step(self._state, event)
            if isinstance(event, core.Begun) and self._after is None and self._stays(outputs):
                self._claim()
            for output in outputs:
                self._perform(output)
        except CallGone:
            return  # the end of the events brings the reason
        except Exception as e:
            self._failures += 1
            BROKEN.inc()
            log.exception("flow_broken", contact=self._leg.contact_id, node=self._state.node)
            if self._failures >= _MOST_FAILURES:
                self._finish()
            else:
                self._inbox.put_nowait(core.Broken(self._now(), repr(e)))

    def _finish(self) -> None:
        """Let ``run`` return."""
        if not self._over.done():
            self._over.set_result(None)

    def _first_language(self) -> str:
        spoken = self._after.language if self._after is not None else ""
        return spoken if spoken in self._center.languages else self._center.first_language(self._entry)

    @staticmethod
    def _stays(outputs: Sequence[core.Output]) -> bool:
        """Whether the call is here for longer than its first step; a hand-over says all that a claim does."""
        return not any(isinstance(output, core.HandOver) for output in outputs)

    def _claim(self) -> None:
        self._session.set_variables(channel.claim(self._leg, self._center, self._started_us // 1000))

    def _heard(self, event: Event) -> None:
        meaning = channel.event_of(event, self._now())
        if meaning is not None:
            self._inbox.take(meaning)

    def _gone(self) -> None:
        """There will be no more events. The last word is HungUp or Lost, always."""
        now = self._now()
        self._inbox.take(core.HungUp(now, "") if self._session.hung_up else core.Lost(now))
        self._finish()

    def _perform(self, output: core.Output) -> None:
        match output:
            case core.PlayPrompt():
                self._playback = self._play(output)
            case core.SayText():
                self._say(output)
            case core.SpeakText():
                self._preparing = output
                self._playback = self._start(self._speak(output))
            case core.StopPlaying() if self._preparing is not None and self._playback is not None:
                # Nothing plays yet that a break could end; it would hit what is played next.
                self._playback.cancel()
                self._inbox.put_nowait(core.PlayEnded(self._now(), self._preparing.play, True))
                self._preparing = None
            case core.StopPlaying():
                self._break_off(self._playback, _BREAKS)
            case core.HearCaller():
                self._speech.hear(functools.partial(self._start, self._speech.listen(output)))
            case core.StopHearing():
                self._speech.deafen()
            case core.AnswerCall():
                self._session.run("answer", "")
            case core.HideKeys():
                self._session.set_variables(channel.HIDE_KEYS)
            case core.RecordMessage() | core.RecordAnswer():
                self._playback = self._start(self._record(output))
            case core.LookAtQueue():
                self._start(self._look(output))
            case core.LookAtAgent():
                self._start(self._look_at_agent(output))
            case core.SendRequest():
                self._start(self._ask_web(output))
            case core.Rated():
                version = self._center.flows[output.flow].version
                self._around.put(self._facts.rated(output, version, self._recorded_as))
            case core.ArmTimer():
                self._arm(output)
            case core.StepTaken():
                self._step(output)
            case core.PromptMissing():
                self._missed += 1
                self._around.put(self._facts.prompt_missed(output, self._missed))
                PROMPTS_MISSING.labels(output.language).inc()
                log.error(
                    "prompt_missing",
                    tenant=self._center.tenant,
                    prompt=output.prompt,
                    language=output.language,
                    given_up=output.given_up,
                )
            case core.Transfer():
                self._start(self._transfer(output.number))
            case core.HandOver():
                self._handed = output
                self._hand_over(output)
            case core.Ended():
                self._end(output)

    def _end(self, output: core.Ended) -> None:
        self._ended = output
        if self._after is not None:
            self._around.put(self._facts.surveyed(output, self._state.answered))
        elif output.outcome == "handed_over":
            if self._handed is not None and output.cause != "unconfirmed":
                self._around.put(self._facts.handed_over(self._handed, output.at_us, self._take_untold()))
        else:
            self._around.put(self._facts.ended(output, self._take_untold()))
        if output.hang_up:
            self._session.run("hangup", output.cause or "NORMAL_CLEARING")
            # Our letting go would start the next action of the dialplan: so only after the leg is gone.
            self._timers.append(asyncio.get_running_loop().call_later(_END_S, self._finish))
        else:
            self._finish()

    def _let_go(self) -> None:
        """The process stops: write the hand-over and exit in one write; nobody is left to wait for a confirmation."""
        if self._ended is not None:
            return
        self._state, outputs = self._interpreter.step(self._state, core.Broken(self._now(), "stopping"))
        for output in outputs:
            if isinstance(output, core.StepTaken):
                self._untold.append(output)
            elif isinstance(output, core.HandOver):
                self._handed = output
            elif isinstance(output, core.Ended):  # A survey: the dialplan ends the call.
                self._ended = output
                self._around.put(self._facts.surveyed(output, self._state.answered))
        if self._handed is not None:
            if self._playback is not None and not self._playback.done() and self._preparing is None:
                # Without a playback the break would end the music that the dialplan plays next.
                self._session.break_off()
            self._session.leave(("multiset", multiset(self._hand_over_values(self._handed))))
            self._around.put(self._facts.handed_over(self._handed, self._now(), self._take_untold()))
            self._ended = core.Ended("handed_over", self._state.node, "stopping", False, self._now())

    # -- steps that were not told yet ------------------------------------------------------------------------------

    def _step(self, step: core.StepTaken) -> None:
        self._untold.append(step)
        if len(self._untold) == 1:
            self._telling = asyncio.get_running_loop().call_later(_UNTOLD_S, self._tell_steps)
        elif len(self._untold) >= _MOST_UNTOLD:
            self._tell_steps()

    def _tell_steps(self) -> None:
        if steps := self._take_untold():
            self._around.put(self._facts.stepped(steps))

    def _take_untold(self) -> list[core.StepTaken]:
        steps, self._untold = self._untold, []
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        return steps

    # -- tasks whose end is an event -------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except CallGone:
            return  # the pump brings the reason
        except Exception as e:
            if not isinstance(e, PeyvandError):
                BROKEN.inc()
            log.exception("flow_broken", contact=self._leg.contact_id, node=self._state.node)
            self._inbox.put_nowait(core.Broken(self._now(), repr(e)))

    def _play(self, output: core.PlayPrompt | core.SayText) -> Running:
        running = Running()

        def played(complete: Event | Exception) -> None:
            running.end()
            if isinstance(complete, Event):
                heard = channel.heard(complete)
                self._inbox.take(core.PlayEnded(self._now(), output.play, heard))

        argument = channel.playback(self._around.sounds_dir, self._center, output)
        if argument:
            self._session.run("playback", argument, played)
        else:
            running.end()
            self._inbox.put_nowait(core.PlayEnded(self._now(), output.play, True, said=False))
        return running

    def _say(self, output: core.SayText) -> None:
        """Read out, unless FreeSWITCH lacks a part of it: a number with a hole is another number."""
        files = channel.parts(self._around.sounds_dir, self._center, output)
        whole = self._around.sentences.whole(self._leg.node, files)
        if whole is None:
            self._preparing = output
            self._playback = self._start(self._say_if_whole(output, files))
        elif whole:
            self._playback = self._play(output)
        else:
            self._inbox.put_nowait(core.PlayEnded(self._now(), output.play, False))

    async def _say_if_whole(self, output: core.SayText, files: Sequence[str]) -> None:
        whole = await self._around.sentences.ask(self._leg.node, files, self._session.api)
        self._preparing = None
        if whole:
            self._playback = self._play(output)
        else:
            self._inbox.put_nowait(core.PlayEnded(self._now(), output.play, False))

    async def _speak(self, output: core.SpeakText) -> None:
        playable = await self._speech.playable(output)
        self._preparing = None
        if playable is None:
            self._inbox.put_nowait(core.PlayEnded(self._now(), output.play, False))
            return
        if playable.variables:
            await self._session.execute("multiset", playable.variables, wait=False)
        complete = await self._session.execute("playback", playable.argument)
        self._inbox.put_nowait(core.PlayEnded(self._now(), output.play, channel.heard(complete)))

    async def _record(self, output: core.RecordMessage | core.RecordAnswer) -> None:
        self._recorded_as = channel.recorded_as(self._center, self._leg, output, self._now())
        path = f"{self._around.recordings_dir}/{self._recorded_as}"
        session = self._session
        # record makes no folders, and hangs up when it cannot write.
        await session.execute("mkdir", path.rpartition("/")[0], wait=False)
        await session.execute("playback", channel.BEEP, wait=False)
        # Everywhere else a key must not end a playback: what it means is decided here.
        await session.execute("multiset", "^^;playback_terminators=#", wait=False)
        complete = await session.execute("record", channel.record_argument(path, output))
        await session.execute("multiset", "^^;playback_terminators=none", wait=False)
        self._inbox.put_nowait(core.Recorded(self._now(), output.recording, channel.recorded_ms(complete)))

    async def _look(self, output: core.LookAtQueue) -> None:
        seen = await self._around.look(self._center.tenant, output.queue)
        if seen is None:
            self._inbox.put_nowait(core.QueueUnseen(self._now(), output.look))
            return
        self._inbox.put_nowait(
            core.QueueSeen(self._now(), output.look, seen.waiting, seen.longest_ms, seen.ready)
        )

    async def _look_at_agent(self, output: core.LookAtAgent) -> None:
        state = await self._around.look_at_agent(self._center.tenant, output.agent)
        self._inbox.put_nowait(core.AgentSeen(self._now(), output.look, state))

    async def _ask_web(self, output: core.SendRequest) -> None:
        try:
            status, values = await self._around.web.ask(self._center, output)
        except WebUnavailable as e:
            self._inbox.put_nowait(core.WebFailed(self._now(), output.request, e.reason))
        else:
            self._inbox.put_nowait(core.WebAnswered(self._now(), output.request, status, values))

    def _break_off(self, playback: asyncio.Task[None] | Running | None, times: int) -> None:
        if not times or playback is None or playback.done():
            return
        self._session.break_off()
        again = asyncio.get_running_loop().call_later(_BREAK_AGAIN_S, self._break_off, playback, times - 1)
        self._timers.append(again)

    async def _transfer(self, number: str) -> None:
        argument = await self._around.trunks.bridge_argument(self._center, self._leg, number)
        if not argument:
            self._inbox.put_nowait(core.TransferEnded(self._now(), "NO_TRUNK"))
            return
        complete = await self._session.execute("bridge", argument)
        result = complete.variable("originate_disposition")
        if result == "SUCCESS":
            # The event of the bridge may stand behind this completion when the conversation was very short.
            self._inbox.put_nowait(core.TransferConnected(self._now()))
        self._inbox.put_nowait(core.TransferEnded(self._now(), result))

    def _hand_over(self, output: core.HandOver) -> None:
        def written(result: Event | Exception | None) -> None:
            if not isinstance(result, Exception):
                self._inbox.take(core.HandedOver(self._now()))

        values = self._hand_over_values(output)
        if self._playback is not None and not self._playback.done():
            # In its turn behind the playback, which is being broken off: letting go sooner, the break might hit the music.
            self._session.run("multiset", multiset(values), written)
        else:
            headers = channel.handed_over(self._session.channel, values)
            self._session.set_and_tell(values, channel.HANDED_OVER, headers, written)

    def _hand_over_values(self, output: core.HandOver) -> dict[str, str]:
        return channel.hand_over(self._leg, self._center, output, self._started_us // 1000)

    def _arm(self, output: core.ArmTimer) -> None:
        def fire() -> None:
            self._inbox.take(core.TimerFired(self._now(), output.timer))

        self._timers.append(asyncio.get_running_loop().call_later(output.after_ms / 1000, fire))

    def _now(self) -> int:
        return self._around.clock.now_us()

    def _log(self) -> None:
        """The one line of a call that tells all of it."""
        ended = self._ended
        duration_ms = max(0, (self._now() - self._started_us) // 1000)
        outcome = ended.outcome if ended else "failed"
        CALLS.labels(outcome).inc()
        CALL_S.observe(duration_ms / 1000)
        log.info(
            "call_served",
            contact=self._leg.contact_id,
            tenant=self._center.tenant,
            node=self._leg.node,
            entry=self._leg.entry,
            flow=self._state.flow or self._entry.flow,
            revision=self._center.revision,
            language=self._state.languages[0] if self._state.languages else "",
            outcome=outcome,
            last_node=self._state.node,
            cause=ended.cause if ended else "broken",
            queue=self._handed.queue if self._handed else "",
            steps=self._state.step_no,
            duration_ms=duration_ms,
        )
