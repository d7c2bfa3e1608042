"""Applications: what a leg runs. Each returns its Application-Response; empty is ``_none_``.

Semantics from switch_ivr_play_say.c, switch_ivr.c and mod_dptools.c of FreeSWITCH 1.10.12: a key ends a prompt of
``play_and_get_digits``; silence gives ``read_result`` ``failure``, not ``timeout``; an answer that the expression refuses is
kept in ``<variable>_invalid``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs
from services.simswitch.bridge import bridge_application
from services.simswitch.channel import TICK_S, Channel, transfer
from services.simswitch.core.media import ENDLESS, MISSING, duration_ms, say_ms
from services.simswitch.core.wire import EVENT_NAMES, Value
from services.simswitch.listener import Controller
from services.simswitch.originate import dial
from services.simswitch.switch import Application

ANY_KEY: Final = "0123456789*#ABCD"
CONNECT_TIMEOUT_S: Final = 5.0
_QUIET_APPS: Final = frozenset({"set", "multiset", "unset", "export"})


async def answer(leg: Channel, _: str) -> str:
    if not leg.answered:
        await leg.pause(TICK_S)
        leg.mark_answered()
    return ""


async def set_(leg: Channel, data: str) -> str:
    name, equals, value = data.partition("=")
    if name and equals:
        leg.set(name.strip(), "" if value == "_undef_" else value)
    return ""


async def multiset(leg: Channel, data: str) -> str:
    delimiter = " "
    if data.startswith("^^") and len(data) > 2:
        delimiter, data = data[2], data[3:]
    for pair in data.split(delimiter):
        await set_(leg, pair)
    return ""


async def unset(leg: Channel, data: str) -> str:
    leg.set(data.strip(), "")
    return ""


async def export(leg: Channel, data: str) -> str:
    return await set_(leg, data.removeprefix("nolocal:"))


async def event(leg: Channel, data: str) -> str:
    """Fire an event: ``Event-Name=CUSTOM,Event-Subclass=a::b,header=value``."""
    name, subclass = "CHANNEL_APPLICATION", ""
    tail: dict[str, Value] = {}
    for pair in separate(data, ","):
        header, _, value = pair.partition("=")
        if header == "Event-Name" and value in EVENT_NAMES:
            name = value
        elif header == "Event-Subclass":
            subclass = value
        elif header and value:
            tail[header] = value
    leg.switch.fire(name, leg, subclass=subclass, tail=tail, location="event")
    return ""


async def play(leg: Channel, path: str, *, terminators: str = "", keep: bool = False) -> tuple[str, str]:
    """Play one path; return the response and the key that ended it.

    One of ``terminators`` ends it, other keys are reported and dropped; with ``keep`` keys are left alone.
    """
    ms = duration_ms(path, leg.switch.file_ms)
    if ms == MISSING:
        await leg.pause(TICK_S)
        return "FILE NOT FOUND", ""
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
    played = int((loop.time() - started) * 1000)
    leg.variables.update(
        {
            "playback_last_offset_pos": str(played * 8),
            "playback_seconds": str(played // 1000),
            "playback_ms": str(played),
            "playback_samples": str(played * 8),
        }
    )
    leg.switch.fire(
        "PLAYBACK_STOP", leg, tail={**shown, "Playback-Status": "done" if why == "time" else "break"}
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
    response, key = await play(leg, data, terminators=terminators)
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


async def park(leg: Channel, _: str) -> str:
    await leg.park()
    return ""


async def hangup(leg: Channel, data: str) -> str:
    leg.end(data.strip() or "NORMAL_CLEARING", by="command" if leg.controller is not None else "dialplan")
    return ""


async def transfer_(leg: Channel, data: str) -> str:
    words = [*separate(data, " "), "", "", ""]
    destination, dialplan, context = words[:3]
    transfer(leg, destination, dialplan or "XML", context)
    return ""


async def socket(leg: Channel, data: str) -> str:
    """Connect to a controller (``host:port|host2:port2 async full``), park, and go on when it lets go."""
    words = data.split()
    loop = asyncio.get_running_loop()
    controller: Controller | None = None
    for address in (words[0] if words else "").split("|"):
        host, _, port = address.partition("/")[0].rpartition(":")
        leg.variables["socket_host"] = host
        try:
            _, controller = await asyncio.wait_for(
                loop.create_connection(
                    lambda: Controller(leg.switch, leg, full="full" in words, is_async="async" in words),
                    host,
                    int(port),
                ),
                CONNECT_TIMEOUT_S,
            )
        except (OSError, TimeoutError, ValueError):
            continue
        break
    if controller is None or leg.down:
        if controller is not None:
            controller.drop()
        return ""
    taken = controller
    leg.controller = taken
    await leg.wait(None, digits="keep", messages=False, until=lambda: taken.connected or taken.closed)
    if not leg.interrupted:
        await leg.park(until=lambda: taken.closed and not leg.messages)
    elif not leg.down:
        await leg.pause(TICK_S)
    leg.abandon = False
    if not leg.leaving:
        while leg.messages:
            message = leg.messages.popleft()
            if message.app in _QUIET_APPS:
                await leg.run_message(message)
    if taken.closed:
        leg.controller = None
    return ""


async def record_session(leg: Channel, data: str) -> str:
    bugs.start_recording(leg, data.split(" +")[0].strip())
    return ""


async def stop_record_session(leg: Channel, data: str) -> str:
    bugs.stop_recording(leg, data.strip())
    return ""


async def bridge(leg: Channel, data: str) -> str:
    """Dial out and join. A failure hangs the leg up unless ``continue_on_fail`` is set."""
    other, cause = await dial(leg.switch, data, caller=leg)
    leg.variables["originate_disposition"] = cause
    if other is None:
        leg.variables["DIALSTATUS"] = cause
        if not leg.truth("continue_on_fail") and not leg.down:
            leg.end(cause, by="dialplan")
        return ""
    if not leg.answered:
        leg.mark_answered()
    await bridge_application(leg, other)
    return ""


async def send_dtmf(leg: Channel, data: str) -> str:
    await leg.pause(0.1 * len(data.partition("@")[0]))
    return ""


async def flush_dtmf(leg: Channel, _: str) -> str:
    leg.drop_digits()
    return ""


async def nothing(_leg: Channel, _data: str) -> str:
    """Applications that change nothing anybody could see here: ``log``, ``info``, ``sched_hangup cancel``."""
    return ""


async def ring_ready(leg: Channel, _: str) -> str:
    leg.profile.times.progress = leg.switch.now_us()
    leg.switch.fire("CHANNEL_PROGRESS", leg)
    return ""


APPS: Final[Mapping[str, Application]] = {
    "answer": answer,
    "bridge": bridge,
    "endless_playback": endless_playback,
    "event": event,
    "export": export,
    "flush_dtmf": flush_dtmf,
    "hangup": hangup,
    "info": nothing,
    "log": nothing,
    "loop_playback": endless_playback,
    "multiset": multiset,
    "park": park,
    "play_and_get_digits": play_and_get_digits,
    "playback": playback,
    "pre_answer": nothing,
    "record_session": record_session,
    "ring_ready": ring_ready,
    "say": say,
    "send_dtmf": send_dtmf,
    "set": set_,
    "sleep": sleep,
    "socket": socket,
    "start_dtmf": nothing,
    "stop_dtmf": nothing,
    "stop_record_session": stop_record_session,
    "transfer": transfer_,
    "unset": unset,
}
