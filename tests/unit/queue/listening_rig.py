"""The miniature FreeSWITCH with supervisors' legs: eavesdrop on one leg, then silently on the caller's, then the end."""

from __future__ import annotations

import msgspec

from services.queue.core import inputs, legs, outputs
from services.queue.core import supervision_messages as sm
from services.queue.core.listening import SupervisionAnswered, SupervisorLeg
from tests.unit.queue import rig as base


class Rig(base.Rig):
    """``hears`` says to whom a supervisor's leg listens; ``heard_by`` who hears the supervisor."""

    def __init__(self, plans: base.plan.Plans = base.PLANS) -> None:
        self.then: dict[str, list[str]] = {}
        self.hears: dict[str, str] = {}
        self.answers: list[SupervisionAnswered] = []
        super().__init__()
        self.plans = plans
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=plans))

    def supervise(
        self,
        mode: str = "listen",
        *,
        contact: str = "c1",
        who: str = "mina",
        request: str = "",
        dialled: str = "",
        everybody: bool = False,
    ) -> str:
        """A wish; returns the supervisor's leg."""
        leg = dialled or f"sup-{who}"
        if dialled and dialled not in self.legs:
            self.legs[dialled] = base.Leg(dialled, caller=False, mode="parked", answered=True, vars={})
        self.feed(
            sm.SuperviseWished(
                at_us=self.now_us, request=request or f"r{len(self.answers)}", tenant="demo", contact=contact, mode=mode,
                supervisor=who, everybody=everybody, extension="" if dialled else "1003", leg=leg,
            )
        )  # fmt: skip
        self.deliver()
        return leg

    def pick_up(self, leg: str) -> None:
        self.ring(leg)
        self.answer(leg)
        self.deliver()

    def key(self, leg: str, mode: str) -> None:
        self.feed(sm.ModeKeyed(at_us=self.now_us, leg=leg, mode=mode))
        self.deliver()

    def heard_by(self, leg: str) -> set[str]:
        """Legs that hear the supervisor: ``bleg`` is the one listened to, ``aleg`` its partner, while the eavesdrop runs."""
        at = self.hears.get(leg, "")
        v = self.legs[leg].vars
        found = {at} if v.get("eavesdrop_whisper_bleg") == "true" else set()
        if v.get("eavesdrop_whisper_aleg") == "true" and at in self.legs:
            found.add(self.legs[at].partner)
        return found

    def create(self, uuid: str) -> None:
        order = self.originates.get(uuid)
        if not isinstance(order, sm.CallSupervisor):
            super().create(uuid)
        elif uuid in self.jobs and uuid not in self.legs:
            self.legs[uuid] = base.Leg(
                uuid, caller=False, mode="ringing",
                vars={
                    "cc_role": "supervisor", "cc_tenant": order.tenant, "cc_contact": order.contact,
                    "cc_supervisor": order.agent, "cc_mode": order.mode, "cc_first_mode": order.mode,
                },
            )  # fmt: skip
            self.events.append(inputs.LegCreated(at_us=self.now_us, leg=uuid))

    def hang_up(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        self.hears.pop(uuid, None)
        known = uuid in self.legs
        super().hang_up(uuid, cause)
        for leg in [s for s, at in self.hears.items() if known and at == uuid]:
            self._next(leg)

    def _next(self, leg: str) -> None:
        """The eavesdrop has ended: the next step of what the leg was sent with."""
        rest = [target for target in self.then.get(leg, []) if target in self.legs]
        if not rest:
            self.hang_up(leg)
            return
        self.then[leg] = rest[1:]
        self.legs[leg].vars |= {
            "eavesdrop_whisper_aleg": "false",
            "eavesdrop_whisper_bleg": "false",
            "cc_mode": "listen",
        }
        self._hear(leg, rest[0])

    def _hear(self, leg: str, target: str) -> None:
        self.hears[leg] = target
        self.events.append(sm.LegOverheard(at_us=self.now_us, leg=target))

    def _do(self, output: outputs.Output) -> None:
        if isinstance(output, SupervisionAnswered):
            self.answers.append(output)
        super()._do(output)

    def _command(self, command: outputs.Command) -> None:
        if not isinstance(command, sm.Listen):
            super()._command(command)
        elif command.leg not in self.legs:
            self._refuse(command)
        else:
            self.legs[command.leg].mode = "listening"
            self.then[command.leg] = [command.then] if command.then else []
            if command.target in self.legs:
                self._hear(command.leg, command.target)
            else:
                self._next(command.leg)

    def _list(self) -> None:
        ears = {u: leg for u, leg in self.legs.items() if leg.vars.get("cc_role") == "supervisor"}
        self.legs = {u: leg for u, leg in self.legs.items() if u not in ears}
        super()._list()
        self.legs |= ears
        listed = self.replies.pop()
        assert isinstance(listed, inputs.ChannelsListed)
        self.replies.append(
            msgspec.structs.replace(
                listed,
                present=frozenset(self.legs),
                callers=tuple(
                    msgspec.structs.replace(c, supervisions=self._names(c.leg)) for c in listed.callers
                ),
                supervisors=tuple(
                    self._supervisor(leg) for u, leg in ears.items() if not self.engine.knows(u)
                ),
            )
        )

    def _names(self, caller: str) -> tuple[str, ...]:
        return tuple(n for n in self.legs[caller].vars.get("cc_supervisions", "").split(":") if n.strip("-"))

    def _supervisor(self, leg: base.Leg) -> SupervisorLeg:
        v = leg.vars
        return SupervisorLeg(
            leg=leg.uuid, tenant=v["cc_tenant"], contact=v["cc_contact"], supervisor=v["cc_supervisor"],
            agent=v.get("cc_heard_agent", "").strip("-"), mode=v["cc_mode"], first_mode=v["cc_first_mode"],
            answered=leg.answered, seq=int(v.get("cc_seq", 0)), joined=int(v.get("cc_joined", 0)),
            target=v.get("cc_target", ""), started_ms=int(v.get("cc_listens_ms", 0)),
        )  # fmt: skip

    def take_over(self, open_contacts: tuple[legs.OpenContact, ...] = ()) -> None:
        super().take_over(open_contacts)
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.plans))
        self.deliver()
