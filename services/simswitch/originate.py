"""Legs that the switch itself starts: ``originate`` and the dialling part of the application ``bridge``. Theory.

A dial string (`dial_string`) is carried out as switch_ivr_originate.c does it, and every rule here was measured on a
real 1.10.12:

* the legs of a group are created together and ring together; the first that is *reached* wins, the others end with
  LOSE_RACE. Reached is: answered; or early media, unless ``ignore_early_media``; or ringing, with
  ``return_ring_ready``; with a ``group_confirm_key`` only when its person has pressed that key (or, with the key
  ``exec``, when the application has ended);
* a group whose legs all failed gives way to the next. The cause is that of the first leg of the last group. With
  ``fail_on_single_reject`` the first refusal ends the group, the others with NO_ANSWER; with a list of causes instead of
  ``true`` those end the whole, with ``!`` before the list all but those (switch_ivr_originate.c, ``check_reject``);
* the time of the whole, ``originate_timeout`` or the seventh argument, ends it with NO_ANSWER and no other group is tried,
  unless ``originate_continue_on_timeout``. ``leg_timeout`` ends one leg with ALLOTTED_TIMEOUT, ``leg_progress_timeout``
  one that does not even ring with PROGRESS_TIMEOUT;
* all of these compare whole seconds of the clock (``switch_epoch_time_now``): one second is anything from 0 to 1 s for the
  whole, from 1 to 2 s for a leg;
* enterprise attempts (``:_:``) run at the same time, the first that wins ends the others.

A client that acts on CHANNEL_ANSWER has taken the leg away before the job is done: then the application is not run, and the answer
is still ``+OK``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.channel import Channel
from services.simswitch.core.dialplan import Action
from services.simswitch.core.wire import Value
from services.simswitch.dial_string import Attempt, Destination, is_true, parse
from services.simswitch.endpoints import Dialled, dialled
from services.simswitch.prompts import ask_for_key
from services.simswitch.redirect import transfer
from services.simswitch.switch import Switch
from services.simswitch.waiting import TICK_S

USAGE: Final = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] "
    "[<timeout_sec>]\n"
)
_APP: Final = re.compile(r"&([A-Za-z_]+)(?:\((.*)\))?$", re.DOTALL)
_LIMIT_S: Final = 60
_RETRY_S: Final = 1.0


async def originate(switch: Switch, argument: str) -> str:
    """Carry out the API command; the reply says ``+OK <uuid>`` or ``-ERR <cause>``."""
    words = separate(argument, " ")
    if not 2 <= len(words) <= 7:
        return USAGE
    words += [""] * (7 - len(words))
    url, extension, dialplan, context, cid_name, cid_number, timeout = (
        "" if w == "undef" else w for w in words
    )
    leg, cause = await dial(
        switch,
        url,
        cid_name=cid_name,
        cid_number=cid_number,
        timeout_s=int(timeout) if timeout.isdigit() else _LIMIT_S,
    )
    if leg is None:
        return f"-ERR {cause}\n"
    if _taken(leg):
        return f"+OK {leg.uuid}\n"
    if found := _APP.match(extension):
        leg.flip_caller_id()
        action = Action(found[1], found[2] or "")
        leg.profile.extension = (action.app, ((action.app, action.data),))
        leg.redirect_to(partial(leg.run_actions, (action,)))
    else:
        transfer(leg, extension, dialplan or "XML", context or "default")
    return f"+OK {leg.uuid}\n"


async def dial(
    switch: Switch,
    url: str,
    *,
    cid_name: str = "",
    cid_number: str = "",
    timeout_s: int = _LIMIT_S,
    caller: Channel | None = None,
) -> tuple[Channel | None, str]:
    """Ring ``url`` until somebody is reached; return that leg and SUCCESS, or None and the cause."""
    if caller is not None:
        cid_name, cid_number = caller.profile.cid_name, caller.profile.cid_number
        if caller.var("effective_caller_id_name"):
            cid_name = caller.var("effective_caller_id_name")
        if caller.var("effective_caller_id_number"):
            cid_number = caller.var("effective_caller_id_number")
        if caller.var("call_timeout").isdigit():
            timeout_s = int(caller.var("call_timeout"))
    attempts = parse(url)
    races = [_Race(switch, attempt, cid_name, cid_number, timeout_s, caller) for attempt in attempts]
    if len(races) == 1:
        return await races[0].run()
    tasks = [asyncio.get_running_loop().create_task(race.run()) for race in races]
    cause = "NONE"
    for done in asyncio.as_completed(tasks):
        leg, cause = await done
        if leg is not None:
            for race in races:
                race.give_up(leg)
            await asyncio.gather(*tasks)
            return leg, "SUCCESS"
    return None, cause


class _Race:
    """One attempt: its groups, one after the other."""

    def __init__(
        self,
        switch: Switch,
        attempt: Attempt,
        cid_name: str,
        cid_number: str,
        timeout_s: int,
        caller: Channel | None,
    ) -> None:
        given = attempt.variables
        self._switch = switch
        self._attempt = attempt
        self._cid = (cid_name, cid_number)
        self._caller = caller
        self._limit_s = _number(given, "originate_timeout") or timeout_s
        self._progress_s = _number(given, "progress_timeout")
        self._legs: list[Channel] = []
        self._tried: list[Channel] = []
        self._given_up = False
        self._news = asyncio.Event()
        """Set when a leg or the caller rings, has early media, is answered or ends, or another attempt has won."""
        self._reached = "early"
        if is_true(given.get("return_ring_ready")):
            self._reached = "ringing"
        elif str(given.get("ignore_early_media", "false")).lower() not in ("", "false", "no", "0"):
            self._reached = "answered"

    def give_up(self, winner: Channel) -> None:
        """Another attempt has won."""
        self._given_up = True
        self._news.set()
        for leg in self._legs:
            if leg is not winner:
                leg.end("LOSE_RACE", by="switch")

    async def run(self) -> tuple[Channel | None, str]:
        """Return the leg that was reached and SUCCESS, or None and the cause."""
        leg, cause = await self._run()
        if self._caller is not None:
            _report(self._caller, self._tried, leg)
        return leg, cause

    async def _run(self) -> tuple[Channel | None, str]:
        given = self._attempt.variables
        tries = _number(given, "originate_retries") or 1
        pause_ms = _number(given, "originate_retry_sleep_ms")
        cause = "NONE"
        for turn in range(tries):
            if turn:
                await asyncio.sleep(pause_ms / 1000 if 500 <= pause_ms <= 60_000 else _RETRY_S)
            for group in self._attempt.groups:
                leg, cause, stop = await self._group(group)
                if leg is not None or stop or self._given_up:
                    return leg, cause
        return None, cause

    async def _group(self, group: Sequence[Destination]) -> tuple[Channel | None, str, bool]:
        """Ring one group. The last value says that no other group is to be tried."""
        cause = "NONE"
        ringing_: list[Dialled] = []
        for to in group:
            made = dialled(self._switch, to, *self._cid, self._caller)
            if isinstance(made, str):
                cause = made
            else:
                ringing_.append(made)
        if not ringing_:
            return None, cause, self._ends_all(cause)
        legs = self._legs = [d.leg for d in ringing_]
        self._tried += legs
        if self._caller is not None:
            for leg in legs:
                leg.variables["originating_leg_uuid"] = self._caller.uuid
                leg.variables["call_uuid"] = self._caller.var("call_uuid") or self._caller.uuid
        begun = self._seconds()
        for d in ringing_:
            delay = _number(d.destination.local, "leg_delay_start")
            if delay:
                asyncio.get_running_loop().call_later(delay, d.start)
            else:
                d.start()
        watched = [*legs, self._caller] if self._caller is not None else legs
        for leg in watched:
            leg.watchers_of_progress.add(self._news)
        try:
            winner, why = await self._watch(ringing_, begun)
        finally:
            for leg in watched:
                leg.watchers_of_progress.discard(self._news)
        for leg in legs:
            if leg is not winner:
                leg.end("LOSE_RACE" if winner is not None else "NO_ANSWER", by="switch")
        if winner is not None:
            await winner.pause(TICK_S)
            if not winner.down:
                return winner, "SUCCESS", True
        await _over(legs)
        if why == "timeout":
            goes_on = is_true(self._attempt.variables.get("originate_continue_on_timeout"))
            return None, "NO_ANSWER", not goes_on
        if why == "rejected":
            return None, "NO_ANSWER", any(self._ends_all(leg.hangup_cause) for leg in legs)
        if why == "cancelled":
            return None, "ORIGINATOR_CANCEL", True
        return None, legs[0].hangup_cause, any(self._ends_all(leg.hangup_cause) for leg in legs)

    def _ends_all(self, cause: str) -> bool:
        """Whether no other group is tried after this: a list of causes in ``fail_on_single_reject`` ends all, ``true`` the group only."""
        fails = str(self._attempt.variables.get("fail_on_single_reject", ""))
        return bool(fails) and not is_true(fails) and _rejects(fails, cause)

    async def _watch(self, ringing_: Sequence[Dialled], begun: int) -> tuple[Channel | None, str]:
        """Until a leg is reached, which is returned, or it is over: ``failed``, ``rejected`` (one of them, and that is
        enough), ``cancelled`` by the caller, ``timeout``."""
        legs = [d.leg for d in ringing_]
        fails = str(self._attempt.variables.get("fail_on_single_reject", ""))
        first_look_s = asyncio.get_running_loop().time()
        while True:
            for leg in legs:
                if not leg.down and self._is_reached(leg):
                    return leg, "reached"
            if self._given_up or all(leg.down for leg in legs):
                return None, "failed"
            if fails and any(leg.down and _rejects(fails, leg.hangup_cause) for leg in legs):
                return None, "rejected"
            if self._caller is not None and self._caller.down:
                for leg in legs:
                    leg.end("ORIGINATOR_CANCEL", by="switch")
                return None, "cancelled"
            if self._caller is not None:
                _tell_caller(self._caller, legs)
            elapsed = self._seconds() - begun
            if elapsed >= self._limit_s:
                return None, "timeout"
            for d in ringing_:
                self._leg_limits(d, elapsed)
            await self._news_or_second(first_look_s)

    async def _news_or_second(self, first_look_s: float) -> None:
        """Until the step of 20 ms after one of the legs has changed or another second of the clock has begun.

        The real switch looks at every step; a phone that rings for ten seconds would be looked at five hundred times.
        """
        loop = asyncio.get_running_loop()
        if not self._attempt.variables.get("group_confirm_key"):
            second = loop.call_later(1.0 - self._switch.clock.now_us() % 1_000_000 / 1e6, self._news.set)
            try:
                await self._news.wait()
            finally:
                second.cancel()
            self._news.clear()
        await asyncio.sleep(TICK_S - (loop.time() - first_look_s) % TICK_S)

    def _leg_limits(self, d: Dialled, elapsed: int) -> None:
        leg = d.leg
        if leg.answered or leg.down:
            return
        times = leg.profile.times
        limit = _number(d.destination.variables, "leg_timeout")
        if limit and elapsed > limit:
            leg.end("ALLOTTED_TIMEOUT", by="switch")
        limit = _number(d.destination.variables, "leg_progress_timeout") or self._progress_s
        if limit and elapsed > limit and not (times.progress or times.progress_media):
            leg.end("PROGRESS_TIMEOUT", by="switch")

    def _is_reached(self, leg: Channel) -> bool:
        times = leg.profile.times
        if leg.answered:
            return self._confirmed(leg)
        if self._attempt.variables.get("group_confirm_key"):
            return False
        if self._reached == "ringing":
            return bool(times.progress or times.progress_media)
        return self._reached == "early" and bool(times.progress_media)

    def _confirmed(self, leg: Channel) -> bool:
        """Whether the person said yes; asks first."""
        key = str(self._attempt.variables.get("group_confirm_key", ""))
        if not key or leg.confirmed or _taken(leg):
            return True
        if not leg.asked:
            leg.asked = True
            file = str(self._attempt.variables.get("group_confirm_file", ""))
            leg.redirect_to(partial(_ask, leg, key, file))
        return False

    def _seconds(self) -> int:
        return self._switch.clock.now_us() // 1_000_000


def _report(caller: Channel, tried: Sequence[Channel], winner: Channel | None) -> None:
    """What an attempt of the application ``bridge`` leaves on the caller: each leg and how it ended, and why the last failed."""
    mine = caller.variables
    for leg in tried:
        _push(caller, "originated_legs", f"{leg.uuid};Outbound Call;{leg.profile.destination}")
        _push(caller, "originate_causes", f"{leg.uuid};{leg.hangup_cause or 'NONE'}")
    for name in ("originate_signal_bond", "sip_invite_failure_status", "sip_invite_failure_phrase"):
        mine.pop(name, None)
    if winner is not None or not tried:
        return
    failed = tried[-1]
    mine["originate_signal_bond"] = failed.uuid
    mine["last_bridge_hangup_cause"] = failed.hangup_cause
    for mine_is, name in (
        ("last_bridge_proto_specific_hangup_cause", "proto_specific_hangup_cause"),
        ("sip_invite_failure_status", "sip_invite_failure_status"),
        ("sip_invite_failure_phrase", "sip_invite_failure_phrase"),
        ("sip_hangup_phrase", "sip_invite_failure_phrase"),
    ):
        if value := failed.variables.get(name):
            mine[mine_is] = value


def _push(leg: Channel, name: str, value: str) -> None:
    before = leg.variables.get(name)
    if before is None:
        leg.variables[name] = value
    else:
        leg.variables[name] = [*([before] if isinstance(before, str) else before), value]


async def _ask(leg: Channel, key: str, file: str) -> None:
    """``group_confirm_key``: play the file until the key comes; ``exec`` runs an application instead."""
    if key == "exec":
        app, _, data = file.partition(" ")
        await leg.execute(app, data)
        leg.confirmed = not leg.down
    else:
        while not leg.leaving and not leg.confirmed:
            leg.confirmed = await ask_for_key(leg, key, file)
    if not leg.leaving:
        await leg.wait(None, digits="keep", messages=False)


async def _over(legs: Sequence[Channel]) -> None:
    tasks = {leg.task for leg in legs if leg.task is not None}
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)


def _number(given: Mapping[str, Value], name: str) -> int:
    text = given.get(name, "")
    return int(text) if isinstance(text, str) and text.isdigit() else 0


def _rejects(wanted: str, cause: str) -> bool:
    """The switch looks for the cause's name anywhere in the text; with ``!`` in front it must not be there."""
    return is_true(wanted) or (cause in wanted.upper()) != wanted.startswith("!")


def _taken(leg: Channel) -> bool:
    """Whether a client that acts on CHANNEL_ANSWER has bridged or transferred the leg before the job was done."""
    return (leg.redirect is not None and not leg.asked) or leg.running != "CS_CONSUME_MEDIA"


def _tell_caller(caller: Channel, legs: Sequence[Channel]) -> None:
    """A caller who is not answered yet hears that it rings, or the sound that comes back."""
    if caller.answered and not caller.profile.times.progress and any(x.profile.times.progress for x in legs):
        caller.profile.times.progress = caller.switch.now_us()
    if caller.answered or caller.down or caller.answer_state == "early":
        return
    times = caller.profile.times
    if any(leg.answer_state == "early" and not leg.down for leg in legs):
        caller.early_media()
    elif not times.progress and any(leg.profile.times.progress for leg in legs):
        times.progress = caller.switch.now_us()
        caller.switch.fire("CHANNEL_PROGRESS", caller)


def ringing(leg: Channel) -> None:
    """The phone sends 180."""
    if leg.down or leg.profile.times.progress:
        return
    leg.profile.times.progress = leg.switch.now_us()
    leg.tell_progress()
    leg.heard_from_phone()
    leg.switch.fire("CHANNEL_PROGRESS", leg)
    leg.set_call_state("RINGING")


def early_media(leg: Channel) -> None:
    """The phone or the network sends 183 with sound: an announcement, or a ringing tone of its own."""
    if leg.down or leg.answered or leg.profile.times.progress_media:
        return
    leg.heard_from_phone()
    leg.early_media()
