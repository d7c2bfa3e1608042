"""One queue engine on a FreeSWITCH in miniature (``mini_switch``), in simulated time.

Events and replies travel on two sockets, so their order among each other is the test's to choose; ``settle`` delivers everything
and lets time pass until nothing is left to happen.
"""

from __future__ import annotations

import heapq
from collections import deque

from services.queue.core import facts, inputs, legs, outputs, plan
from services.queue.core.engine import Engine
from tests.unit.queue.mini_switch import Job, Leg, MiniSwitch

START_US = 1_763_700_000_000_000
REPEATING = ("audit", "say", "drain", "way-out")

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


class Rig(MiniSwitch):
    """The engine, the switch and time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = START_US
        self.engine = self._new_engine()
        self.timers: list[tuple[int, int, str]] = []
        self.timer_of: dict[str, int] = {}
        self._n = 0
        self.reports: list[outputs.Report] = []
        self.sent: list[outputs.Command] = []
        self.lines: list[outputs.Line] = []
        self.asked: list[outputs.AskPosition] = []
        self.answers: list[outputs.WishAnswered] = []
        self.positions = 0
        self.bus_up = True
        self.documents = PLANS
        self._begin()
        self.deliver()

    core_uuid = ""

    def _new_engine(self) -> Engine:
        return Engine("fs1")

    def _begin(self) -> None:
        """What a new owner of the node is told first."""
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.documents))
        if not self.bus_up:
            self.feed(inputs.BusDown(at_us=self.now_us))
        self._look_first()
        self.feed(inputs.LinkUp(at_us=self.now_us, core_uuid=self.core_uuid))

    def _look_first(self) -> None:
        """What the switch is asked before anything else."""

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

    def said(self, uuid: str, *, heard: bool = True) -> None:
        super().said(uuid, heard=heard)
        self.deliver()

    def press(self, uuid: str, digit: str) -> None:
        self.events.append(inputs.DigitPressed(at_us=self.now_us, leg=uuid, digit=digit))
        self.deliver()

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
        self.engine = self._new_engine()
        self._open = self.still_open = open_contacts
        self._begin()

    n_wishes = 0
    dies_after: int | None = None  # The process dies after so many commands: what follows is never sent.
    dead = False

    # --- asking ---

    def facts(self, kind: type[object] | None = None) -> list[facts.Observation]:
        return [r.fact for r in self.reports if kind is None or isinstance(r.fact, kind)]

    def state(self, contact: str = "c1") -> str:
        return next((call.state for call in self.engine.calls() if call.contact == contact), "")

    def commands(self, kind: type[outputs.Command]) -> list[outputs.Command]:
        return [c for c in self.sent if isinstance(c, kind)]

    # --- the switch's side ---

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
            case outputs.LookBack():
                self._open = self.still_open
                self._list()
            case outputs.ListChannels():
                self._list()
            case outputs.Line():
                self.lines.append(output)
