"""FreeSWITCH in miniature: the legs of one node, and what an engine that commands them is told. Races included.

It does what the real one was seen to do. Events and replies travel on two sockets and lie here until somebody delivers them: a test in the
order that it chooses (``rig``), a simulation after some milliseconds (``tests/sim``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from services.center.outside import leg_variables
from services.queue.core import inputs, legs, outputs
from services.queue.core.engine import Engine


@dataclass
class Leg:
    """A channel. ``mode`` is what its other side hears or feels."""

    uuid: str
    caller: bool
    # socket (ivr lets it go), music, whispering, bridging, bridged, parked, farewell, out, ringing, stuck
    mode: str = "music"
    answered: bool = False
    partner: str = ""
    met: str = ""  # Who it was bridged with last, and when.
    met_us: int = 0
    vars: dict[str, str] = field(default_factory=dict)
    playing: str = ""


@dataclass
class Job:
    offer: str
    leg: str


class MiniSwitch:
    """Legs, originates and bridges of one node. A subclass owns the time and the engine, and feeds it."""

    engine: Engine
    now_us: int

    def __init__(self) -> None:
        self.legs: dict[str, Leg] = {}
        self.jobs: dict[str, Job] = {}  # By leg: originates without a result yet.
        self.originates: dict[str, outputs.Originate | outputs.CallCustomer] = {}
        self.dialled: list[outputs.Originate] = []
        self.events: deque[inputs.Input] = deque()
        self.replies: deque[inputs.Input] = deque()
        self.bridges: list[tuple[str, str]] = []
        self.left_by_engine: set[str] = set()  # Callers the engine itself sent away.
        self._open: tuple[legs.OpenContact, ...] = ()

    # --- what people and phones do ---

    def go_on(self, uuid: str = "c1") -> None:
        """The dialplan has the leg: ``cc_state``, the event, the music."""
        leg = self.legs.get(uuid)
        if leg is not None and leg.mode == "socket":
            leg.mode = "music"
            leg.vars["cc_state"] = "waiting"
            self.events.append(inputs.LegParked(at_us=self.now_us, caller=self._caller(leg)))

    def _all_go_on(self) -> None:
        for uuid in list(self.legs):
            self.go_on(uuid)

    def create(self, uuid: str) -> None:
        """FreeSWITCH makes the channel of an originate."""
        if uuid in self.jobs and uuid not in self.legs:
            order = self.originates[uuid]
            if isinstance(order, outputs.CallCustomer):
                self.legs[uuid] = Leg(uuid, caller=True, mode="ringing", vars=dict(order.variables))
                self.events.append(inputs.LegCreated(at_us=self.now_us, leg=uuid))
                return
            self.legs[uuid] = Leg(
                uuid, caller=False, mode="ringing",
                vars={"cc_callback": order.callback, "cc_tenant": order.tenant, "cc_contact": order.contact, "cc_offer": order.offer, "cc_agent": order.agent, "cc_kind": order.kind, "cc_phone_node": order.phone_node},
            )  # fmt: skip
            if order.way is not None:
                self.legs[uuid].vars |= leg_variables(order.way, order.tenant, order.contact)
            if order.confirm:
                self.legs[uuid].vars["cc_confirm"] = "1"
            self.events.append(inputs.LegCreated(at_us=self.now_us, leg=uuid))

    def ring(self, uuid: str) -> None:
        self.create(uuid)
        if uuid in self.legs:
            self.events.append(inputs.LegRinging(at_us=self.now_us, leg=uuid))

    def answer(self, uuid: str) -> None:
        """The agent picks up."""
        self.create(uuid)
        leg = self.legs.get(uuid)
        if leg is not None and not leg.answered:
            leg.answered, leg.mode = True, "parked"
            customer = self._caller(leg) if leg.vars.get("cc_state") == "callback" else None
            self.events.append(inputs.LegAnswered(at_us=self.now_us, leg=uuid, customer=customer))
            self._job(uuid, "+OK " + uuid)

    def fail(self, uuid: str, cause: str) -> None:
        """The originate ends without an answer."""
        if uuid in self.legs and not self.legs[uuid].answered:
            self.hang_up(uuid, cause)
        elif uuid not in self.legs:
            self._job(uuid, f"-ERR {cause}")

    def hang_up(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        """A leg ends, and its partner goes where FreeSWITCH sends it."""
        leg = self.legs.pop(uuid, None)
        if leg is None:
            return
        if leg.mode == "room":
            room = uuid if leg.caller else leg.vars["cc_contact"]
            self.events.append(inputs.RoomChanged(at_us=self.now_us, leg=uuid, room=room, joined=False))
        self.events.append(inputs.LegHungUp(at_us=self.now_us, leg=uuid, cause=cause))
        self._job(uuid, f"-ERR {cause}")
        partner = self.legs.get(leg.partner)
        if leg.mode == "bridged" and partner is not None:
            self._unbridge(partner, uuid)

    def said(self, uuid: str, *, heard: bool = True) -> None:
        """What is played to a leg has ended, or was not there."""
        leg = self.legs.get(uuid)
        if leg is None:
            return
        if leg.mode == "whispering":
            leg.mode = "parked"
            self.events.append(inputs.WhisperEnded(at_us=self.now_us, leg=uuid, heard=heard))
        elif leg.playing:
            file, leg.playing = leg.playing, ""
            self.events.append(inputs.AnnouncementEnded(at_us=self.now_us, leg=uuid, file=file))

    def complete_bridges(self) -> None:
        """uuid_bridge takes its ~45 ms; who is left alone in it is stuck, silently."""
        bridges, self.bridges = self.bridges, []
        for agent, caller in bridges:
            a, c = self.legs.get(agent), self.legs.get(caller)
            if a is not None and c is not None and a.mode == c.mode == "bridging":
                a.mode = c.mode = "bridged"
                a.partner, c.partner = caller, agent
                a.met, c.met = caller, agent
                a.met_us = c.met_us = self.now_us
                self.events.append(inputs.LegBridged(at_us=self.now_us, leg=agent, partner=caller))
            else:
                for leg in (a, c):
                    if leg is not None and leg.mode == "bridging":
                        leg.mode = "stuck"

    def agent_legs(self) -> list[Leg]:
        return [leg for leg in self.legs.values() if not leg.caller]

    # --- what the engine commands, and what follows ---

    def _job(self, uuid: str, text: str) -> None:
        job = self.jobs.pop(uuid, None)
        if job is not None and job.offer:
            self.replies.append(
                inputs.JobEnded(at_us=self.now_us, offer=job.offer, ok=text.startswith("+OK"), text=text)
            )

    def _unbridge(self, leg: Leg, gone: str) -> None:
        leg.partner = ""
        if leg.vars.get("park_after_bridge") == "true":
            leg.mode = "parked"
            self.events.append(inputs.LegUnbridged(at_us=self.now_us, leg=leg.uuid, partner=gone))
        else:
            leg.mode = "parked"
            self.hang_up(leg.uuid)

    def _met(self, leg: Leg, other: str) -> tuple[str, int]:
        """``other`` and how many ms ago they were bridged, when it is who the leg was bridged with last."""
        return (other, (self.now_us - leg.met_us) // 1000) if leg.met == other else ("", 0)

    def _caller(self, leg: Leg) -> legs.CallerLeg:
        v = leg.vars
        met, met_ago_ms = self._met(leg, f"leg-{v.get('cc_offer', '')}")
        return legs.CallerLeg(
            leg=leg.uuid, tenant=v.get("cc_tenant", ""), queue=v.get("cc_queue", ""), entry_point=v.get("cc_entry", ""),
            waiting_ms=int(v.get("cc_waiting_ms") or 0), bridged_ms=int(v.get("cc_bridged_ms") or 0),
            state=v.get("cc_state", ""), offer=v.get("cc_offer", ""), agent=v.get("cc_agent", ""),
            bridged=leg.mode == "bridged", partner=leg.partner,
            step=v.get("cc_step", ""), second=v.get("cc_second", ""), held_ms=int(v.get("cc_held_ms") or 0),
            silent=leg.mode == "parked", ani=v.get("cc_number", v.get("ani", "")),
            language=v.get("cc_language", ""), callback=v.get("cc_callback", ""), kind=v.get("cc_kind", ""), answered=leg.answered,
            wish=v.get("cc_wish", ""), met=met, met_ago_ms=met_ago_ms, survey=v.get("cc_survey", ""),
            priority=int(v.get("cc_priority") or 0), skills=tuple(v.get("cc_skills", "").split()),
            service_class=v.get("cc_class", ""), preferred_agent=v.get("cc_preferred_agent", ""), no_answer=v.get("cc_no_answer", ""),
        )  # fmt: skip

    def _agent(self, leg: Leg) -> legs.AgentLeg:
        v = leg.vars
        met, met_ago_ms = self._met(leg, v["cc_contact"])
        return legs.AgentLeg(
            leg=leg.uuid, tenant=v["cc_tenant"], contact=v["cc_contact"], offer=v["cc_offer"], agent=v["cc_agent"],
            answered=leg.answered, bridged_ms=int(v.get("cc_bridged_ms") or 0), bridged=leg.mode == "bridged",
            partner=leg.partner, kind=v.get("cc_kind", ""), callback=v.get("cc_callback", ""),
            elsewhere=bool(v.get("cc_phone_node")), codes=v.get("cc_codes", ""),
            unconfirmed=bool(v.get("cc_confirm")) and not v.get("cc_confirmed"), met=bool(met), met_ago_ms=met_ago_ms,
        )  # fmt: skip

    def _list(self) -> None:
        unknown = [leg for leg in self.legs.values() if not self.engine.knows(leg.uuid)]
        self.replies.append(
            inputs.ChannelsListed(
                at_us=self.now_us,
                present=frozenset(self.legs),
                callers=tuple(self._caller(leg) for leg in unknown if leg.caller),
                agents=tuple(self._agent(leg) for leg in unknown if not leg.caller),
                open_contacts=self._open,
            )
        )
        self._open = ()

    def _still_originating(self, offer: str) -> bool:
        """Whether nobody was told yet that the originate is over: its last act is still to come."""
        return any(isinstance(r, inputs.JobEnded) and r.offer == offer for r in self.replies)

    def _refuse(self, command: outputs.Command, text: str = "-ERR No such channel!") -> None:
        self.replies.append(inputs.CommandFailed(at_us=self.now_us, command=command, text=text))

    def _command(self, command: outputs.Command) -> None:
        leg = self.legs.get(command.leg)
        touched = self.legs.get(command.caller_leg) if isinstance(command, outputs.Bridge) else leg
        if (
            touched is not None
            and touched.mode == "socket"
            and not isinstance(command, outputs.Kill | outputs.Probe)
        ):
            # Between ivr and the dialplan: a transfer leaves the leg silent, cc_state is written over.
            harmless = isinstance(command, outputs.SetVars) and "cc_state" not in dict(command.values)
            assert harmless, f"{command} to a leg that ivr lets go"
        match command:
            case outputs.CallCustomer() | outputs.Originate():
                if isinstance(command, outputs.Originate):
                    self.dialled.append(command)
                if command.leg in self.legs or command.leg in self.jobs:
                    self.replies.append(
                        inputs.JobEnded(at_us=self.now_us, offer=command.offer, ok=False, text="-ERR DESTINATION_OUT_OF_ORDER")
                    )  # fmt: skip
                else:
                    self.originates[command.leg] = command
                    self.jobs[command.leg] = Job(command.offer, command.leg)
            case outputs.Probe():
                self.replies.append(
                    inputs.LegProbed(
                        at_us=self.now_us,
                        leg=command.leg,
                        alive=leg is not None,
                        answered=bool(leg and leg.answered),
                    )
                )
            case outputs.Bridge():
                caller = self.legs.get(command.caller_leg)
                if leg is None or caller is None:
                    self._refuse(command, "-ERR Invalid uuid")
                elif self._still_originating(command.offer):
                    # Originate's last act hits the bridge.
                    self.hang_up(caller.uuid, "DESTINATION_OUT_OF_ORDER")
                else:
                    self._apart(leg)
                    self._apart(caller)
                    leg.mode = caller.mode = "bridging"
                    self.bridges.append((leg.uuid, caller.uuid))
            case _ if leg is None:
                self._refuse(command)
            case outputs.Kill():
                if leg.caller:
                    self.left_by_engine.add(leg.uuid)
                self.hang_up(leg.uuid, command.cause)
            case outputs.SetVars():
                leg.vars.update(command.values)
            case outputs.PlayMusic():
                self._apart(leg)
                leg.mode, leg.playing = "music", ""
            case outputs.Whisper():
                self._apart(leg)
                leg.mode = "whispering"
            case outputs.RingBack() | outputs.Park():
                self._apart(leg)
                leg.mode = "parked"
            case outputs.JoinRoom():
                partner = self.legs.get(leg.partner) if command.both and leg.mode == "bridged" else None
                self._apart(leg)
                for each in filter(None, (leg, partner)):
                    each.mode = "room"
                    self.events.append(
                        inputs.RoomChanged(at_us=self.now_us, leg=each.uuid, room=command.room, joined=True)
                    )
            case outputs.Farewell():
                self._apart(leg)
                leg.mode = "farewell"
                if leg.caller:
                    self.left_by_engine.add(leg.uuid)
                if not command.file:
                    self.hang_up(leg.uuid)
            case outputs.RunSurvey():
                self._apart(leg)
                leg.mode = "survey"
                self.left_by_engine.add(leg.uuid)
            case outputs.LeaveMessage():
                self._apart(leg)
                leg.mode = "message"
                self.left_by_engine.add(leg.uuid)
            case outputs.TransferOut():
                self._apart(leg)
                leg.mode = "out"
                leg.vars["cc_state"] = "transferred"  # The first act of the plan itself.
                self.left_by_engine.add(leg.uuid)
            case outputs.StartAnnouncement():
                leg.playing = command.file
            case outputs.StopAnnouncement():
                leg.playing = ""

    def _apart(self, leg: Leg) -> None:
        partner = self.legs.get(leg.partner)
        if leg.mode == "bridged" and partner is not None:
            leg.partner = ""
            leg.mode = "parked"
            self._unbridge(partner, leg.uuid)
