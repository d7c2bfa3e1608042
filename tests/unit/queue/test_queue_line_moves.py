"""Lines of waiting callers that another node takes over: two engines, one carrier, routing in a nutshell; killed after every command on either side."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.common.errors import UnsafeCommandError
from services.common.esl import Event
from services.queue.adapters import dialog
from services.queue.core import facts, inputs, legs, line_moves, outputs
from services.queue.core.engine import Engine
from tests.unit.queue.rig import Job, Leg, Rig

LINE = legs.Line(
    call_id="x", ours="<sip:a>;tag=1", theirs="<sip:b>;tag=2", target="sip:b@10.0.0.9:5060", profile="trunk"
)
NODES = ("fs1", "fs2")


class Side(Rig):
    """One node; what it says to the other one is kept until ``Pair`` carries it there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said = ""
        self.given: list[outputs.SendLine] = []
        self.taking: list[outputs.TakeLine] = []
        self.answers_to_line: list[outputs.LineAnswered] = []
        self.questions: list[outputs.AskContact] = []
        self.missed: list[inputs.Input] = []
        super().__init__()
        self._begin()
        self.sent.clear()

    def _begin(self) -> None:
        self.engine = Engine(self.name, None, NODES)
        self.feed(inputs.CentersRevised(at_us=self.now_us, plans=self.documents))
        self.feed(inputs.DrainFound(at_us=self.now_us, said=self.said, by_switch=True))
        self.feed(inputs.LinkUp(at_us=self.now_us, core_uuid="one"))
        self.deliver()

    def take_over(self, open_contacts: tuple[legs.OpenContact, ...] = ()) -> None:
        super().take_over(open_contacts)
        self.answers_to_line.clear()
        self._begin()
        missed, self.missed = self.missed, []
        for entry in missed:
            self.feed(entry)
        self.deliver()

    def reads(self, entry: inputs.Input) -> None:
        """An entry of routing's log; what a process that is dead has not acknowledged comes to the next one."""
        if self.dead:
            self.missed.append(entry)
        else:
            self.feed(entry)

    def drain(self) -> None:
        self.feed(inputs.DrainWished(at_us=self.now_us, draining=True, actor="root"))
        self.deliver()

    def undrain(self) -> None:
        self.feed(inputs.DrainWished(at_us=self.now_us, draining=False, actor="root"))
        self.deliver()

    def _caller(self, leg: Leg) -> legs.CallerLeg:
        return replace(
            super()._caller(leg),
            moving=leg.vars.get("cc_move", ""),
            arrived=leg.vars.get("cc_arrived", ""),
            taken=bool(leg.vars.get("cc_taken")),
        )

    def _do(self, output: outputs.Output) -> None:
        if not self.dead and isinstance(output, outputs.AskContact):
            self.questions.append(output)
        elif not self.dead and isinstance(output, outputs.LineAnswered):
            self.answers_to_line.append(output)
        super()._do(output)

    def _command(self, command: outputs.Command) -> None:
        if isinstance(command, outputs.SetGlobal):
            self.said = command.value
        elif isinstance(command, outputs.SendLine):
            self.given.append(command)
        elif isinstance(command, outputs.TakeLine):
            self.taking.append(command)
            self.jobs[command.leg] = Job(command.offer, command.leg)
        else:
            super()._command(command)


class Pair:
    """The caller's line is at one of the nodes at a time: ``line_at``. ``accepts``: what the carrier says to a re-INVITE."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.here, self.there = Side("fs1"), Side("fs2")
        self.accepts = accepts
        self.line_at = "fs1"
        self.contact_at = "fs1"
        self.moves = 0
        self.requests = 0
        self.place_us = 0
        self.heard = dict.fromkeys(NODES, 0)

    def call(self, contact: str = "c1") -> None:
        self.here.call(contact)
        (waiting,) = self.here.facts(facts.ContactWaiting)
        assert isinstance(waiting, facts.ContactWaiting)
        self.place_us = waiting.waiting_since_us
        self.here.sent.clear()

    def run(self, rounds: int = 60, *, loses_answers: int = 0) -> None:
        """Carry everything to and fro; a second passes a round."""
        for _ in range(rounds):
            for asked in _taken(self.here.given):
                self.requests += 1
                self.there.feed(
                    inputs.LineOffered(
                        at_us=self.there.now_us, request_id=f"r{self.requests}", tenant="demo", contact=asked.contact,
                        leg=f"{asked.contact}-m", line=LINE, cseq=line_moves.cseq_of(asked.move),
                    )
                )  # fmt: skip
            for asked in _taken(self.there.given):  # It is emptied, too, and fs1 takes nobody.
                self.there.feed(
                    inputs.LineSent(
                        at_us=self.there.now_us,
                        contact=asked.contact,
                        taken=False,
                        reason="node-not-available",
                    )
                )
            for order in _taken(self.there.taking):
                self._reinvite(order)
            self.there.deliver()
            for answer in _taken(self.there.answers_to_line):
                loses_answers -= 1
                taken = None if loses_answers >= 0 else not answer.slug
                self.here.feed(
                    inputs.LineSent(
                        at_us=self.here.now_us, contact=answer.contact, taken=taken, reason=answer.slug
                    )
                )
            for side in (self.here, self.there):
                for question in _taken(side.questions):
                    self._answers(side, question.contact)
            for side in (self.here, self.there):
                news = side.reports[self.heard[side.name] :]
                self.heard[side.name] = len(side.reports)
                for report in news:
                    self._routing(side, report.fact)
                side.deliver()
                side.advance(1_000)

    def _reinvite(self, order: outputs.TakeLine) -> None:
        """The carrier answers at once; the leg that comes of it runs the dialplan."""
        ok = self.accepts and self.line_at == "fs1" and "c1" in self.here.legs
        self.there._job(order.leg, "+OK" if ok else "-ERR NORMAL_TEMPORARY_FAILURE")
        if ok:
            self.line_at = "fs2"
            leg = Leg(order.contact, caller=True, answered=True, mode="music",
                      vars={"cc_state": "moved", "cc_tenant": "demo", "cc_contact": order.contact, "cc_taken": "1"})  # fmt: skip
            self.there.legs[order.contact] = leg
            self.there.events.append(
                inputs.LegParked(at_us=self.there.now_us, caller=self.there._caller(leg))
            )

    def _answers(self, side: Side, contact: str) -> None:
        caller = legs.CallerLeg(
            leg=contact,
            tenant="demo",
            queue="sales",
            entry_point="1000",
            waiting_ms=self.place_us // 1000,
            ani="0912",
        )
        side.feed(
            inputs.ContactKnown(at_us=side.now_us, contact=contact, caller=caller, node=self.contact_at)
        )

    def _routing(self, side: Side, fact: object) -> None:
        if isinstance(fact, facts.ContactWaiting) and side.name != self.contact_at:
            self.contact_at = side.name
            self.moves += 1
            for each in (self.here, self.there):
                each.reads(inputs.ContactMoved(at_us=each.now_us, contact_id=fact.contact_id, node=side.name))
        if isinstance(fact, facts.ContactGone):
            for each in (self.here, self.there):
                each.reads(
                    inputs.ContactClosed(at_us=each.now_us, contact_id=fact.contact_id, outcome="abandoned")
                )

    @property
    def waits_at(self) -> list[str]:
        return [side.name for side in (self.here, self.there) if side.state("c1") == "waiting"]

    def gone(self) -> list[Any]:
        return [*self.here.facts(facts.ContactGone), *self.there.facts(facts.ContactGone)]


def _taken(found: list[Any]) -> list[Any]:
    items = list(found)
    found.clear()
    return items


def test_the_line_goes_on_there_at_the_same_place_and_what_is_left_here_is_let_go_silently() -> None:
    pair = Pair()
    pair.call()
    pair.here.advance(30_000)
    pair.there.advance(30_000)
    pair.here.drain()
    assert pair.here.legs["c1"].mode == "music", "until the other node has the line"
    pair.run(3)
    assert (pair.line_at, pair.waits_at, pair.moves) == ("fs2", ["fs2"], 1)
    assert "c1" not in pair.here.legs
    assert pair.gone() == []
    (moved,) = pair.there.facts(facts.ContactWaiting)
    assert isinstance(moved, facts.ContactWaiting)
    assert moved.waiting_since_us // 1000 == pair.place_us // 1000
    assert pair.there.legs["c1"].mode == "music"
    (taken,) = [
        c for c in pair.there.sent if isinstance(c, outputs.SetVars) and ("sip_invite_cseq", "") in c.values
    ]
    assert taken.leg == "c1", "later requests have numbers of their own"
    pair.run(30)
    assert pair.gone() == []


def test_a_carrier_that_refuses_keeps_its_caller_here_and_is_asked_once() -> None:
    pair = Pair(accepts=False)
    pair.call()
    pair.here.drain()
    pair.run(100)
    assert (pair.waits_at, pair.requests, pair.moves) == (["fs1"], 1, 0)
    assert pair.here.talk("c1", "o1")
    assert pair.here.state("c1") == "talking"


@pytest.mark.parametrize("lost", [1, 5])
def test_an_answer_that_is_lost_is_asked_for_again(lost: int) -> None:
    pair = Pair()
    pair.call()
    pair.here.drain()
    pair.run(10 + lost, loses_answers=lost)
    assert (pair.line_at, pair.waits_at, pair.moves) == ("fs2", ["fs2"], 1)
    assert pair.gone() == []


def test_who_never_hears_of_the_other_node_serves_the_caller() -> None:
    """No owner there: nobody answers for half a minute."""
    pair = Pair()
    pair.call()
    pair.here.drain()
    for _ in range(40):
        pair.here.given.clear()
        pair.here.feed(inputs.LineSent(at_us=pair.here.now_us, contact="c1", taken=None, reason="NO_ANSWER"))
        pair.here.advance(1_000)
    assert pair.here.state("c1") == "waiting"
    assert pair.here.talk("c1", "o1")


def test_a_late_word_that_the_line_is_there_still_ends_what_is_left_here() -> None:
    pair = Pair()
    pair.call()
    pair.here.drain()
    pair.here.feed(inputs.LineSent(at_us=pair.here.now_us, contact="c1", taken=False, reason="not-taken"))
    assert pair.waits_at == ["fs1"]
    pair.here.feed(inputs.ContactMoved(at_us=pair.here.now_us, contact_id="c1", node="fs2"))
    pair.here.deliver()
    assert "c1" not in pair.here.legs
    assert pair.gone() == []


def test_a_caller_who_hangs_up_before_the_other_node_knows_who_it_is_has_left() -> None:
    pair = Pair()
    pair.call()
    pair.here.drain()
    (asked,) = _taken(pair.here.given)
    pair.there.feed(
        inputs.LineOffered(at_us=pair.there.now_us, request_id="r1", tenant="demo", contact="c1", leg="c1-m", line=LINE, cseq=7)
    )  # fmt: skip
    pair._reinvite(_taken(pair.there.taking)[0])
    pair.there.deliver()
    pair.there.hang_up("c1")
    pair.there.deliver()
    assert asked.node == "fs2"
    pair.run(30)
    assert [fact.contact_id for fact in pair.gone()] == ["c1"]
    assert "c1" not in pair.here.legs
    assert pair.waits_at == []


def test_a_caller_who_hangs_up_before_the_line_is_taken_has_left_at_once() -> None:
    pair = Pair()
    pair.call()
    pair.here.drain()
    pair.here.hang_up("c1")
    pair.here.deliver()
    assert pair.gone() == [], "it may have been taken"
    pair.run(2)
    assert [fact.contact_id for fact in pair.gone()] == ["c1"]


def test_a_node_that_is_being_emptied_takes_no_line() -> None:
    pair = Pair()
    pair.call()
    pair.there.drain()
    pair.here.drain()
    pair.run(3)
    assert (pair.waits_at, pair.line_at) == (["fs1"], "fs1")
    assert pair.there.commands(outputs.TakeLine) == []


def test_the_same_line_is_taken_once_however_often_it_is_offered() -> None:
    there = Side("fs2")
    for request in ("r1", "r2"):
        there.feed(
            inputs.LineOffered(at_us=there.now_us, request_id=request, tenant="demo", contact="c1", leg="c1-m", line=LINE, cseq=7)
        )  # fmt: skip
    assert len(there.commands(outputs.TakeLine)) == 1
    there.feed(inputs.JobEnded(at_us=there.now_us, offer="line:c1", ok=False, text="", known=False))
    assert [(a.request_id, a.known) for a in there.answers_to_line] == [("r1", False), ("r2", False)]
    there.feed(
        inputs.LineOffered(
            at_us=there.now_us, request_id="r3", tenant="nobody", contact="c2", leg="c2-m", line=LINE, cseq=7
        )
    )
    assert there.answers_to_line[-1].slug == "unknown-tenant"


@pytest.mark.parametrize("side", ["here", "there"])
@pytest.mark.parametrize("steps", range(6))
def test_a_kill_after_every_command_loses_nobody(side: str, steps: int) -> None:
    pair = Pair()
    pair.call()
    dies: Side = getattr(pair, side)
    dies.sent.clear()
    dies.dies_after = steps
    pair.here.drain()
    pair.run(3)
    dies.take_over()
    dies.sent.clear()
    pair.run(90)
    assert pair.gone() == []
    assert pair.waits_at == [pair.line_at], "who has the line serves the caller, and nobody else does"
    side_with_line = pair.here if pair.line_at == "fs1" else pair.there
    assert side_with_line.legs["c1"].mode == "music"
    if pair.line_at == "fs2":
        assert "c1" not in pair.here.legs


def test_later_moves_have_higher_numbers_than_anything_before() -> None:
    at_us = 1_795_000_000_000_000
    first, second = line_moves.cseq_of(at_us), line_moves.cseq_of(at_us + 1_000_000)
    assert 2**27 < first < second < 2**31


def test_a_line_that_moves_on_at_once_has_a_number_beyond_whatever_the_node_in_between_sends() -> None:
    at_us = 1_795_000_000_000_000
    first = line_moves.cseq_of(at_us)
    second = line_moves.cseq_of(at_us + 300_000, first)
    assert second > first + 500, "its BYE, and keep-alives before it, have the next numbers"
    assert line_moves.cseq_of(at_us + 86_400_000_000, first) == line_moves.cseq_of(at_us + 86_400_000_000)
    assert line_moves.cseq_of(at_us, 2**31 - 5) == 2**31 - 1


# --- the adapters


def dumped(**variables: str) -> Event:
    """As a caller's leg was dumped on 1.10.12."""
    values = {
        "sip_call_id": "24abcbd5-60fa-1240-6a94-62f5436d63e7", "sip_from_uri": "0912@10.0.0.9", "sip_from_tag": "v5g2HggS50XUg",
        "sip_to_uri": "1000@10.0.0.1:5080", "sip_to_tag": "NpScBe32rm4DN", "sip_contact_uri": "mod_sofia@10.0.0.9:5060",
        "sip_network_ip": "10.0.0.9", "sip_network_port": "5060", "sofia_profile_name": "trunk", **variables,
    }  # fmt: skip
    return Event.of(
        {"Call-Direction": "inbound", "Answer-State": "answered", "Caller-Caller-ID-Number": "0912"}
        | {f"variable_{name}": value for name, value in values.items() if value}
    )


def command(line: legs.Line) -> outputs.TakeLine:
    return outputs.TakeLine(
        contact="c1",
        leg="c1-m1",
        offer="line:c1",
        tenant="demo",
        line=line,
        cseq=1_168_939_805,
        ring_ms=5_000,
    )


def test_a_dialog_is_read_from_a_leg_and_gone_on_with_by_an_originate() -> None:
    line = dialog.line_of(dumped())
    assert line is not None
    assert (line.ours, line.theirs) == (
        "<sip:1000@10.0.0.1:5080>;tag=NpScBe32rm4DN", "<sip:0912@10.0.0.9>;tag=v5g2HggS50XUg",
    )  # fmt: skip
    assert (line.target, line.proxy, line.route, line.number) == (
        "sip:mod_sofia@10.0.0.9:5060",
        "",
        "",
        "0912",
    )
    said = dialog.take_line(command(line), "fs2")
    assert said.endswith("}sofia/trunk/sip:mod_sofia@10.0.0.9:5060 move-demo.c1 XML public")
    for part in (
        "sip_invite_cseq=1168939805",
        "cc_cseq=1168939805",
        "origination_uuid=c1-m1",
        "originate_timeout=5",
        "cc_taken=1",
        "cc_node=fs2",
    ):
        assert part in said, part


def test_a_line_that_was_taken_before_is_ours_the_other_way_round() -> None:
    leg = dumped()
    leg.headers["Call-Direction"] = "outbound"
    line = dialog.line_of(leg)
    assert line is not None
    assert line.ours.endswith("tag=v5g2HggS50XUg")
    assert line.theirs.endswith("tag=NpScBe32rm4DN")
    assert line.cseq == 0
    leg.headers["variable_cc_cseq"] = "1168939805"
    assert dialog.line_of(leg).cseq == 1_168_939_805  # type: ignore[union-attr]
    leg.headers["variable_cc_cseq"] = "12345678901234"
    assert dialog.line_of(leg).cseq == 0  # type: ignore[union-attr]


def test_a_carrier_behind_nat_is_answered_where_it_called_from_and_proxies_are_kept() -> None:
    nat = dialog.line_of(dumped(sip_contact_uri="gw@192.168.0.9:5060", sip_contact_params="transport=udp"))
    assert nat is not None
    assert (nat.target, nat.proxy) == ("sip:gw@192.168.0.9:5060;transport=udp", "sip:10.0.0.9:5060")
    route = "<sip:10.0.0.7;lr>,<sip:10.0.0.8;lr>"
    proxied = dialog.line_of(dumped(sip_contact_uri="gw@192.168.0.9:5060", sip_invite_route_uri=route))
    assert proxied is not None
    assert (proxied.route, proxied.proxy) == (route, "")


@pytest.mark.parametrize(
    "variables",
    [
        {"sip_to_tag": ""},
        {"sip_contact_uri": "x@h,user/1001"},
        {"sip_contact_uri": "x@h|error/busy"},
        {"sip_contact_params": "a=b c"},
        {"sip_call_id": "a b"},
        {"sip_from_tag": "${x}"},
        {"sip_from_uri": "a>b@h"},
        {"sofia_profile_name": "trunk/x"},
        {"sip_invite_route_uri": "<sip:x>,{a=b}"},
    ],
)
def test_what_is_no_plain_dialog_is_not_taken_over(variables: dict[str, str]) -> None:
    assert dialog.line_of(dumped(**variables)) is None


def test_an_originate_to_a_strange_address_is_not_written() -> None:
    line = dialog.line_of(dumped())
    assert line is not None
    with pytest.raises(UnsafeCommandError):
        dialog.take_line(command(replace(line, target="sip:a@b,user/1001")), "fs2")
