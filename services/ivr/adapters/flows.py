"""Center documents to the interpreter's plans."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from services.center import flow as document
from services.center import flow_edges
from services.center.callers import normal
from services.center.flow_speech import FaqNode, ListenNode, SpeakNode
from services.center.flow_survey import CommentNode, RateNode, SurveyNode
from services.center.flow_web import HttpNode, LookupNode
from services.center.hours import exceptions
from services.center.model import Center, EntryPoint, period, weekdays
from services.center.web import Request, ValueAt
from services.center.words import Skills
from services.ivr.adapters import speech_flows
from services.ivr.core import nodes as core
from services.ivr.core import web
from services.ivr.core.hours import Calendar, Periods


def flows_of(center: Center) -> dict[str, core.Flow]:
    """Return all flows of a center, complete with calendars and the queues' priorities."""
    hidden = flow_edges.secrets(center.flows)
    return {
        name: core.Flow(
            name=name,
            start=flow.start,
            nodes={
                name: part
                for key, node in flow.nodes.items()
                for name, part in _parts(center, key, node, hidden).items()
            },
            version=flow.version,
        )
        for name, flow in center.flows.items()
    }


def plan_of(center: Center, entry: EntryPoint, flows: Mapping[str, core.Flow]) -> core.Plan:
    """Return what a call to an entry point runs; ``flows`` are all of the center."""
    fallback = core.ToQueue(entry.fallback_queue, center.queues[entry.fallback_queue].priority)
    return core.Plan(flows, entry.flow, fallback)


def survey_plan(name: str, flows: Mapping[str, core.Flow]) -> core.Plan:
    """Return what a caller goes through after a conversation."""
    return core.Plan(flows, name, None)


def calendar_of(center: Center, name: str) -> Calendar:
    """Return a calendar with its zone and minutes."""
    calendar = center.calendars[name]
    by_day = {day: _periods(periods) for key, periods in calendar.open.items() for day in weekdays(key)}
    dates: dict[dt.date, Periods] = {day: _periods(periods) for day, periods in exceptions(calendar).items()}
    zone = ZoneInfo(calendar.timezone or center.timezone)
    return Calendar(zone, by_day, dates, calendar.emergency)


def _periods(texts: list[str]) -> Periods:
    return tuple(period(text) for text in texts)


def _parts(
    center: Center, name: str, node: document.AnyNode, hidden: frozenset[str]
) -> Mapping[str, core.Node]:
    """A node of a document as the nodes that do it: one, but for questions with their answers."""
    return speech_flows.faq(name, node) if isinstance(node, FaqNode) else {name: _node(center, node, hidden)}


def _node(center: Center, node: document.AnyNode, hidden: frozenset[str]) -> core.Node:
    assert not isinstance(node, FaqNode)
    match node:
        case document.PlayNode():
            return core.Play(tuple(node.prompts), node.then, node.skip, node.otherwise)
        case document.SayNode():
            detail = node.currency or node.calendar or ""
            return core.Say(node.say, node.as_, node.then, detail, node.otherwise)
        case (
            document.MenuNode()
            | document.ConfirmNode()
            | document.AskNode()
            | document.LanguageNode()
            | RateNode()
        ):
            return _listening(node)
        case document.BranchNode():
            return core.Branch(
                variable=node.branch,
                is_=dict(node.is_),
                begins=dict(node.begins),
                between=tuple((*document.bounds(text), to) for text, to in node.between.items()),
                otherwise=node.otherwise,
                secret=node.branch in hidden,
            )
        case document.LookNode():
            longest_ms = None if node.longest_over_s is None else node.longest_over_s * 1000
            return core.Look(
                node.look, node.then, node.otherwise, node.waiting_over, longest_ms, node.ready_under
            )
        case document.SplitNode():
            return core.Split(tuple(node.split.items()))
        case document.SetNode():
            return core.Assign(dict(node.set), node.then)
        case HttpNode():
            status = {int(code): to for code, to in node.status.items()}
            return core.AskWeb(request_of(node, node.into), node.then, node.otherwise, status)
        case LookupNode():
            return _look_up(center, node)
        case SurveyNode():
            return core.WishSurvey(node.survey or "-", node.then)
        case CommentNode():
            return core.TakeAnswer(node.comment, node.question, node.most_s, node.silence_s, node.then)
        case document.HoursNode():
            emergency = node.emergency or node.closed
            return core.Hours(calendar_of(center, node.hours), node.open, node.closed, emergency)
        case document.RecordNode():
            return core.TakeMessage(
                prompt=node.record,
                queue=node.queue,
                most_s=node.most_s,
                silence_s=node.silence_s,
                least_ms=node.least_s * 1000,
                then=node.then,
                otherwise=node.otherwise,
            )
        case SpeakNode() | ListenNode():
            return speech_flows.one(node)
        case _:
            return _end(center, node)


def _listening(
    node: document.MenuNode | document.ConfirmNode | document.AskNode | document.LanguageNode | RateNode,
) -> core.Listening:
    tries, timeout_ms = node.retries + 1, node.timeout_s * 1000
    match node:
        case document.MenuNode():
            gap_ms = (node.gap_s or 0) * 1000
            return core.Menu(
                node.menu, dict(node.digits), node.otherwise, timeout_ms, tries, node.invalid, gap_ms
            )
        case document.ConfirmNode():
            return core.Menu(
                prompt=node.confirm,
                digits={document.YES: node.yes, document.NO: node.no},
                otherwise=node.otherwise,
                timeout_ms=timeout_ms,
                tries=tries,
                invalid=node.invalid,
                answers={document.YES: "yes", document.NO: "no"},
            )
        case RateNode():
            return core.Menu(
                prompt=node.rate,
                digits={str(number): node.then for number in range(node.least, node.most + 1)},
                otherwise=node.otherwise,
                timeout_ms=timeout_ms,
                tries=tries,
                invalid=node.invalid,
                question=node.question,
                least=node.least,
                most=node.most,
            )
        case document.LanguageNode():
            otherwise = node.otherwise or node.then
            return core.ChooseLanguage(
                node.language, dict(node.digits), timeout_ms, tries, node.then, otherwise
            )
        case document.AskNode():
            return core.Ask(
                prompt=node.ask,
                into=node.into,
                min_digits=node.min_digits,
                max_digits=node.max_digits,
                timeout_ms=timeout_ms,
                tries=tries,
                then=node.then,
                otherwise=node.otherwise,
                ends_with=node.ends_with,
                gap_ms=(node.gap_s or 0) * 1000,
                patterns=tuple(tuple(document.places(pattern)) for pattern in node.patterns),
                luhn=node.luhn,
                secret=node.secret,
                invalid=node.invalid,
            )


def request_of(node: Request, into: Mapping[str, str | ValueAt]) -> web.Request:
    """Return a request with the values that it wants."""
    wanted = tuple(
        web.Wanted(variable, value)
        if isinstance(value, str)
        else web.Wanted(variable, value.path, value.default)
        for variable, value in into.items()
    )
    return web.Request(
        service=node.http,
        path=node.path,
        wanted=wanted,
        method=node.method,
        headers=tuple(node.headers.items()),
        body=node.body,
        timeout_ms=node.timeout_s * 1000,
        tries=node.retries + 1,
    )


def _look_up(center: Center, node: LookupNode) -> core.LookUp:
    country = center.country_code or ""
    asked = center.customer_lookup
    return core.LookUp(
        variable=node.lookup,
        customers={
            normal(number, country): web.Customer(
                customer=known.customer or "",
                name=known.name or "",
                service_class=known.class_ or "",
                agent=known.agent or "",
                language=known.language or "",
            )
            for number, known in center.customers.items()
        },
        then=node.then,
        otherwise=node.otherwise,
        country=country,
        languages=frozenset(center.languages),
        request=request_of(asked, {str(name): value for name, value in asked.into.items()})
        if asked is not None
        else None,
    )


def _end(
    center: Center,
    node: document.QueueNode
    | document.AgentNode
    | document.CallbackNode
    | document.TransferNode
    | document.FlowNode
    | document.CallNode
    | document.ReturnNode
    | document.AnswerNode
    | document.HangupNode,
) -> core.Node:
    match node:
        case document.QueueNode():
            return core.ToQueue(
                node.queue,
                _priority(center, node.queue, node.priority),
                _skills(node.skills),
                node.class_ or "",
                node.prefer or "",
            )
        case document.AgentNode():
            return core.ToAgent(
                node.agent,
                node.to,
                _priority(center, node.to, node.priority),
                node.wait_s * 1000,
                node.away,
                node.busy or "",
                node.no_answer.text if node.no_answer is not None else "",
            )
        case document.CallbackNode():
            priority = _priority(center, node.callback, node.priority)
            return core.ToQueue(node.callback, priority, _skills(node.skills), callback=True)
        case document.TransferNode():
            return core.ToNumber(node.transfer, node.otherwise)
        case document.FlowNode():
            return core.GoTo(node.flow)
        case document.AnswerNode():
            return core.Answer(node.then)
        case document.CallNode():
            return core.CallFlow(node.call, dict(node.with_), dict(node.then))
        case document.ReturnNode():
            return core.Return(node.return_)
        case document.HangupNode():
            return core.Hangup(node.as_ or "done")


def _priority(center: Center, queue: str, own: int | None) -> int:
    return center.queues[queue].priority if own is None else own


def _skills(skills: Skills) -> tuple[str, ...]:
    return tuple(f"{skill}:{level}" for skill, level in skills.items())
