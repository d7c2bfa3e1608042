"""A caller's line between two nodes under anything that may happen: owners killed on both sides, answers lost, a carrier that changes its mind.

At rest whoever has the line serves the caller, at the old place, and nobody else does; who has not hung up is never said to be gone.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.queue.core import facts
from tests.unit.queue.test_queue_line_moves import Pair, Side


class LineMachine(RuleBasedStateMachine):
    """fs1 is emptied at some time, fs2 stays in service; everything else comes as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.hung_up = False

    @initialize(accepts=st.sampled_from((True, True, True, False)))
    def begin(self, accepts: bool) -> None:
        self.pair = Pair(accepts=accepts)
        self.pair.call()

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.pair.here, self.pair.there

    @rule()
    def node_is_to_be_emptied(self) -> None:
        self.pair.here.drain()

    @rule(rounds=st.integers(1, 4), lost=st.integers(0, 2))
    def time_passes(self, rounds: int, lost: int) -> None:
        self.pair.run(rounds, loses_answers=lost)

    @rule(
        which=st.sampled_from((0, 1)), steps=st.integers(0, 5), rounds=st.integers(0, 3), drains=st.booleans()
    )
    def owner_is_killed(self, which: int, steps: int, rounds: int, drains: bool) -> None:
        """After some more commands; meanwhile the other side goes on."""
        side = self.sides[which]
        side.dies_after = len(side.sent) + steps
        if drains:
            self.pair.here.drain()
        self.pair.run(rounds)
        side.take_over()

    @rule(accepts=st.booleans())
    def carrier_changes_its_mind(self, accepts: bool) -> None:
        self.pair.accepts = accepts

    @precondition(lambda self: not self.hung_up)
    @rule()
    def caller_hangs_up(self) -> None:
        self.hung_up = True
        side = self.pair.here if self.pair.line_at == "fs1" else self.pair.there
        side.hang_up("c1")
        side.deliver()

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        for side in self.sides:
            side.dies_after = None
        self.pair.run(150)
        if self.hung_up:
            assert self.pair.waits_at == [], "nobody waits"
            return
        assert self.pair.gone() == [], "the caller is said to be gone and is not"
        assert self.pair.waits_at == [self.pair.line_at], f"the line is at {self.pair.line_at}"
        side = self.pair.here if self.pair.line_at == "fs1" else self.pair.there
        assert side.legs["c1"].mode == "music"
        for each in self.sides:
            for waiting in each.facts(facts.ContactWaiting):
                assert isinstance(waiting, facts.ContactWaiting)
                assert waiting.waiting_since_us // 1000 == self.pair.place_us // 1000, "the place is lost"


LineMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=8, deadline=None)
TestLineMoves = LineMachine.TestCase
