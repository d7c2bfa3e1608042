"""Tables that flows are tested by: what the caller does, what is heard, where it ends.

A table is YAML::

    entry: "1000"                      # the number that is called; calls may name another one
    at: 2026-11-21T10:00               # when, in the center's zone
    calls:
      - name: Two is support
        does: ["2"]                    # each when the flow waits for it: keys, `silence`, `hang up`
        hears: [welcome, main-menu]    # prompts in their order; `en/welcome` says the language too
        ends: queue support

``does`` may also hold ``{says: where is my order}``: words for a recogniser, and ``{during: welcome, press: "1"}`` (or ``says``): what is done
while that prompt is heard. What is read out is heard as ``4711 as digits``, what a voice says as ``Order 4711 is ready. as speech``, the
tone before a message as ``beep``. A call ends in one of ``queue <name>``, ``callback <name>``, ``transfer <number>``,
``finished`` (``finished <as>`` of a hangup that says what was achieved), ``closed``, ``hung up``. ``survey: <flow>`` in the place of
``entry`` is a call after a conversation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from services.center import source
from services.center.loader import CenterError, Fault
from services.center.model import Center
from services.center.words import EntryNumber, Language, Part, Token, Variable
from services.ivr.adapters.flows import flows_of, plan_of, survey_plan
from services.ivr.core.model import AnswerCall, Begun
from services.ivr.core.nodes import Plan
from services.ivr.core.rehearsal import Act, Heard, QueueNow, Rehearsal, Reply, Switch

_HANG_UP = "hang up"
_MOST_DRAWS = 2_000
"""One in a hundred is missed by as many draws once in five hundred million."""
_CAUSES = {"answered": ("SUCCESS", 30_000), "busy": ("USER_BUSY", 2_000), "no answer": ("NO_ANSWER", 45_000)}


class During(Part):
    """Keys that are pressed, or words that are said: while a prompt is heard, or (empty) when the flow waits for them."""

    during: str = ""
    press: Annotated[str, StringConstraints(pattern=r"^[0-9*#]+$")] = ""
    says: str = ""

    @model_validator(mode="after")
    def _one(self) -> During:
        if bool(self.press) == bool(self.says):
            raise ValueError("expected exactly one of press, says")
        return self


class QueueState(Part):
    """A queue as the flow finds it."""

    waiting: Annotated[int, Field(ge=0)] = 0
    longest_s: Annotated[int, Field(ge=0)] = 0
    ready: Annotated[int, Field(ge=0)] = 1


def _act(value: object) -> object:
    return {"during": "", "press": value} if isinstance(value, str) and value[:1] in "0123456789*#" else value


Does = Annotated[During | Literal["silence", "hang up"], BeforeValidator(_act)]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$")]


class Call(Part):
    """One row."""

    name: str
    entry: EntryNumber | None = None
    agents: dict[Token, Literal["busy", "away", "unseen"]] = {}
    """Agents who are not ready when a flow looks at them."""
    survey: Token | None = None
    """The flow, of a call after a conversation."""
    early: bool = False
    """Whether the dialplan leaves it to the flow to answer."""
    answered: bool | None = None
    """Whether an early call was answered."""
    at: Moment | None = None
    caller: str = "+989121234567"
    does: list[Does] = []
    hears: list[str]
    ends: str
    customer: str | None = None
    language: str | None = None
    """As the call is handed over with."""
    queues: dict[Token, QueueState] = {}
    """Queues that the flow looks at; others cannot be seen."""
    transfer: Literal["answered", "busy", "no answer"] = "answered"
    speaks_s: Annotated[float, Field(ge=0, le=900)] = 5.0
    """How long the caller speaks when a message is taken."""
    answers: dict[Token, dict[Variable, str] | int | Literal["failed"]] = {}
    """What web services answer, by the node that asks: the values that it gets, another status than 200, or ``failed``."""
    rates: dict[Token, int | Literal["said"]] | None = None
    """The answers of a survey by question: a number, or that something was said."""
    wants: str | None = None
    """The survey that the call is handed over with; ``none`` when the caller does not want one."""
    class_: str | None = Field(None, alias="class")
    """As the call is handed over with."""
    prefers: str | None = None
    """The agent that the call is handed over with."""
    no_answer: str | None = None
    """Where routing is to send the caller when that agent does not take the call: ``voicemail:leave-message``."""
    drawn: dict[Token, Token] = {}
    """Where splits lead, by their node."""
    missing: list[str] = []
    """Prompts without audio: ``en/welcome``; ``en/speech``: nothing can be spoken by a voice."""
    deaf: list[Language] = []
    """Languages without a recogniser."""


class Table(Part):
    """A whole table."""

    entry: EntryNumber | None = None
    at: Moment = "2026-11-21T10:00"
    calls: Annotated[list[Call], Field(min_length=1)]


@dataclass(frozen=True)
class Tried:
    """What one row came to; ``wrong`` says what is not as the table says."""

    name: str
    line: int
    heard: Heard
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What a table came to."""

    tried: tuple[Tried, ...]
    unvisited: Mapping[str, tuple[str, ...]]
    """Nodes that no call went through, by flow; of the flows that any call came into."""

    @property
    def is_right(self) -> bool:
        """Whether every call is as the table says."""
        return not any(row.wrong for row in self.tried)


def read(file: Path) -> tuple[Table, source.Source]:
    """Read a table. Raises CenterError with every fault, each with its line."""
    try:
        src = source.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise CenterError([Fault(str(file), 1, "", f"cannot be read: {e}")]) from None
    faults = [Fault(str(file), line, ".".join(map(str, path)), text) for line, path, text in src.faults]
    if faults:
        raise CenterError(faults)
    try:
        return Table.model_validate(src.value), src
    except ValidationError as e:
        for error in e.errors(include_url=False, include_context=False):
            path = tuple(error["loc"])
            faults.append(Fault(str(file), src.line(path), ".".join(map(str, path)), error["msg"]))
        raise CenterError(faults) from None


def rehearse(center: Center, file: Path) -> Result:
    """Go through every call of a table. Raises CenterError for a table that cannot be read, or names what there is not."""
    table, src = read(file)
    flows = flows_of(center)
    tried: list[Tried] = []
    visited: dict[str, set[str]] = {}
    for i, call in enumerate(table.calls):
        line = src.line(("calls", i))
        number = call.entry or table.entry or center.default_entry_point
        if number not in center.entry_points:
            raise CenterError([Fault(str(file), line, f"calls.{i}.entry", f'unknown entry point "{number}"')])
        entry = center.entry_points[number]
        if call.survey is not None and call.survey not in center.flows:
            raise CenterError([Fault(str(file), line, f"calls.{i}.survey", f'unknown flow "{call.survey}"')])
        begun = Begun(
            at_us=_moment_us(call.at or table.at, center.timezone),
            languages=center.language_order(center.first_language(entry)),
            caller=call.caller,
            entry=number,
            answered=not call.early,
        )
        plan = survey_plan(call.survey, flows) if call.survey else plan_of(center, entry, flows)
        heard = _heard(call, plan, begun)
        for step in heard.steps:
            visited.setdefault(step.flow, set()).add(step.node)
        tried.append(Tried(call.name, line, heard, tuple(_wrong(call, heard))))
    unvisited = {
        name: tuple(node for node in center.flows[name].nodes if node not in nodes)
        for name, nodes in visited.items()
    }
    return Result(tuple(tried), {name: nodes for name, nodes in unvisited.items() if nodes})


def _heard(call: Call, plan: Plan, begun: Begun) -> Heard:
    """Go through one call; of those that chance allows, the first in which every split leads where the row says."""
    acts = [_acts(act) for act in call.does]
    wanted = {f"{node}=split:{to}" for node, to in call.drawn.items()}
    for chance in range(_MOST_DRAWS):
        drawn = msgspec.structs.replace(begun, chance=chance)
        heard = Rehearsal(plan, drawn, switch=_switch(call)).run(acts=acts)
        if wanted <= set(heard.path):
            break
    return heard


def _moment_us(text: str, zone: str) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * 1_000_000


def _acts(act: During | str) -> Act:
    if isinstance(act, During):
        return Act(keys=act.press, says=act.says, during=act.during)
    return Act(hangs_up=act == _HANG_UP)


def _switch(call: Call) -> Switch:
    missing = frozenset((name.partition("/")[0], name.partition("/")[2]) for name in call.missing)
    queues = {
        name: QueueNow(state.waiting, state.longest_s * 1000, state.ready)
        for name, state in call.queues.items()
    }
    replies = {node: _reply(answer) for node, answer in call.answers.items()}
    speaks_ms, deaf = round(call.speaks_s * 1000), frozenset(call.deaf)
    return Switch(missing, _CAUSES[call.transfer], speaks_ms, queues, replies, deaf, call.agents)


def _reply(answer: dict[str, str] | int | str) -> Reply:
    match answer:
        case dict():
            return Reply(values=answer)
        case int():
            return Reply(status=answer)
    return Reply(failure="connection")


def end_of(heard: Heard) -> str:
    """Where a call ended, in the words of a table."""
    match heard.outcome:
        case "handed_over":
            to = heard.handed[-1]
            return f"{'callback' if to.callback else 'queue'} {to.queue}"
        case "transferred":
            return f"transfer {heard.dialled[-1]}"
        case "hung_up":
            return "hung up"
        case "finished" if heard.steps[-1].result != "done":
            return f"finished {heard.steps[-1].result}"
    return heard.outcome or "nowhere"


def _wrong(call: Call, heard: Heard) -> list[str]:
    wrong = []
    is_same = len(call.hears) == len(heard.prompts) and all(
        wanted in (found, found.partition("/")[2])
        for wanted, found in zip(call.hears, heard.prompts, strict=True)
    )
    if not is_same:
        wrong.append(f"hears {', '.join(heard.prompts)}; expected {', '.join(call.hears)}")
    if (end := end_of(heard)) != call.ends:
        wrong.append(f"ends: {end}; expected {call.ends}")
    for node, to in call.drawn.items():
        if f"{node}=split:{to}" not in heard.path:
            wrong.append(f"{node} never led to {to}")
    if heard.acts_left:
        wrong.append(f"the last {heard.acts_left} of what the caller does was never waited for")
    handed = heard.handed[-1] if heard.handed else None
    for name, wanted, part in (
        ("customer", call.customer, "customer"),
        ("language", call.language, "language"),
        ("class", call.class_, "service_class"),
        ("prefers", call.prefers, "preferred_agent"),
        ("no_answer", call.no_answer, "no_answer"),
        ("wants", "-" if call.wants == "none" else call.wants, "survey"),
    ):
        found = getattr(handed, part) if handed is not None else ""
        if wanted is not None and wanted != found:
            wrong.append(f"{name} is {found!r}; expected {wanted!r}")
    was_answered = not call.early or any(isinstance(output, AnswerCall) for output in heard.outputs)
    if call.answered is not None and call.answered != was_answered:
        wrong.append(f"answered: {was_answered}; expected {call.answered}")
    rated: dict[str, int | str] = {r.question: "said" if r.said_ms else r.score for r in heard.rated}
    if call.rates is not None and rated != call.rates:
        wrong.append(f"rates {rated}; expected {call.rates}")
    return wrong
