"""A FreeSWITCH in miniature around one queue engine: it does what the real one was seen to do, races included, in simulated time.

Events and replies travel on two sockets, so their order among each other is the test's to choose; ``settle`` delivers everything
and lets time pass until nothing is left to happen.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

from services.center.outside import leg_variables
from services.queue.core import facts, inputs, legs, outputs, plan
from services.queue.core.engine import Engine

START_US = 1_763_700_000_000_000
REPEATING = ("audit", "say")

SCHEDULE = {
    "position": plan.Slot(first_ms=30_000, every_ms=30_000),
    "message.0": plan.Slot(first_ms=31_000, every_ms=40_000, prompts=("outage",)),
}
QUEUES = {
    "sales": plan.QueuePlan(
        name="sales",
        welcome="queue-welcome",
        schedule=SCHEDULE,
        keys=frozenset("9"),
        wrap_up_ms=20_000,
        recording=True,
    ),
    "support": plan.QueuePlan(name="support", music="local_stream://jazz", wrap_up_ms=0),
    "everybody": plan.QueuePlan(name="everybody", parallel=True),
    "listed": plan.QueuePlan(name="listed", wrap_up_ms=20_000, dispositions=frozenset("2")),
    "asked": plan.QueuePlan(
        name="asked", recording=True, survey=plan.SurveyPlan(flow="after-call", least_talk_ms=5_000)
    ),
    "seldom": plan.QueuePlan(name="seldom", survey=plan.SurveyPlan(flow="after-call", share=20)),
    "told": plan.QueuePlan(
        name="told",
        before_bridge=plan.BeforeBridge(
            name="name-told", wait=True, why=True, caller="may-record", most_ms=10_000
        ),
    ),
}
PROMPTS = (
    "queue-welcome",
    "goodbye",
    "sorry",
    "outage",
    "disposition",
    "caller-left",
    "name-told",
    "may-record",
    "whisper-callback",
    "whisper-transfer",
)
CENTER = plan.CenterPlan(
    tenant="demo",
    revision="r1",
    languages=("fa", "en"),
    queues=QUEUES,
    fallback_queue={"1000": "support", "": "support"},
    prompts={(name, lang): f"/s/{lang}/{name}.wav" for name in PROMPTS for lang in ("fa", "en")},
    dispositions=frozenset("12"),
    outage_prompt="outage",
    flows=frozenset({"after-call", "other"}),
    agent_languages={"reza": "en"},
    waits={lang: {s: (f"/s/{lang}/waited-{s}.wav",) for s in (10, 60, 120)} for lang in ("fa", "en")},
)
PLANS = plan.Plans(centers=(CENTER,))


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


class Rig:
    """The engine, the switch and time."""

    def __init__(self) -> None:
        self.now_us = START_US
        self.engine = Engine("fs1")
        self.legs: dict[str, Leg] = {}
        self.jobs: dict[str, Job] = {}  # By leg: originates without a result yet.
        self.originates: dict[str, outputs.Originate | outputs.CallCustomer] = {}
        self.dialled: list[outputs.Originate] = []
        self.events: deque[inputs.Input] = deque()
        self.replies: deque[inputs.Input] = deque()
        self.bridges: list[tuple[str, str]] = []
        self.timers: list[tuple[int, int, str]] = []
        self.timer_of: dict[str, int] = {}
        self._n = 0
        self.reports: list[outputs.Report] = []
        self.sent: list[outputs.Command] = []
        self.lines: list[outputs.Line] = []
        self.asked: list[outputs.AskPosition] = []
        self.answers: list[outputs.WishAnswered] = []
        self.positions = 0
        self.left_by_engine: set[str] = set()  # Callers the engine itself sent away.
        self.bus_up = True
        self.documents = PLANS
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=PLANS))
        self.feed(inputs.LinkUp(at_us=self.now_us))
        self.deliver()

    # --- driving ---

    def feed(self, event: inputs.Input) -> list[outputs.Output]:
        """Give the engine one input and carry out what it says."""
        emitted = self.engine.handle(event)
        for output in emitted:
            self._do(output)
        return emitted

    def deliver(self) -> None:
        """Deliver everything that is under way, events first."""
        while self.events or self.replies:
            self.feed_next(self.events if self.events else self.replies)

    def feed_next(self, queue: deque[inputs.Input]) -> None:
        self.feed(queue.popleft())

    def advance(self, ms: int) -> None:
        """Let time pass, with all bridges, events and timers on the way."""
        until = self.now_us + ms * 1000
        self._all_go_on()
        self.complete_bridges()
        self.deliver()
        while self.timers and self.timers[0][0] <= until:
            self.fire_next()
            self.complete_bridges()
            self.deliver()
        self.now_us = until

    def advance_unanswered(self, ms: int) -> None:
        """Let time pass on a switch that answers and reports nothing meanwhile."""
        until = self.now_us + ms * 1000
        while self.timers and self.timers[0][0] <= until:
            self.fire_next()
        self.now_us = until

    def fire_next(self) -> str:
        """Fire the next timer; time goes on to it."""
        self._all_go_on()  # No timer of ours is as short as that.
        at, n, key = heapq.heappop(self.timers)
        if self.timer_of.get(key) != n:
            return ""
        del self.timer_of[key]
        self.now_us = max(self.now_us, at)
        self.feed(inputs.TimerFired(at_us=self.now_us, key=key))
        return key

    def settle(self) -> None:
        """Let everything happen that will happen by itself; agents that ring give up."""
        for _ in range(400):
            self._all_go_on()
            self.complete_bridges()
            self.deliver()
            for leg in [x for x in self.legs.values() if x.mode in ("farewell", "message", "survey")]:
                self.hang_up(leg.uuid, "NORMAL_CLEARING")
            for uuid in list(self.jobs):
                self.fail(uuid, "NO_ANSWER")
            if self.events or self.replies or self.bridges:
                continue
            pending = [key for _, n, key in self.timers if self.timer_of.get(key) == n]
            if not [key for key in pending if not key.startswith(REPEATING)]:
                return
            self.fire_next()
        raise AssertionError(f"never at rest: {pending}")

    # --- what people and phones do ---

    def call(self, uuid: str = "c1", **variables: str) -> str:
        """A caller is parked."""
        values = {
            "cc_tenant": "demo",
            "cc_queue": "sales",
            "cc_state": "waiting",
            "cc_entry": "1000",
            **variables,
        }
        self.legs[uuid] = Leg(uuid, caller=True, answered=True, vars=values)
        self.feed(inputs.LegParked(at_us=self.now_us, caller=self._caller(self.legs[uuid])))
        self.deliver()
        return uuid

    def hand_over(self, uuid: str = "c1", **variables: str) -> str:
        """ivr lets a caller go, and says so; the dialplan has the leg when ``go_on`` is called, or time passes."""
        values = {"cc_tenant": "demo", "cc_queue": "sales", "cc_state": "handover", "cc_entry": "1000"}
        self.legs[uuid] = Leg(uuid, caller=True, answered=True, mode="socket", vars={**values, **variables})
        self.feed(inputs.LegHandedOver(at_us=self.now_us, caller=self._caller(self.legs[uuid])))
        self.deliver()
        return uuid

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

    def offer(
        self,
        contact: str = "c1",
        offer: str = "o1",
        agent: str = "sara",
        ring_ms: int = 15_000,
        at_once: int = 1,
        kind: str = "",
        agent_node: str = "",
        agent_number: str = "",
        confirm: bool = True,
    ) -> str:
        """Routing orders an agent to be rung; returns the leg."""
        self.feed(
            inputs.OfferMade(
                at_us=self.now_us, tenant="demo", offer_id=offer, contact_id=contact, agent_id=agent,
                extension="1001", queue="sales", leg=f"leg-{offer}", ring_ms=ring_ms,
                at_once=at_once, kind=kind, agent_node=agent_node, agent_number=agent_number,
                confirm=confirm and bool(agent_number),
            )
        )  # fmt: skip
        return f"leg-{offer}"

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
        self.deliver()

    def press(self, uuid: str, digit: str) -> None:
        self.events.append(inputs.DigitPressed(at_us=self.now_us, leg=uuid, digit=digit))
        self.deliver()

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

    def talk(self, contact: str = "c1", offer: str = "o1", agent: str = "sara", agent_node: str = "") -> str:
        """A whole offer up to the conversation; returns the agent's leg."""
        leg = self.offer(contact, offer, agent, agent_node=agent_node)
        self.ring(leg)
        self.answer(leg)
        self.deliver()
        self.complete_bridges()
        self.deliver()
        return leg

    def wish(
        self, verb: str, contact: str = "c1", agent: str = "sara", kind: str = "", target: str = ""
    ) -> None:
        """Somebody wishes something about a call."""
        self.n_wishes += 1
        self.feed(
            inputs.CallWished(
                at_us=self.now_us, request_id=f"w{self.n_wishes}", contact=contact, tenant="demo", verb=verb,
                agent=agent, target_kind=kind, target=target,
            )
        )  # fmt: skip
        self.deliver()

    def key(self, leg: str, what: str) -> None:
        """A feature code on an agent's phone."""
        self.events.append(inputs.FeaturePressed(at_us=self.now_us, leg=leg, what=what))
        self.deliver()

    def bridge(self) -> None:
        """Bridges that were ordered come about, and what follows."""
        self.deliver()
        self.complete_bridges()
        self.deliver()

    def consult(self, contact: str = "c1", offer: str = "o2", agent: str = "reza") -> str:
        """The colleague is reserved, rings, answers; returns the leg. The bridge with who asks is under way."""
        leg = self.offer(contact, offer, agent, kind="consult")
        self.deliver()
        self.ring(leg)
        self.answer(leg)
        self.deliver()
        return leg

    def answered(self) -> list[str]:
        """What the wishes came to: a slug each, empty when granted."""
        return [answer.slug for answer in self.answers]

    # --- a new owner ---

    def take_over(self, open_contacts: tuple[legs.OpenContact, ...] = ()) -> None:
        """The process dies; another one reads the switch. What was under way to the old one is lost."""
        self.dead, self.dies_after = False, None
        self.events.clear()
        self.replies.clear()
        self.timers.clear()
        self.timer_of.clear()
        self.jobs = {uuid: Job("", uuid) for uuid in self.jobs}  # The jobs run on; nobody hears of them.
        self.engine = Engine("fs1")
        self._open = open_contacts
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.documents))
        if not self.bus_up:
            self.feed(inputs.BusDown(at_us=self.now_us))
        self.feed(inputs.LinkUp(at_us=self.now_us))

    n_wishes = 0
    dies_after: int | None = None  # The process dies after so many commands: what follows is never sent.
    dead = False
    _open: tuple[legs.OpenContact, ...] = ()

    # --- asking ---

    def facts(self, kind: type[object] | None = None) -> list[facts.Observation]:
        return [r.fact for r in self.reports if kind is None or isinstance(r.fact, kind)]

    def state(self, contact: str = "c1") -> str:
        return next((call.state for call in self.engine.calls() if call.contact == contact), "")

    def commands(self, kind: type[outputs.Command]) -> list[outputs.Command]:
        return [c for c in self.sent if isinstance(c, kind)]

    def agent_legs(self) -> list[Leg]:
        return [leg for leg in self.legs.values() if not leg.caller]

    # --- the switch's side ---

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

    def _do(self, output: outputs.Output) -> None:
        if self.dead:
            return
        if (
            isinstance(output, outputs.Command)
            and self.dies_after is not None
            and len(self.sent) >= self.dies_after
        ):
            self.dead = True
            return
        match output:
            case outputs.Command():
                self.sent.append(output)
                self._command(output)
            case outputs.Report():
                self.reports.append(output)
            case outputs.SetTimer():
                self._n += 1
                self.timer_of[output.key] = self._n
                heapq.heappush(self.timers, (self.now_us + output.after_ms * 1000, self._n, output.key))
            case outputs.CancelTimer():
                self.timer_of.pop(output.key, None)
            case outputs.AskPosition():
                self.asked.append(output)
            case outputs.WishAnswered():
                self.answers.append(output)
            case outputs.ListChannels():
                self._list()
            case outputs.Line():
                self.lines.append(output)

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
                elif any(isinstance(r, inputs.JobEnded) and r.offer == command.offer for r in self.replies):
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
