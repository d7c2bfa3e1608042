"""One leg as a task: what its FreeSWITCH session thread does. Theory of operation.

A leg runs *steps* (route and execute the dialplan, park, be one side of a bridge); within a step it runs applications.
Whoever wants something of it from outside

* ends it (`end`): CHANNEL_HANGUP is fired at once, the task unwinds and fires the rest;
* redirects it (`redirect_to`): transfer, park and bridge make the running application end and another step begin;
* breaks it (`break_playback`): the innermost playback ends;
* queues a message (`queue`): it runs inside the running application at the next 20 ms step of the media clock;
* lets it go (`abandon`): the outbound controller closed its socket and ``socket_resume`` is set, so that whatever the
  controller started ends and the dialplan goes on with its next action.

All waiting is in `waiting`.
"""

from __future__ import annotations

import asyncio
import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from services.simswitch.core import table
from services.simswitch.core.causes import SIP_CAUSES, cause_named
from services.simswitch.core.dialplan import Action
from services.simswitch.core.leg import CALL_STATES, Profile
from services.simswitch.core.leg_variables import (
    acknowledged_variables,
    answered_variables,
    hangup_variables,
    progress_variables,
    refusal_variables,
)
from services.simswitch.core.wire import Value
from services.simswitch.expansion import expanded
from services.simswitch.negotiation import open_media
from services.simswitch.waiting import TICK_S, Step, WaitingLeg

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from services.simswitch.listener import Connection
    from services.simswitch.recorder import Recorder
    from services.simswitch.switch import Switch

log = structlog.get_logger()


class Channel(WaitingLeg):
    """One leg with its task."""

    def __init__(self, switch: Switch, uuid: str, profile: Profile, session_id: int) -> None:
        super().__init__(uuid, profile, session_id)
        self.switch = switch
        self.task: asyncio.Task[None] | None = None
        self.on_answer: asyncio.Task[None] | None = None
        self.party: Any = None
        self.controller: Connection | None = None
        self.watchers: list[Connection] = []
        """Inbound connections whose ``myevents`` is this leg's: they end with it."""
        self.diverted_to: Connection | None = None
        """Where events go that are queued to the session (``divert_events``)."""
        self.vanished = False
        self.partner: Channel | None = None
        self.joined_by: Channel | None = None
        self.bridge_over: asyncio.Event | None = None
        """Of the second leg of a bridge: set when the first one's task no longer needs it."""
        self.twin: Channel | None = None
        """The other half of a loopback call."""
        self.asked = False
        self.confirmed = False
        """Of a ``group_confirm_key``: whether its person was asked, and said yes."""
        self.gone = False
        self.parked = False
        self.held = False
        self.music_at: Channel | None = None
        """Who hears this leg's hold music."""
        self.ended_by = ""
        """Who ended the leg: ``caller``, ``agent`` (the person hung up), ``command`` (a client of the event socket),
        ``dialplan``, ``switch``."""
        self.phase_at_end = ""
        self.recorders: dict[str, Recorder] = {}
        self.voice: tuple[int, npt.NDArray[np.int16]] | None = None
        """What the leg says: since when (microseconds), 8 kHz."""
        self.displaces: dict[str, asyncio.TimerHandle | None] = {}
        self.speaking = True
        """Whether its person speaks; silence ends a message that is being recorded."""
        self.cseq = 0
        """Of the re-INVITE by which it went on with another node's dialog; its next request has the next number."""
        self.audio_bug = ""
        self.listeners = 0
        self.overhearing: set[Channel] = set()
        """Legs that listen to this one."""
        self.watchers_of_progress: set[asyncio.Event] = set()
        """Set when the leg rings, has early media, is answered or ends."""

    def report(
        self, name: str, *, head: Mapping[str, Value] | None = None, tail: Mapping[str, Value] | None = None
    ) -> None:
        self.switch.fire(name, self, variables=False, head=head, tail=tail)

    # -- what others do to it

    def end(self, cause: str, *, by: str, disposition: str = "") -> None:
        """Hang up; later calls do nothing. What is no known cause is NORMAL_CLEARING, as for ``uuid_kill``."""
        if self.down:
            return
        if self.held:
            self.unhold_quietly()
        self.switch.observer.leg_hung_up(self)
        self.down = True
        self.tell_progress()
        self.hangup_cause = cause_named(cause)
        self.ended_by = by
        if not disposition:
            person = by in ("caller", "agent")
            if self.answered:
                disposition = "recv_bye" if person else "send_bye"
            elif self.direction == "outbound":
                disposition = "recv_refuse" if person else "send_cancel"
            else:
                disposition = "recv_cancel" if person else "send_refuse"
        self.hangup_disposition = disposition
        if self.partner is not None:
            joined = self.joined_by is self.partner
            self.variables["last_bridge_role"] = "originatee" if joined else "originator"
        self.state = "CS_HANGUP"
        self.answer_state = "hangup"
        self.switch.fire("CHANNEL_HANGUP", self)
        for watcher in self.overhearing:
            watcher.wake_at_tick()
        self.profile.times.hungup = self.switch.now_us()
        self.wake_at_tick()

    def press(self, digit: str, source: str = "RTP") -> None:
        """A key; the other side of the bridge hears it too, which matters where that is a call to another node."""
        super().press(digit, source)
        if source == "RTP" and self.partner is not None and self.partner.party is not None:
            self.partner.party.on_key(digit)

    def say(self, sound: npt.NDArray[np.int16]) -> None:
        """Say something from now on (8 kHz); what was being said is broken off."""
        self.voice = (self.switch.clock.now_us(), sound)

    def tell_progress(self) -> None:
        """Tell those who wait for this leg to be reached."""
        for news in self.watchers_of_progress:
            news.set()

    def refuse(self, status: int) -> None:
        """The phone refuses the call with this SIP status."""
        if not self.down:
            self.sip_status = status
            self.profile.network_addr = "127.0.0.1"
            self.variables.update(refusal_variables(self, "127.0.0.1", status))
            self.end(SIP_CAUSES.get(status, "NORMAL_UNSPECIFIED"), by="agent")

    def unhold_quietly(self, *, call_state: bool = True) -> None:
        """The hold is over: by the phone, or because one of the two legs ends."""
        self.held = False
        other, self.music_at = self.music_at, None
        if other is not None:
            other.stop_broadcast("hold")
        times = self.profile.times
        now = self.switch.now_us()
        times.hold_accum += now - times.last_hold
        self.holds.insert(0, (times.last_hold, now))
        if call_state:
            self.set_call_state("UNHELD")
        self.switch.fire("CHANNEL_UNHOLD", self)
        if other is not None:
            asyncio.get_running_loop().call_later(TICK_S, self.sound_both_ways, other)

    def sound_both_ways(self, other: Channel) -> None:
        """The re-INVITEs at the end of a hold are answered."""
        for leg, name in ((self, "remote_audio_media_flow"), (other, "audio_media_flow")):
            if name in leg.variables:
                leg.variables[name] = "sendrecv"

    def controller_closed(self) -> None:
        """The outbound socket ended."""
        if self.truth("socket_resume"):
            self.abandon = True
        self.wake_at_tick()

    def _sockets(self) -> list[Connection]:
        return [*([self.controller] if self.controller is not None else []), *self.watchers]

    def vanish(self) -> None:
        """The switch's process died: no event, no record, the line is dead."""
        self.vanished = self.down = self.gone = True
        self.hangup_cause = self.hangup_cause or "CRASH"
        self.ended_by = self.ended_by or "switch"
        self.switch.observer.leg_hung_up(self)
        for recorder in self.recorders.values():
            self.switch.drop_recorder(recorder)
            recorder.abandon()
        for timer in self.displaces.values():
            if timer is not None:
                timer.cancel()
        self.switch.observer.leg_ended(self)
        if self.party is not None:
            self.party.on_ended(self)
        if self.task is not None:
            self.task.cancel()
        self.switch.drop_channel(self)

    # -- states

    def set_state(self, state: str) -> None:
        """Change and run a state."""
        self.state = self.running = state
        if (row := self.switch.rows.get(self.uuid)) is not None:
            row["state"] = state
        self.switch.fire("CHANNEL_STATE", self, variables=False)

    def set_call_state(self, state: str) -> None:
        """Change the call state that people see (RINGING, ACTIVE, HANGUP ...)."""
        before, self.call_state = self.call_state, state
        if (row := self.switch.rows.get(self.uuid)) is not None:
            row["callstate"] = state
        self.switch.fire(
            "CHANNEL_CALLSTATE",
            self,
            variables=False,
            head={
                "Original-Channel-Call-State": before,
                "Channel-Call-State-Number": str(CALL_STATES[state]),
            },
        )

    def mark_answered(self, *, early: bool = True) -> None:
        """200 OK: media flows. A leg that we answer has early media first, except when a bridge answers it."""
        if self.answered or self.down:
            return
        if self.twin is not None and self.direction == "inbound":
            self.twin.mark_answered()
        now = self.switch.now_us()
        if self.name.startswith("sofia/"):
            self.heard_from_phone()
            open_media(self)
        if self.direction == "inbound" and self.twin is None:
            if early and self.answer_state != "early":
                self.early_media()
            self.variables.update(answered_variables(self, "127.0.0.1"))
            # The tag and the sequence number of the dialogue are known when the ACK has come, in the thread of SIP.
            acknowledged = acknowledged_variables(self, "127.0.0.1")
            asyncio.get_running_loop().call_soon(self.variables.update, acknowledged)
        self.profile.times.answered = now
        self.tell_progress()
        self.answer_state = "answered"
        codec = self.codec
        if codec is not None and (row := self.switch.rows.get(self.uuid)) is not None:
            for way in ("read", "write"):
                row.update({f"{way}_codec": codec.name, f"{way}_rate": str(codec.rate)})
                row[f"{way}_bit_rate"] = str(codec.bit_rate)
        self.switch.fire("CHANNEL_ANSWER", self)
        self.set_call_state("ACTIVE")
        self.variables["endpoint_disposition"] = "ANSWER"
        self.switch.observer.leg_answered(self)
        # One search in all names: hardly a leg has such a variable, and every one has a hundred others.
        if "execute_on_answer" in " ".join(self.variables):
            todo = [self.var(name) for name in self.variables if name.startswith("execute_on_answer")]
            self.on_answer = asyncio.get_running_loop().create_task(self._execute_on_answer(todo))

    async def _execute_on_answer(self, todo: list[str]) -> None:
        """The applications of ``execute_on_answer*``, one after the other; a leg that ends meanwhile runs no more of them."""
        for line in todo:
            app, _, data = line.partition(" ")
            if not self.down:
                await self.execute(app, data)

    def heard_from_phone(self) -> None:
        """The first response to our INVITE: the 180, or the 200 of a phone that answers at once."""
        if self.direction == "outbound" and "sip_to_tag" not in self.variables:
            self.profile.network_addr = "127.0.0.1"
            self.profile.callee_name = self.profile.callee_number
            self.variables.update(progress_variables(self, "127.0.0.1"))

    def rename(self, name: str) -> None:
        """Take another name."""
        self.name = self.profile.chan_name = name
        self.variables["channel_name"] = name

    def early_media(self) -> None:
        """183: sound flows to the caller before anybody answers."""
        self.variables["endpoint_disposition"] = "EARLY MEDIA"
        self.profile.times.progress_media = self.switch.now_us()
        self.tell_progress()
        self.answer_state = "early"
        if self.name.startswith("sofia/"):
            open_media(self)
        self.switch.fire("CHANNEL_PROGRESS_MEDIA", self)
        self.set_call_state("EARLY")

    def sort_caller_id(self) -> None:
        """An extension begins: whoever was called before, or was the second of a bridge, is the caller now
        (``switch_channel_sort_cid``)."""
        if self.direction == "outbound" and not self.hit_dialplan:
            self.flip_caller_id()
        elif self.direction == "inbound" and self.b_leg:
            self.b_leg = False
            self.flip_caller_id()

    def flip_caller_id(self) -> None:
        """A leg that we called runs an application or is the first of a bridge: from now on its phone is the caller
        (``switch_channel_flip_cid``)."""
        p = self.profile
        if p.cid_name:
            self.variables["pre_transfer_caller_id_name"] = p.cid_name
        self.variables["pre_transfer_caller_id_number"] = p.cid_number
        self.variables["channel_cid_flipped"] = "yes"
        self.hit_dialplan = True
        p.cid_name, p.callee_name = p.callee_name or p.cid_name, p.cid_name
        p.cid_number, p.callee_number = p.callee_number or p.cid_number, p.cid_number
        self.switch.fire("CALL_UPDATE", self, head={"Direction": "RECV"}, location="CALL_UPDATE flip")

    def new_profile(self, *, destination: str = "", dialplan: str = "", context: str = "") -> None:
        """A transfer or bridge starts another caller profile."""
        profile = self.profile.step(self.switch.now_us())
        if destination:
            profile.destination = destination
        if dialplan:
            profile.dialplan = dialplan
        if context:
            profile.context = context
        self.old_profiles.append(self.profile)
        self.profile = profile

    # -- the task

    def start_inbound(self) -> None:
        """An INVITE came in."""
        self.task = asyncio.get_running_loop().create_task(
            self._run(self._first_inbound), name=f"leg {self.uuid}"
        )

    def start_outbound(self) -> None:
        """An INVITE went out; ``originate`` redirects the leg when it is answered."""
        self.task = asyncio.get_running_loop().create_task(
            self._run(self._wait_for_answer), name=f"leg {self.uuid}"
        )

    async def _run(self, first: Step) -> None:
        step: Step | None = first
        try:
            while step is not None and not self.down:
                await step()
                step, self.redirect = self.redirect, None
            if not self.down:
                self.end("NORMAL_CLEARING", by="dialplan")
        except Exception:
            log.exception("simulated_leg_failed", leg=self.uuid)
            self.end("DESTINATION_OUT_OF_ORDER", by="switch")
        finally:
            if not self.vanished:
                await self._finish()

    async def _first_inbound(self) -> None:
        fire = self.switch.fire
        if self.twin is None:
            fire("CHANNEL_STATE", self, variables=False)
        self.state = self.running = "CS_INIT"
        fire("CHANNEL_STATE", self, variables=False)
        self.insert_row()
        self.state = "CS_ROUTING"
        fire("CHANNEL_CREATE", self)
        self.running = "CS_ROUTING"
        self.set_call_state("RINGING")
        await self.route()

    async def _wait_for_answer(self) -> None:
        await self.wait(None, digits="keep", messages=False)

    def var_or_global(self, name: str) -> str:
        """A variable; what the leg has not is looked for among the globals (``switch_channel_get_variable``)."""
        return self.var(name) or self.switch.globals.get(name, "")

    async def route(self) -> None:
        """CS_ROUTING and what the dialplan says."""
        self._begin_routing()
        extension = self.switch.dialplan.route(self.profile.context, self.var_or_global)
        if extension is None:
            self.end("NO_ROUTE_DESTINATION", by="dialplan")
            return
        self.profile.extension = (extension.name, tuple((a.app, a.data) for a in extension.actions))
        await self.run_actions(extension.actions)

    def _begin_routing(self) -> None:
        """A caller who is transferred after the answer is shown as ringing until the new extension runs (measured)."""
        self.state = self.running = "CS_ROUTING"
        if self.direction == "inbound" and self.answered:
            self.set_call_state("RINGING")
        self.set_state("CS_ROUTING")
        if self.b_leg:
            self.b_leg = False
            self.flip_caller_id()

    async def run_inline(self, actions: Sequence[Action]) -> None:
        """``uuid_transfer <uuid> 'app:data,...' inline``."""
        self.profile.extension = ("inline", tuple((a.app, a.data) for a in actions))
        self._begin_routing()
        # The extension was the destination until here; again the one before it is (inline_dialplan_hunt).
        self.profile.destination, self.profile.rdnis = self.profile.rdnis, ""
        await self.run_actions(actions)

    async def run_actions(self, actions: Sequence[Action]) -> None:
        """CS_EXECUTE: one application after the other."""
        self.sort_caller_id()
        self.state = self.running = "CS_EXECUTE"
        if self.call_state == "RINGING" and self.answered:
            self.set_call_state("ACTIVE")
        self.set_state("CS_EXECUTE")
        for action in actions:
            if self.down or self.redirect is not None:
                return
            await self.execute(action.app, action.data)
        if not self.down and self.redirect is None:
            self.end("NORMAL_CLEARING", by="dialplan")

    async def execute(self, app: str, data: str, event_uuid: str = "") -> None:
        """Run one application with its two events. An unknown one hangs the leg up, as FreeSWITCH does."""
        function = self.switch.apps.get(app)
        if function is None:
            self.end("DESTINATION_OUT_OF_ORDER", by="switch")
            return
        data = await expanded(self, data)
        self.variables.pop("current_application_response", None)
        self.variables.pop("current_application_data", None)
        if data:
            self.variables["current_application_data"] = data
        self.variables["current_application"] = app
        self.app_log.append((app, data, self.switch.now_us()))
        shown: dict[str, Value] = {"Application": app}
        if data:
            shown["Application-Data"] = data

        def tail() -> Mapping[str, Value]:
            nonlocal event_uuid
            event_uuid = event_uuid or str(uuids.uuid4())
            return {**shown, "Application-UUID": event_uuid}

        self.switch.fire("CHANNEL_EXECUTE", self, tail=tail)
        self.update_row(app, data)
        self.switch.observer.app_started(self, app, data)
        if self.party is not None:
            self.party.on_app(self, app, data)
        response = await function(self, data)
        if response:
            self.variables["current_application_response"] = response
        # An application that says nothing itself passes on what the last inside it said.
        shown["Application-Response"] = self.var("current_application_response") or "_none_"
        self.switch.fire("CHANNEL_EXECUTE_COMPLETE", self, tail=tail)

    # -- parking

    async def park(self, until: Callable[[], bool] | None = None) -> None:
        """CHANNEL_PARK ... CHANNEL_UNPARK. A ``park_timeout`` counts on and unsets ``park_after_bridge``."""
        timeout = self.var("park_timeout")
        cause = "NORMAL_CLEARING"
        expires: float | None = None
        if timeout:
            number, _, named = timeout.partition(":")
            cause = named or cause
            expires = float(number) if number.isdigit() else None
            self.variables.pop("park_timeout", None)
            self.variables.pop("park_after_bridge", None)
        self.parked = True
        self.switch.fire("CHANNEL_PARK", self)
        if await self.wait(expires, until=until) == "time":
            self.end(cause, by="switch")
        self.parked = False
        if not self.down:
            await self.pause(TICK_S)
        self.switch.fire("CHANNEL_UNPARK", self)

    async def park_state(self) -> None:
        """CS_PARK, which is where ``uuid_park`` and ``park_after_bridge`` lead."""
        self.set_state("CS_PARK")
        await self.park()

    # -- the table behind "show channels"

    def insert_row(self) -> None:
        """The row of ``show channels`` is written when the leg is created ..."""
        self.switch.rows[self.uuid] = table.row(self, self.switch.name)

    def update_row(self, app: str, data: str) -> None:
        """... and shows changed variables only from the next CHANNEL_EXECUTE on (measured)."""
        if (row := self.switch.rows.get(self.uuid)) is not None:
            row.update(table.executed(self, app, data))

    # -- the end

    async def _finish(self) -> None:
        fire = self.switch.fire
        self.messages.clear()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self.partner = None
        self.variables.pop("bridge_to", None)
        for connection in self._sockets():
            connection.session_hung_up()
        self.set_state("CS_HANGUP")
        self.switch.on_leg_ending(self)
        self.set_call_state("HANGUP")
        if self.twin is not None:
            self.twin.end(self.hangup_cause, by="switch")
        self.set_state("CS_REPORTING")
        self.variables.update(hangup_variables(self))
        fire("CHANNEL_HANGUP_COMPLETE", self, head={"Hangup-Cause": self.hangup_cause})
        self.switch.write_cdr(self)
        self.switch.observer.leg_ended(self)
        if self.party is not None:
            self.party.on_ended(self)
        for connection in self._sockets():
            await connection.session_ended()
        if self.bridge_over is not None:
            await self.bridge_over.wait()
        if "last_bridge_to" in self.variables:
            self.variables["call_uuid"] = self.uuid
        self.state = "CS_DESTROY"
        fire("CHANNEL_DESTROY", self)
        self.running = "CS_DESTROY"
        fire("CHANNEL_STATE", self, variables=False)
        self.gone = True
        self.switch.drop_channel(self)
