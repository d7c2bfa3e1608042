"""The rig on a node that is being emptied: the switch's global, what carriers make of a REFER, callers who come from another node."""

from __future__ import annotations

from msgspec.structs import replace

from services.queue.core import inputs, legs, outputs
from services.queue.core.engine import Engine
from tests.unit.queue.rig import Leg, Rig

REFERS = {"fs1": "10.0.0.1:5080", "fs2": "10.0.0.2:5080", "fs3": "10.0.0.3:5080"}


class Node(Rig):
    """A node that may be emptied; its switch's global and routing's knowledge outlive its owners."""

    core_uuid = "one"

    def __init__(self, **changes: object) -> None:
        """``changes`` are for the rig beside this one, where a test mixes the two."""
        self.cc_draining = ""
        self.refers: list[outputs.Refer] = []
        self.questions: list[outputs.AskContact] = []
        self.refer_status = 202
        super().__init__(**changes)
        self.sent.clear()

    def _new_engine(self) -> Engine:
        return Engine("fs1", REFERS)

    def _look_first(self) -> None:
        self.feed(inputs.DrainFound(at_us=self.now_us, said=self.cc_draining, by_switch=True))

    def drain(self, *, draining: bool = True) -> None:
        self.feed(inputs.DrainWished(at_us=self.now_us, draining=draining, actor="root"))
        self.deliver()

    def arrives(self, contact: str = "c9") -> None:
        """A caller comes from another node."""
        self.legs[contact] = Leg(
            contact, caller=True, answered=True, vars={"cc_state": "moved", "cc_tenant": "demo", "cc_contact": contact}
        )  # fmt: skip
        self.feed(inputs.LegParked(at_us=self.now_us, caller=self._caller(self.legs[contact])))

    def is_known(self, contact: str = "c9", node: str = "fs2", queue: str = "sales") -> None:
        """Routing answers who the caller is."""
        caller = legs.CallerLeg(
            leg=contact, tenant="demo", queue=queue, priority=3, skills=("fa:3",), language="fa", ani="0912",
            customer="k-7", entry_point="1000", waiting_ms=self.now_us // 1000 - 60_000,
        )  # fmt: skip
        self.feed(
            inputs.ContactKnown(
                at_us=self.now_us, contact=contact, caller=caller if queue else None, node=node
            )
        )

    def moved(self, contact: str = "c1", node: str = "fs2") -> None:
        self.feed(inputs.ContactMoved(at_us=self.now_us, contact_id=contact, node=node))

    def _caller(self, leg: Leg) -> legs.CallerLeg:
        return replace(
            super()._caller(leg),
            moving=leg.vars.get("cc_move", ""),
            arrived=leg.vars.get("cc_arrived", ""),
            refer_status=self.refer_status if leg.vars.get("cc_move") else 0,
        )

    def _do(self, output: outputs.Output) -> None:
        if isinstance(output, outputs.AskContact):
            self.questions.append(output)
        super()._do(output)

    def _command(self, command: outputs.Command) -> None:
        leg = self.legs.get(command.leg)
        if isinstance(command, outputs.SetGlobal):
            self.cc_draining = command.value
        elif isinstance(command, outputs.Refer):
            self.refers.append(command)
        elif isinstance(command, outputs.Probe) and leg is not None and leg.caller:
            caller = self._caller(leg)
            self.replies.append(
                inputs.LegProbed(
                    at_us=self.now_us, leg=leg.uuid, alive=True, answered=leg.answered, caller=caller
                )
            )
        else:
            super()._command(command)
