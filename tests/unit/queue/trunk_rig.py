"""The rig with carriers: legs on trunks that ring, are answered, fail on the way, and are counted by a Hypothesis-proof second book."""

from __future__ import annotations

from msgspec.structs import replace

from services.center.outside import DIVERTING, Outside, Route, Trunk, Way
from services.queue.core import inputs, legs, outputs, plan
from tests.unit.queue.rig import CENTER, Leg, Rig

OUTSIDE = Outside(
    trunks=(
        Trunk(name="a", gateway="ga", channels=1, caller_id="0219"),
        Trunk(name="b", gateway="gb", channels=1),
    ),
    routes=(Route(prefix="0", trunks=("a", "b")),),
)
NAMES = (
    "callback-customer",
    "callback-agent",
    "callback-missed",
    "not-possible",
    "lines-busy",
    "number-forbidden",
    "agent-confirm",
)


def plans(**changes: object) -> plan.Plans:
    """The rig's center with two trunks of one channel each."""
    center = {name: getattr(CENTER, name) for name in CENTER.__struct_fields__}
    sales = plan.QueuePlan(name="sales", wrap_up_ms=0, callback=plan.CallbackPlan(key="7", confirm=False))
    center |= {
        "queues": {**CENTER.queues, "sales": sales},
        "prompts": {**CENTER.prompts} | {(name, "fa"): f"/s/fa/{name}.wav" for name in NAMES},
        "outside": OUTSIDE,
        "inside": frozenset({"1001", "1002", "1000"}),
        **changes,
    }
    return plan.Plans(centers=(plan.CenterPlan(**center),))


class Exchange(Rig):
    """A switch whose bridges to the outside are legs of their own."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.documents = plans(**changes)
        self.tries: dict[str, list[Way]] = {}  # By contact: what its bridge has still to try.
        self.returning: set[str] = set()
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.documents))

    def hang_up(self, uuid: str, cause: str = "NORMAL_CLEARING") -> None:
        """Whoever has left is not called out for, and talks to nobody there."""
        tries = self.out(uuid)
        super().hang_up(uuid, cause)
        if tries and uuid not in self.legs:
            self.tries.pop(uuid, None)
            super().hang_up(tries, "ORIGINATOR_CANCEL")

    def agent_legs(self) -> list[Leg]:
        return [leg for leg in super().agent_legs() if leg.vars.get("cc_role") != "trunk"]

    # --- the outside ---

    def out(self, contact: str = "c1") -> str:
        """The leg that FreeSWITCH is dialling for a contact, or that the contact talks to."""
        return next((leg.uuid for leg in self.legs.values() if leg.vars.get("cc_out_of") == contact), "")

    def on(self, trunk: str) -> int:
        """How many legs there are on a trunk: the switch's own count."""
        return sum(leg.vars.get("cc_trunk") == trunk for leg in self.legs.values())

    def _dial_next(self, contact: str) -> None:
        """FreeSWITCH tries the next way of a bridge; after the last one the caller comes back, or is told so."""
        ways = self.tries.get(contact, [])
        caller = self.legs.get(contact)
        if caller is None:
            return
        if not ways:
            self.tries.pop(contact, None)
            if contact in self.returning:
                caller.mode = "music"
                caller.vars["cc_state"] = "waiting"
                self.events.append(inputs.LegParked(at_us=self.now_us, caller=self._caller(caller)))
            else:
                caller.mode = "farewell"
            return
        way = ways.pop(0)
        then = tuple((w.leg, w.trunk, w.gateway) for w in ways)
        self.legs[way.leg] = Leg(
            way.leg,
            caller=False,
            mode="dialling",
            vars={
                "cc_trunk": way.trunk,
                "cc_gateway": way.gateway,
                "cc_tenant": "demo",
                "cc_out_of": contact,
                "cc_contact": contact,
                "cc_role": "trunk",
                "cc_then": " ".join(":".join(x) for x in then),
            },
        )
        self.events.append(
            inputs.LegCreated(at_us=self.now_us, leg=way.leg, trunk=self._trunk(self.legs[way.leg]))
        )

    def outside_answers(self, contact: str = "c1") -> None:
        leg = self.legs[self.out(contact)]
        leg.answered = True
        self.events.append(inputs.LegAnswered(at_us=self.now_us, leg=leg.uuid))
        self.deliver()

    def outside_fails(self, cause: str, contact: str = "c1") -> None:
        """The way fails, or the party does; after a failure of the way FreeSWITCH goes on."""
        self.hang_up(self.out(contact), cause)
        if cause not in DIVERTING:
            self.tries[contact] = []
        self.deliver()
        self._dial_next(contact)
        self.deliver()

    def _trunk(self, leg: Leg) -> legs.TrunkLeg | None:
        v = leg.vars
        if not v.get("cc_trunk"):
            return None
        then = tuple(tuple(word.split(":")) for word in v.get("cc_then", "").split())
        return legs.TrunkLeg(
            leg=leg.uuid,
            tenant=v["cc_tenant"],
            trunk=v["cc_trunk"],
            gateway=v.get("cc_gateway", ""),
            contact=v.get("cc_contact", ""),
            answered=leg.answered,
            then=tuple((x[0], x[1], x[2]) for x in then),
        )

    def create(self, uuid: str) -> None:
        was_there = uuid in self.legs
        super().create(uuid)
        leg = self.legs.get(uuid)
        if leg is not None and not was_there and leg.vars.get("cc_trunk"):
            self.events[-1] = inputs.LegCreated(at_us=self.now_us, leg=uuid, trunk=self._trunk(leg))

    def _command(self, command: outputs.Command) -> None:
        super()._command(command)
        if isinstance(command, outputs.TransferOut) and command.leg in self.legs:
            self.tries[command.leg] = list(command.ways)
            self.returning.discard(command.leg)
            if command.returns:
                self.returning.add(command.leg)
                self.left_by_engine.discard(command.leg)
            self._dial_next(command.leg)

    def _caller(self, leg: Leg) -> legs.CallerLeg:
        return replace(super()._caller(leg), out=leg.vars.get("cc_out", ""))

    def _list(self) -> None:
        ours = [leg for leg in self.legs.values() if leg.vars.get("cc_role") == "trunk"]
        hidden = {leg.uuid: self.legs.pop(leg.uuid) for leg in ours}
        super()._list()
        self.legs |= hidden
        listed = self.replies.pop()
        assert isinstance(listed, inputs.ChannelsListed)
        found = [self._trunk(leg) for leg in self.legs.values() if not self.engine.counts(leg.uuid)]
        trunks = tuple(t for t in found if t is not None)
        self.replies.append(replace(listed, present=frozenset(self.legs), trunks=trunks))
