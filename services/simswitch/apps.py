"""Applications: what a leg runs. Each returns its Application-Response; empty is ``_none_``.

Here are those of the call itself; `prompts` has those that play and ask, `keys` what keys are bound to.
Semantics from mod_dptools.c and switch_ivr.c of FreeSWITCH 1.10.12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs
from services.simswitch.bridge import bridge_application
from services.simswitch.channel import Channel
from services.simswitch.conference import conference_app
from services.simswitch.controller import Controller
from services.simswitch.core.causes import cause_named
from services.simswitch.core.leg import other_leg
from services.simswitch.core.wire import EVENT_NAMES, Value
from services.simswitch.dial_string import is_true
from services.simswitch.keys import bind_meta_app, unbind_meta_app
from services.simswitch.limits import hash_app, limit, limit_execute
from services.simswitch.originate import dial
from services.simswitch.ports import Application
from services.simswitch.prompts import (
    endless_playback,
    play_and_get_digits,
    playback,
    read,
    record,
    say,
    sleep,
)
from services.simswitch.redirect import transfer
from services.simswitch.schedule import sched_broadcast_app, sched_hangup_app, sched_transfer_app
from services.simswitch.supervise import display, eavesdrop, three_way
from services.simswitch.transfers import att_xfer, intercept
from services.simswitch.waiting import TICK_S

CONNECT_TIMEOUT_S: Final = 5.0
_DIALSTATUS: Final = {"NO_ANSWER": "NOANSWER", "USER_BUSY": "BUSY", "ORIGINATOR_CANCEL": "CANCEL"}
"""Short forms for DIALSTATUS (switch_ivr_originate.c)."""
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


async def push(leg: Channel, data: str) -> str:
    """Append to a variable, which becomes an array with the second value."""
    name, equals, value = data.partition("=")
    if name and equals:
        before = leg.variables.get(name)
        if before is None:
            leg.variables[name] = value
        else:
            leg.variables[name] = [*([before] if isinstance(before, str) else before), value]
    return ""


async def echo(leg: Channel, _: str) -> str:
    """Send back what is heard, until something ends it."""
    await leg.wait(None, breakable=True)
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
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, controller = await loop.create_connection(
                    lambda: Controller(leg.switch, leg, full="full" in words, is_async="async" in words),
                    host,
                    int(port),
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
    if not taken.connected and not leg.interrupted and not leg.truth("socket_resume"):
        # A controller that was gone before it spoke has nobody tell the session: it parks for ever (15 of 15 on the real switch).
        await leg.park()
    # The session notices a moment later that it was taken: who subscribes right after ``connect`` sees CHANNEL_PARK (recorded).
    await leg.wait(TICK_S, digits="keep", messages=False, until=lambda: taken.closed)
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
    path, _, limit_ = data.strip().partition(" +")
    bugs.start_recording(leg, path.strip(), limit_s=int(limit_) if limit_.isdigit() else 0)
    return ""


async def record_session_mask(leg: Channel, data: str) -> str:
    bugs.mask_recording(leg, data.strip(), True)
    return ""


async def record_session_unmask(leg: Channel, data: str) -> str:
    bugs.mask_recording(leg, data.strip(), False)
    return ""


async def displace_session(leg: Channel, data: str) -> str:
    """``displace_session <path> [<flags>] [+<limit>]``"""
    words = [*data.split(), ""]
    limit_ = next((w[1:] for w in words if w.startswith("+") and w[1:].isdigit()), "0")
    bugs.start_displace(leg, words[0], limit_s=int(limit_))
    return ""


async def send_display(leg: Channel, data: str) -> str:
    display(leg, data)
    return ""


async def pre_answer(leg: Channel, _: str) -> str:
    if not leg.answered and leg.answer_state != "early":
        leg.early_media()
    return ""


async def execute_extension(leg: Channel, data: str) -> str:
    """Run an extension's actions here and come back: ``<exten> [<dialplan> [<context>]]``."""
    words = [*separate(data, " "), "", "", ""]
    was = leg.profile.destination
    leg.profile.destination = words[0]
    extension = leg.switch.dialplan.route(words[2] or leg.profile.context, leg.var)
    leg.profile.destination = was
    for action in extension.actions if extension is not None else ():
        if leg.interrupted:
            break
        await leg.execute(action.app, action.data)
    return ""


async def stop_record_session(leg: Channel, data: str) -> str:
    bugs.stop_recording(leg, data.strip())
    return ""


async def bridge(leg: Channel, data: str) -> str:
    """Dial out and join. A failure hangs the leg up unless ``continue_on_fail`` is set (true, or the causes to go on after)."""
    if leg.answered:
        leg.set_call_state("RING_WAIT")
    other, cause = await dial(leg.switch, data, caller=leg)
    if other is not None:
        leg.other = other_leg("originatee", other.profile)
        leg.profile.callee_name, leg.profile.callee_number = (
            other.profile.callee_name,
            other.profile.callee_number,
        )
    if leg.answered and not leg.down:
        leg.set_call_state("ACTIVE")
    if other is not None:
        leg.variables["signal_bond"] = other.uuid
        if description := other.var("switch_r_sdp"):
            leg.variables["switch_m_sdp"] = description
        if leg.name.startswith("sofia/"):
            leg.variables |= {"video_media_flow": "inactive", "text_media_flow": "inactive"}
    leg.variables["originate_disposition"] = cause
    leg.variables["DIALSTATUS"] = _DIALSTATUS.get(cause, cause)
    if other is None:
        leg.variables["originate_failed_cause"] = cause
        if not leg.down and not goes_on_after(leg.var("continue_on_fail"), cause):
            leg.end(cause, by="dialplan")
        return ""
    if not leg.answered:
        leg.mark_answered(early=False)
    await bridge_application(leg, other)
    return ""


def goes_on_after(wanted: str, cause: str) -> bool:
    """``continue_on_fail``: true, or a list of causes by name or number."""
    return is_true(wanted) or cause in (cause_named(c) for c in wanted.split(",") if c.strip())


async def send_dtmf(leg: Channel, data: str) -> str:
    await leg.pause(0.1 * len(data.partition("@")[0]))
    return ""


async def flush_dtmf(leg: Channel, _: str) -> str:
    leg.drop_digits()
    return ""


async def nothing(_leg: Channel, _data: str) -> str:
    """Applications that change nothing anybody could see here: ``log``, ``info``."""
    return ""


async def ring_ready(leg: Channel, _: str) -> str:
    leg.profile.times.progress = leg.switch.now_us()
    leg.switch.fire("CHANNEL_PROGRESS", leg)
    return ""


APPS: Final[Mapping[str, Application]] = {
    "answer": answer,
    "att_xfer": att_xfer,
    "bind_meta_app": bind_meta_app,
    "bridge": bridge,
    "eavesdrop": eavesdrop,
    "echo": echo,
    "endless_playback": endless_playback,
    "conference": conference_app,
    "displace_session": displace_session,
    "event": event,
    "execute_extension": execute_extension,
    "export": export,
    "flush_dtmf": flush_dtmf,
    "hangup": hangup,
    "hash": hash_app,
    "info": nothing,
    "intercept": intercept,
    "limit": limit,
    "limit_execute": limit_execute,
    "log": nothing,
    "loop_playback": endless_playback,
    "mkdir": nothing,  # What records makes its folders by itself here.
    "multiset": multiset,
    "park": park,
    "play_and_get_digits": play_and_get_digits,
    "playback": playback,
    "pre_answer": pre_answer,
    "push": push,
    "read": read,
    "record": record,
    "record_session": record_session,
    "record_session_mask": record_session_mask,
    "record_session_unmask": record_session_unmask,
    "ring_ready": ring_ready,
    "say": say,
    "sched_broadcast": sched_broadcast_app,
    "sched_hangup": sched_hangup_app,
    "sched_transfer": sched_transfer_app,
    "send_display": send_display,
    "send_dtmf": send_dtmf,
    "set": set_,
    "sleep": sleep,
    "socket": socket,
    "start_dtmf": nothing,
    "stop_dtmf": nothing,
    "stop_record_session": stop_record_session,
    "three_way": three_way,
    "transfer": transfer_,
    "unbind_meta_app": unbind_meta_app,
    "unset": unset,
}
