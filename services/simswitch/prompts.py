"""Prompts and answers: playing files, asking for keys, saying numbers, taking a message. Theory of operation.

Semantics from switch_ivr_play_say.c of FreeSWITCH 1.10.12: a key ends a prompt of ``play_and_get_digits``; silence gives
``read_result`` ``failure``, not ``timeout``; an answer that the expression refuses is kept in ``<variable>_invalid``.

A path of several files (``file_string://a!b``, or files joined by the variable ``playback_delimiter``) is played one file
after the other, each with its own PLAYBACK_START and PLAYBACK_STOP when it is the delimiter that joins them; a missing
file is passed over, and a quarter of a second passes between two files (``playback_sleep_val``).

``record`` is a voicemail: it ends by a key of ``playback_terminators``, by so many seconds of silence, by its time, or by the
hangup; other keys are only reported. A file that cannot be written hangs the leg up with DESTINATION_OUT_OF_ORDER.
"""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs
from services.simswitch.channel import Channel
from services.simswitch.core.media import ENDLESS, MISSING, duration_ms, say_ms
from services.simswitch.core.wire import Value
from services.simswitch.waiting import TICK_S

ANY_KEY: Final = "0123456789*#ABCD"
_BETWEEN_FILES_S: Final = 0.25


async def play(leg: Channel, path: str, *, terminators: str = "", keep: bool = False) -> tuple[str, str]:
    """Play one path; return the response and the key that ended it.

    One of ``terminators`` ends it, other keys are reported and dropped; with ``keep`` keys are left alone.
    """
    ms = duration_ms(path, leg.switch.file_ms)
    if ms == MISSING:
        await leg.pause(TICK_S)
        return "FILE NOT FOUND", ""
    if leg.direction == "inbound" and not leg.answered and leg.answer_state == "ringing":
        leg.early_media()
    leg.clear_breaks()
    shown: dict[str, Value] = {"Playback-File-Path": path}
    if path.startswith("tone_stream://"):
        shown = {"Playback-File-Type": "tone_stream", **shown}
    leg.switch.fire("PLAYBACK_START", leg, tail=shown)
    loop = asyncio.get_running_loop()
    started = loop.time()
    why = await leg.wait(
        None if ms == ENDLESS else ms / 1000,
        digits="keep" if keep else "take" if terminators else "eat",
        accept=terminators,
        breakable=True,
    )
    key = why if len(why) == 1 else ""
    played = round((loop.time() - started) * 1000)
    leg.variables.update(
        {
            "playback_last_offset_pos": str(played * 8),
            "playback_seconds": str(played // 1000),
            "playback_ms": str(played),
            "playback_samples": str(played * 8),
        }
    )
    leg.switch.fire(
        "PLAYBACK_STOP",
        leg,
        tail={**shown, "Playback-Status": "done" if why in ("time", "stop") else "break"},
    )
    if why == "stop":
        return "PLAYBACK ERROR", ""
    return "FILE PLAYED", key


async def playback(leg: Channel, data: str) -> str:
    terminators = leg.var("playback_terminators") or "*"
    if terminators == "none":
        terminators = ""
    elif terminators == "any":
        terminators = ANY_KEY
    leg.variables.pop("playback_terminator_used", None)
    delimiter = leg.var("playback_delimiter")
    response, key = "FILE NOT FOUND", ""
    for i, path in enumerate(data.split(delimiter) if delimiter else [data]):
        if i:
            await leg.wait(_BETWEEN_FILES_S, digits="keep", messages=False)
        heard, key = await play(leg, path, terminators=terminators)
        if heard != "FILE NOT FOUND":
            response = heard
        if key or leg.interrupted:
            break
    if key:
        leg.variables["playback_terminator_used"] = key
    return response


async def endless_playback(leg: Channel, data: str) -> str:
    response = "FILE PLAYED"
    while not leg.interrupted and response == "FILE PLAYED":
        response, _ = await play(leg, data, keep=True)
    return response


async def say(leg: Channel, data: str) -> str:
    words = separate(data, " ")
    text = " ".join(words[3:])
    leg.variables["sound_prefix"] = leg.switch.globals.get("sounds_dir", "")
    await leg.wait(say_ms(text) / 1000, breakable=True)
    return ""


async def sleep(leg: Channel, data: str) -> str:
    ms = int(data) if data.strip().isdigit() else 0
    await leg.wait(ms / 1000, digits="keep", breakable=True)
    return ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Arguments of ``play_and_get_digits``."""

    min_digits: int
    max_digits: int
    tries: int
    timeout_ms: int
    terminators: str
    prompt: str
    invalid: str
    variable: str = ""
    expression: str = ""
    digit_timeout_ms: int = 0


def parse_ask(data: str) -> Ask | None:
    """``<min> <max> <tries> <timeout> <terminators> <file> <invalid> [<variable> [<regexp> [<digit timeout>]]]``"""
    words = separate(data, " ")
    if len(words) < 7 or not all(w.isdigit() for w in words[:4]):
        return None
    least, most, tries, timeout = (int(w) for w in words[:4])
    words += [""] * 3
    digit_timeout = int(words[9]) if words[9].isdigit() else 0
    return Ask(
        min_digits=least,
        max_digits=max(least, most),
        tries=tries,
        timeout_ms=timeout,
        terminators=words[4],
        prompt=words[5],
        invalid=words[6],
        variable=words[7],
        expression=words[8],
        digit_timeout_ms=digit_timeout or timeout,
    )


async def play_and_get_digits(leg: Channel, data: str) -> str:
    ask = parse_ask(data)
    if ask is None:
        return ""
    if ask.variable and ask.expression:
        leg.variables.pop(f"{ask.variable}_invalid", None)
    for _ in range(ask.tries):
        if leg.interrupted:
            break
        result, found = await _read(leg, ask)
        if leg.interrupted:
            break
        if found and (result == "success" or (result == "timeout" and len(found) >= ask.min_digits)):
            if not ask.expression or re.search(ask.expression, found):
                return ""
            if ask.variable:
                leg.variables.pop(ask.variable, None)
                leg.variables[f"{ask.variable}_invalid"] = found
        if ask.invalid:
            await play(leg, ask.invalid, keep=True)
    return ""


async def _read(leg: Channel, ask: Ask) -> tuple[str, str]:
    leg.variables.pop("read_result", None)
    if ask.variable:
        leg.variables.pop(ask.variable, None)
    found, result, terminated = "", "success", ""
    if ask.prompt and ask.prompt != "silence":
        _, key = await play(leg, ask.prompt, terminators=ANY_KEY)
        if key in ask.terminators and key and ask.max_digits > 1:
            terminated = key
        else:
            found += key
    if leg.interrupted:
        return "failure", ""
    while len(found) < ask.max_digits and not terminated:
        wait_ms = ask.digit_timeout_ms if found else ask.timeout_ms
        key = await leg.wait(wait_ms / 1000, digits="take")
        if key == "time":
            result = "timeout"
            break
        if len(key) != 1:
            result = "failure"
            break
        if key in ask.terminators:
            terminated = key
        else:
            found += key
    if terminated:
        leg.variables["read_terminator_used"] = terminated
    if ask.max_digits == 1 and found and found in ask.terminators:
        found = ""
    if len(found) < ask.min_digits:
        result = "failure"
    leg.variables["read_result"] = result
    if ask.variable and found:
        leg.variables[ask.variable] = found
    return result, found


async def ask_for_key(leg: Channel, key: str, prompt: str) -> bool:
    """Play ``prompt`` and wait as long for ``key``: what a ``group_confirm_key`` does once. Any other key begins it again."""
    if prompt:
        _, pressed = await play(leg, prompt, terminators=ANY_KEY)
        if pressed:
            return pressed == key
    pressed = await leg.wait(0.5 if prompt else None, digits="take")
    return pressed == key


async def read(leg: Channel, data: str) -> str:
    """``read <min> <max> <file> <variable> <timeout> <terminators> [<digit timeout>]``: asks once."""
    words = [*separate(data, " "), *[""] * 7]
    least, most, prompt, variable, timeout, terminators, between = words[:7]
    if not (least.isdigit() and most.isdigit() and variable and timeout.isdigit()):
        return ""
    ask = Ask(
        min_digits=int(least),
        max_digits=max(int(least), int(most)),
        tries=1,
        timeout_ms=int(timeout),
        terminators=terminators,
        prompt=prompt,
        invalid="",
        variable=variable,
        digit_timeout_ms=int(between) if between.isdigit() else int(timeout),
    )
    await _read(leg, ask)
    return ""


async def record(leg: Channel, data: str) -> str:
    """``record <path> [<limit s> [<silence threshold> [<silence s>]]]``: a message is taken. See the theory above."""
    words = [*separate(data, " "), "", "", "", ""]
    path, limit, threshold, silence = words[:4]
    terminators = leg.var("playback_terminators") or "*"
    if terminators in ("none", "any"):
        terminators = "" if terminators == "none" else ANY_KEY
    try:
        recorder = bugs.message_recorder(leg, path)
    except OSError:
        leg.end("DESTINATION_OUT_OF_ORDER", by="switch")
        return ""
    leg.clear_breaks()
    leg.switch.fire("RECORD_START", leg, tail={"Record-File-Path": path}, location="RECORD_START message")
    seconds = float(limit) if limit.isdigit() and int(limit) else None
    if not leg.speaking and threshold.isdigit() and int(threshold) and silence.isdigit():
        seconds = min(seconds or math.inf, float(silence))
    key = await leg.wait(seconds, digits="take" if terminators else "eat", accept=terminators, breakable=True)
    if len(key) == 1:
        leg.variables["playback_terminator_used"] = key
    bugs.close_message(leg, path, recorder)
    return ""
