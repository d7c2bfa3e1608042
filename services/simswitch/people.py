"""Callers and agents: they carry out what the scenario decides, and see only what a person with a telephone would.

An agent's phone has two lines: when an offer rings while the agent still listens to the answer to a feature code, that
call is put down. A phone in a conversation answers a further offer with 486.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from random import Random
from typing import Any, Final

import structlog

from services.common.errors import Refused
from services.simswitch.channel import Channel
from services.simswitch.core import scenario as sc
from services.simswitch.core.faults import Fault
from services.simswitch.hold import phone_holds, phone_resumes
from services.simswitch.originate import ringing
from services.simswitch.party import Party
from services.simswitch.switch import Switch
from services.simswitch.transfers import refer

log = structlog.get_logger()

_CODE_CALL_S: Final = 8.0
_PUT_DOWN_S: Final = 2.0
_NOTICE_S: Final = 1.0
_AWAY_S: Final = 20.0
_REFER_S: Final = 0.1
_REGISTER_S: Final = 1.0
_STAGGER_S: Final = 0.05
_CATCH_UP_S: Final = 0.5
_CODES_CONTEXT: Final = "agents"
_CALLS_CONTEXT: Final = "public"


class _Timers:
    """Timers of one person; all end together."""

    def __init__(self, time_scale: float) -> None:
        self._scale = time_scale
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._last = 0

    def after(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle | None:
        """Do ``act`` after so many seconds of this person's time; never, when they are infinite."""
        if math.isinf(seconds):
            return None
        self._last += 1
        timer = asyncio.get_running_loop().call_later(seconds / self._scale, self._run, self._last, act)
        self._timers[self._last] = timer
        return timer

    def _run(self, number: int, act: Callable[[], None]) -> None:
        # Not a function that knows its own timer: the two would hold each other, and what they act on, until the collector comes.
        del self._timers[number]
        act()

    def cancel(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


class Caller(Party):
    """Somebody who calls an entry point."""

    def __init__(self, people: People, plan: sc.CallerPlan, acts: Sequence[sc.MenuAct] | None = None) -> None:
        self.plan = plan
        self._line: Channel | None = None
        """The leg on which the caller waits: another one after a move to another node."""
        self.others: list[Switch] = []
        """Nodes that the carrier tries when this one refuses."""
        self._people = people
        self._acts = None if acts is None else deque(acts)
        self._menu = _Timers(people.time_scale)
        self._patience = _Timers(people.time_scale)
        self._talk = _Timers(people.time_scale)

    def on_app(self, leg: Channel, app: str, data: str) -> None:
        if self._people.asks(app, data):
            self._menu.cancel()
            act = self._act()
            if act is not None:
                self._menu.after(act.after_s, lambda: self._do(leg, act))
        elif app == "event" and "peyvand::waiting" in data and self._line is None:
            self._menu.cancel()
            self._line = leg
            self._patience.after(self.plan.patience_s, lambda: self._put_down(self._line or leg))

    def on_bridged(self, leg: Channel, other: Channel) -> None:
        self._patience.cancel()
        self._menu.cancel()
        if self.plan.ends_call:
            self._talk.after(self.plan.talk_s, lambda: self._put_down(leg))

    def on_unbridged(self, leg: Channel) -> None:
        self._talk.cancel()
        if not leg.down:
            self._talk.after(_PUT_DOWN_S * self._people.time_scale, lambda: self._put_down(leg))

    def on_ended(self, leg: Channel) -> None:
        for timers in (self._menu, self._patience, self._talk):
            timers.cancel()
        if self._line is leg:
            self._line = None  # or leg and caller hold each other until the collector comes
        if self.others and not leg.answered and leg.ended_by == "dialplan":
            with contextlib.suppress(Refused):
                self._people.place(self, self.others)

    def on_refer(self, leg: Channel, uri: str) -> int:
        """The carrier follows: it calls there, and then lets this line go. The caller notices nothing of it."""
        user, _, address = uri.removeprefix("sip:").partition("@")
        node = leg.switch.carrier.get(address)
        if node is None:
            return 404
        asyncio.get_running_loop().call_later(_REFER_S, self._follow, leg, user, node)
        return 202

    def on_taken_over(self, leg: Channel) -> bool:
        return not leg.down

    def on_moved(self, former: Channel, leg: Channel) -> None:
        """The caller notices nothing of it."""
        self._line = leg

    def _follow(self, leg: Channel, user: str, node: Switch) -> None:
        if leg.down:
            return
        with contextlib.suppress(Refused):
            self._line = node.place_call(
                context=_CALLS_CONTEXT,
                destination=user,
                caller_number=leg.profile.cid_number,
                caller_name=leg.profile.cid_name,
                party=self,
            )
            leg.party = Party()  # The old line means nothing to the caller any more.
            node.observer.leg_moved(leg, self._line)
            asyncio.get_running_loop().call_later(_REFER_S, self._put_down, leg)

    def _act(self) -> sc.MenuAct | None:
        if self._acts is None:
            return sc.at_menu(self._people.scenario, self._people.chance)
        return self._acts.popleft() if self._acts else None

    def _do(self, leg: Channel, act: sc.MenuAct) -> None:
        if act.hangup:
            self._put_down(leg)
        for digit in act.digit:
            press(leg, digit)

    @staticmethod
    def _put_down(leg: Channel) -> None:
        leg.end("NORMAL_CLEARING", by="caller")


class Agent(Party):
    """Somebody with a registered phone. ``forced`` acts are used before the scenario is asked."""

    def __init__(self, people: People, extension: str, name: str) -> None:
        self.extension = extension
        self.switch = people.home_of(extension)
        """The node that the phone registers with."""
        self.forced: deque[sc.RingAct] = deque()
        self.on_break = False
        self._people = people
        self._name = name
        self._leg: Channel | None = None
        self._code_leg: Channel | None = None
        self._talked = False
        self._missed = False
        self._ring = _Timers(people.time_scale)
        self._talk = _Timers(people.time_scale)
        self._day = _Timers(people.time_scale)

    @property
    def busy(self) -> bool:
        """Whether the phone rings or is in a conversation."""
        return self._leg is not None and not self._leg.down

    def begin_day(self, after_s: float) -> None:
        """Register, log in, and take breaks from now on."""
        self.switch.register(self.extension, self)
        if self._people.scenario.login:
            self._day.after(
                after_s * self._people.time_scale, lambda: self.dial(self._people.scenario.login_code)
            )
            self._plan_break()

    def dial(self, code: str) -> None:
        """Dial a feature code, listen to the answer, put down."""
        if self.extension not in self.switch.registered:
            return
        try:
            self._code_leg = leg = self.switch.place_call(
                context=_CODES_CONTEXT,
                destination=code,
                caller_number=self.extension,
                caller_name=self._name,
                user_name=self.extension,
            )
        except Refused:
            return  # the phone shows 503
        asyncio.get_running_loop().call_later(_CODE_CALL_S, lambda: leg.end("NORMAL_CLEARING", by="agent"))

    # -- the phone

    def invite(self, leg: Channel) -> None:
        """The phone rings."""
        if self.busy:
            leg.end("USER_BUSY", by="agent")
            return
        if self._code_leg is not None:
            self._code_leg.end("NORMAL_CLEARING", by="agent")
        self._leg = leg
        self._talked = False
        leg.party = self
        ringing(leg)
        act = self.forced.popleft() if self.forced else sc.at_ring(self._people.scenario, self._people.chance)
        if act.outcome == "busy":
            leg.end("USER_BUSY", by="agent")
        elif act.outcome == "decline":
            self._ring.after(act.after_s, lambda: leg.end("CALL_REJECTED", by="agent"))
        elif act.outcome == "answer":
            self._ring.after(act.after_s, leg.mark_answered)
        else:
            self._missed = True

    def hold(self) -> None:
        """Press the phone's own hold key: a re-INVITE. Without a conversation nothing happens."""
        if self._leg is not None:
            phone_holds(self._leg)

    def resume(self) -> None:
        """Take the other side back."""
        if self._leg is not None:
            phone_resumes(self._leg)

    def send_on(self, number: str) -> bool:
        """Blind transfer by the phone's own key: REFER. False without a conversation."""
        leg = self._leg
        return leg is not None and leg.partner is not None and refer(leg, number)

    def on_bridged(self, leg: Channel, other: Channel) -> None:
        if not self._talked and (held := sc.at_talk(self._people.scenario, self._people.chance)) is not None:
            after_s, for_s = held
            self._talk.after(after_s, self.hold)
            self._talk.after(after_s + for_s, self.resume)
        self._talked = True
        plan = other.party.plan if isinstance(other.party, Caller) else None
        if plan is None or not plan.ends_call:
            talk_s = plan.talk_s if plan else self._people.scenario.agent.talk.draw(self._people.chance)
            self._talk.after(talk_s, lambda: leg.end("NORMAL_CLEARING", by="agent"))

    def on_unbridged(self, leg: Channel) -> None:
        self._talk.cancel()
        act = sc.after_call(self._people.scenario, self._people.chance)
        if act.how == "press" and not leg.down:
            self._talk.after(act.after_s, lambda: self._press(leg, act.digit))
            return
        if not leg.down:
            # nobody puts the handset down in the very moment the other side is gone
            self._talk.after(
                _NOTICE_S * self._people.time_scale, lambda: leg.end("NORMAL_CLEARING", by="agent")
            )
        if act.how != "nothing":
            code = self._people.scenario.disposition_code + act.digit
            self._day.after(act.after_s, lambda: self.dial(code))

    def on_ended(self, leg: Channel) -> None:
        if self._leg is not leg:  # the former call's leg may end when the next one rings already
            return
        self._ring.cancel()
        self._leg = None
        if self._missed:
            # Whoever missed a call is given a break by the center; a person comes back to the desk and ends it.
            self._missed = False
            self._day.after(_AWAY_S, lambda: self.dial(self._people.scenario.back_code))

    def _press(self, leg: Channel, digit: str) -> None:
        if leg.down:
            self.dial(self._people.scenario.disposition_code + digit)
            return
        press(leg, digit)
        self._talk.after(
            _PUT_DOWN_S * self._people.time_scale, lambda: leg.end("NORMAL_CLEARING", by="agent")
        )

    # -- breaks

    def _plan_break(self) -> None:
        self._day.after(sc.next_break_s(self._people.scenario, self._people.chance), self._break)

    def _break(self) -> None:
        if self._people.draining:
            return
        if self.busy:
            self._plan_break()
            return
        self.on_break = True
        self.dial(self._people.scenario.break_code)
        self._day.after(self._people.scenario.agent.break_for.draw(self._people.chance), self._back)

    def _back(self) -> None:
        self.on_break = False
        self.dial(self._people.scenario.back_code)
        self._plan_break()


class Outside(Party):
    """Anybody outside whom the switch calls through the carrier: answers after a while, talks, puts down."""

    def __init__(self, people: People) -> None:
        self._people = people

    def invite(self, leg: Channel) -> None:
        """The phone rings."""
        leg.party = self
        ringing(leg)
        _Timers(self._people.time_scale).after(
            self._people.scenario.agent.rings.draw(self._people.chance), leg.mark_answered
        )

    def on_bridged(self, leg: Channel, other: Channel) -> None:
        talk_s = self._people.scenario.agent.talk.draw(self._people.chance)
        _Timers(self._people.time_scale).after(talk_s, lambda: leg.end("NORMAL_CLEARING", by="caller"))


class People:
    """Everybody, and the stream of new callers."""

    def __init__(
        self,
        switch: Switch,
        scenario: sc.Scenario,
        chance: Random,
        entries: dict[str, float],
        agents: dict[str, str],
        asking: frozenset[str] = frozenset(),
        more: Sequence[Switch] = (),
    ) -> None:
        """``entries`` are called numbers with weights, ``agents`` extensions with names, ``asking`` the names of the
        prompts at which a caller is expected to press a key, ``more`` nodes beside ``switch``: the carrier calls them in
        turn, and the phones are shared out between them."""
        self.switch = switch
        self.nodes = [switch, *more]
        self._homes = {extension: self.nodes[i % len(self.nodes)] for i, extension in enumerate(agents)}
        self.scenario = scenario
        self.chance = chance
        self.entries = entries
        self.asking = asking
        self.started = False
        self.agents = {extension: Agent(self, extension, name) for extension, name in agents.items()}
        self.draining = False
        self._stopped = asyncio.Event()
        self.placed = 0
        self.most_late_s = 0.0
        """How long after its time a call was placed at most."""
        for node in self.nodes:
            node.phones.update(self.agents)
            node.phones["gateway"] = Outside(self)

    @property
    def time_scale(self) -> float:
        return self.scenario.time_scale

    def asks(self, app: str, data: str) -> bool:
        """Whether a caller who hears this is expected to press a key."""
        return app == "play_and_get_digits" or (app == "playback" and PurePosixPath(data).stem in self.asking)

    def begin_day(self) -> None:
        """Every agent registers and logs in, one after the other within a few seconds."""
        for i, agent in enumerate(self.agents.values()):
            agent.begin_day(1.0 + 0.15 * i)

    async def arrivals(self, duration_s: float) -> None:
        """Place calls until ``duration_s`` (0: for ever) have passed or `stop` was called, then let them drain.

        Callers keep to their own times: what the machine is late for one does not put off the next, unless it is late by
        more than they would wait for a dialling tone.
        """
        self.started = True
        loop = asyncio.get_running_loop()
        due = loop.time()
        ends = due + duration_s if duration_s > 0 else math.inf
        while not self.draining:
            due = max(due + sc.next_arrival_s(self.scenario, self.chance), loop.time() - _CATCH_UP_S)
            if due >= ends:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(ends if ends < math.inf else None):
                        await self._stopped.wait()
                break
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.most_late_s = max(self.most_late_s, loop.time() - due)
            if not self.draining:
                # A caller whom a full switch answers 503 is in the ledger as refused, and does not try again.
                with contextlib.suppress(Refused):
                    self.call(sc.new_caller(self.scenario, self.entries, self.chance))
        self.stop()
        log.info("arrivals_ended", calls=self.placed, most_late_ms=round(self.most_late_s * 1000))

    def stop(self) -> None:
        """No new calls, no new breaks; what goes on goes on to its end."""
        self.draining = True
        self._stopped.set()

    def call(self, plan: sc.CallerPlan, acts: Sequence[sc.MenuAct] | None = None) -> Channel:
        """Place one call now. Raises Refused when the switch is full, paused or down."""
        first = self.placed % len(self.nodes)
        leg = self.place(Caller(self, plan, acts), [*self.nodes[first:], *self.nodes[:first]])
        self.placed += 1
        return leg

    def place(self, caller: Caller, nodes: Sequence[Switch]) -> Channel:
        """Send a call to the first of the nodes that takes it. Raises Refused when none does."""
        *rest, last = nodes
        for i, node in enumerate(rest):
            caller.others = list(nodes[i + 1 :])
            with contextlib.suppress(Refused):
                return self._place(caller, node)
        caller.others = []
        return self._place(caller, last)

    @staticmethod
    def _place(caller: Caller, node: Switch) -> Channel:
        return node.place_call(
            context=_CALLS_CONTEXT,
            destination=caller.plan.entry,
            caller_number=caller.plan.number,
            caller_name=caller.plan.name,
            party=caller,
        )

    def home_of(self, extension: str) -> Switch:
        """The node that a phone registers with at first."""
        return self._homes.get(extension, self.switch)

    def node(self, name: str) -> Switch:
        """The node of this name; the first when it is empty. Raises Refused."""
        for node in self.nodes:
            if name in ("", node.name):
                return node
        raise Refused("unknown-node", f"no node {name!r}; there are {', '.join(n.name for n in self.nodes)}")

    def find(self, leg: str) -> Channel | None:
        """A leg on any of the nodes."""
        return next((found for node in self.nodes if (found := node.find(leg)) is not None), None)

    def after_crash(self, dead: Switch) -> None:
        """A node is gone. Its phones notice within seconds and register with the next one that is there; they stay there."""
        alive = [node for node in self.nodes if not node.down]
        for i, agent in enumerate(a for a in self.agents.values() if a.switch is dead and alive):
            agent.switch = alive[i % len(alive)]
            asyncio.get_running_loop().call_later(
                _REGISTER_S + i * _STAGGER_S, agent.switch.register, agent.extension, agent
            )

    def after_restart(self, node: Switch, fault: Fault) -> None:
        """The node is there again. Phones whose registration it lost notice within seconds and register anew."""
        if fault.registrations == "lost":
            for i, agent in enumerate(a for a in self.agents.values() if a.switch is node):
                asyncio.get_running_loop().call_later(
                    _REGISTER_S + i * _STAGGER_S, node.register, agent.extension, agent
                )

    def state(self) -> list[dict[str, Any]]:
        """The agents' phones."""
        return [
            {
                "extension": a.extension,
                "node": a.switch.name,
                "registered": a.extension in a.switch.registered,
                "busy": a.busy,
                "on_break": a.on_break,
            }
            for a in self.agents.values()
        ]


def press(leg: Channel, digit: str) -> None:
    """A person presses a key."""
    if not leg.down:
        leg.switch.observer.digit(leg, digit)
        leg.press(digit)
