"""Whatever is dialled, whenever, and however often the process is replaced: never more calls to numbers outside than the limits say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, QueueRules
from services.routing.core.state import State
from services.routing.core.toll import DAY_MINUTES, LONGEST_US, MINUTE_US, Rights
from tests.unit.routing.floor import Floor, center

AGENT = Rights(a_minute=2, a_day=6, at_once=2)
TEAM = Rights(a_minute=3, at_once=3)
ALL = Rights(allowed=("0",), forbidden=("00",), a_day=9)
NUMBERS = ("021", "0049", "911", "0912")

WHO = ("ann", "bob", "cyd")
RULES = replace(
    center(
        {name: QueueRules(wrap_up_ms=0) for name in WHO},
        {name: AgentRules(f"10{n}", (name,), team="t", calls=AGENT) for n, name in enumerate(WHO)},
    ),
    calls=ALL,
    team_calls={"t": TEAM},
)

STEP = st.tuples(
    st.sampled_from(["dial", "dial", "dial", "pass", "end", "take_over", "snapshot"]),
    st.sampled_from(WHO),
    st.sampled_from(NUMBERS),
    st.sampled_from([1, 900, 20_000, 59_999, 60_001, 3_600_000, 86_399_000, 86_400_000]),
)


def most(times_us: list[int], span_us: int) -> int:
    """The most times within any span."""
    return max((sum(t <= u < t + span_us for u in times_us) for t in times_us), default=0)


@given(st.lists(STEP, max_size=60))
@settings(max_examples=150, deadline=None)
def test_never_more_than_the_limits(steps: list[tuple[str, str, str, int]]) -> None:
    floor = Floor(RULES)
    granted: list[tuple[int, str, str]] = []
    going: dict[str, tuple[str, int]] = {}
    for n, (what, agent, number, ms) in enumerate(steps):
        if what == "pass":
            floor.pass_ms(ms)
        elif what == "end" and going:
            contact = sorted(going)[ms % len(going)]
            del going[contact]
            floor.send(i.ContactGone, contact_id=contact)
        elif what in ("take_over", "snapshot"):
            floor.take_over(via_snapshot=what == "snapshot")
        elif what == "dial":
            floor.available(agent)
            contact = f"c{n}"
            floor.waits(contact, agent)
            assert floor.talks(contact) == agent
            floor.send(
                i.TransferRequested, request_id=f"w{n}", offer_id="o", contact_id=contact, agent_id=agent,
                target_kind="number", target=number,
            )  # fmt: skip
            facts = floor.new_facts()
            dialled = [x for x in facts if isinstance(x, f.NumberDialled)]
            refused = [x for x in facts if isinstance(x, f.CallRefused)]
            assert len(dialled) + len(refused) == 1
            if dialled:
                granted.append((floor.now_us, agent, number))
                going[contact] = (agent, floor.now_us)
            else:
                assert (refused[0].agent_id, refused[0].actor) == (agent, "agent")
                assert floor.engine.state.contacts[contact].status == "talking", "the conversation goes on"
                floor.send(i.ContactGone, contact_id=contact)
            young = [a for a, since_us in going.values() if floor.now_us - since_us < LONGEST_US]
            assert young.count(agent) <= 2
            assert len(young) <= 3
    assert {number for _, _, number in granted} <= {"021", "0912"}
    for agent in WHO:
        own = [t for t, a, _ in granted if a == agent]
        assert most(own, MINUTE_US) <= 2
        assert most(own, DAY_MINUTES * MINUTE_US) <= 6
    times = [t for t, _, _ in granted]
    assert most(times, MINUTE_US) <= 3
    assert most(times, DAY_MINUTES * MINUTE_US) <= 9
    restored = State.load(floor.replayed().dump(), floor.policy)
    assert restored is not None
    assert restored.tolls == floor.engine.state.tolls, "a restart counts as before"
