"""What must hold in the flows of a center document, node by node; ``flow_paths`` has what must hold on the ways between them.

Every name is known, every prompt is there in each language, and *whatever the caller does matches one edge*: two choices of a menu of
which one begins with the other are refused unless the menu says how long to wait (``gap_s``); so are conditions of a branch that overlap.

Pure; yields faults as (path, message).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.center import flow_paths, speech_check, web_check
from services.center.flow import (
    BUILT_IN_VARIABLES,
    AgentNode,
    AnyNode,
    AskNode,
    BranchNode,
    CallbackNode,
    CallNode,
    Flow,
    FlowNode,
    HoursNode,
    LanguageNode,
    LookNode,
    MenuNode,
    QueueNode,
    RecordNode,
    SayNode,
    SetNode,
    bounds,
    kind_of,
)
from services.center.flow_edges import Fault, returns, secrets, unknown, ways
from services.center.flow_speech import FaqNode, ListenNode, SpeakNode
from services.center.flow_web import HttpNode, LookupNode
from services.center.model import CenterDocument
from services.center.source import Path


def faults(document: CenterDocument) -> Iterator[Fault]:
    """Yield every fault of the flows, and of the entry points that name them."""
    flows = document.flows
    hidden = secrets(flows)
    for name, flow in flows.items():
        for path, message in _references(document, flow, hidden):
            yield ("flows", name, *path), message
    for number, entry in document.entry_points.items():
        if (begun := flows.get(entry.flow)) is not None:
            for message in not_by_itself(entry.flow, begun):
                yield ("entry_points", number, "flow"), message
    yield from flow_paths.faults(flows)


def _references(document: CenterDocument, flow: Flow, hidden: frozenset[str]) -> Iterator[Fault]:
    if flow.start not in flow.nodes:
        yield ("start",), unknown("node", flow.start, flow.nodes)
    if flow.language is not None and flow.language not in document.languages:
        yield ("language",), unknown("language", flow.language, document.languages)
    for i, variable in enumerate(flow.takes):
        if variable in BUILT_IN_VARIABLES or variable in flow.takes[:i]:
            yield ("takes", i), f'variable "{variable}" is set by the call itself, or named twice'
    for name, node in flow.nodes.items():
        for way, target, _ in ways(node):
            if target not in flow.nodes:
                yield ("nodes", name, *way), unknown("node", target, flow.nodes)
        for path, message in _node(document, node, hidden):
            yield ("nodes", name, *path), message


def _node(document: CenterDocument, node: AnyNode, hidden: frozenset[str]) -> Iterator[Fault]:
    match node:
        case HoursNode():
            if node.hours not in document.calendars:
                yield ("hours",), unknown("calendar", node.hours, document.calendars)
        case QueueNode() | CallbackNode():
            yield from _queued(document, node)
        case AgentNode():
            yield from _agent(document, node)
        case RecordNode() if node.queue not in document.queues:
            yield ("queue",), unknown("queue", node.queue, document.queues)
        case LookNode() if node.look not in document.queues:
            yield ("look",), unknown("queue", node.look, document.queues)
        case LanguageNode():
            chosen: dict[str, str] = {}
            for key, language in node.digits.items():
                if language not in document.languages:
                    yield ("digits", key), unknown("language", language, document.languages)
                elif language in chosen:
                    yield (
                        ("digits", key),
                        f'"{language}" is chosen by {chosen[language]} already',
                    )
                chosen.setdefault(language, key)
        case SayNode() if node.say in hidden:
            yield ("say",), f'variable "{node.say}" is secret and cannot be read out'
        case AskNode():
            if node.into in BUILT_IN_VARIABLES:
                yield ("into",), f'variable "{node.into}" is set by the call itself'
            elif node.into == "customer" and node.secret:
                yield ("secret",), 'variable "customer" goes to the agent and into the reports'
        case SetNode():
            yield from _values(document, ("set",), node.set, hidden)
        case HttpNode():
            yield from web_check.http_node(document, node, hidden)
        case LookupNode() if not web_check.can_look_up(document):
            yield ("lookup",), "nobody is known: neither customers nor customer_lookup is given"
        case CallNode():
            yield from _values(document, ("with",), node.with_, hidden)
            yield from _call(document.flows, node)
        case FlowNode():
            if node.flow not in document.flows:
                yield ("flow",), unknown("flow", node.flow, document.flows)
            else:
                for message in not_by_itself(node.flow, document.flows[node.flow]):
                    yield ("flow",), message
        case MenuNode():
            yield from _choices(node)
        case BranchNode():
            yield from _overlaps(node)
        case SpeakNode() | ListenNode() | FaqNode():
            yield from speech_check.faults(node, document.languages, hidden)


def _agent(document: CenterDocument, node: AgentNode) -> Iterator[Fault]:
    if node.to not in document.queues:
        yield ("to",), unknown("queue", node.to, document.queues)
    if (way := node.no_answer) is not None:
        if way.queue is not None and way.queue not in document.queues:
            yield ("no_answer", "queue"), unknown("queue", way.queue, document.queues)
        elif way.queue == node.to:
            yield ("no_answer", "queue"), "the caller waits in that queue already: leave no_answer out"
        if way.callback and node.to in document.queues and document.queues[node.to].callback is None:
            yield ("no_answer", "callback"), f'callback needs callback settings of queue "{node.to}"'
    if node.agent.startswith("$"):
        return
    if node.agent not in document.agents:
        yield ("agent",), unknown("agent", node.agent, document.agents)
    elif node.to in document.queues and node.to not in document.agents[node.agent].queue_names:
        yield ("to",), f'agent "{node.agent}" does not serve queue "{node.to}"'


def _queued(document: CenterDocument, node: QueueNode | CallbackNode) -> Iterator[Fault]:
    kind = kind_of(node)
    name = node.queue if isinstance(node, QueueNode) else node.callback
    if name not in document.queues:
        yield (kind,), unknown("queue", name, document.queues)
    for skill in node.skills:
        if skill not in document.skills:
            yield ("skills", skill), unknown("skill", skill, document.skills)
    if isinstance(node, CallbackNode):
        if name in document.queues and document.queues[name].callback is None:
            yield (kind,), f'queue "{name}" has no callback settings'
        return
    if node.prefer is not None:
        if name in document.queues and document.queues[name].preferred_s is None:
            yield ("prefer",), f'prefer needs preferred_s in queue "{name}"'
        if node.prefer not in document.agents and not node.prefer.startswith("$"):
            yield ("prefer",), unknown("agent", node.prefer, document.agents)
    if node.class_ and node.class_ not in document.routing.classes and not node.class_.startswith("$"):
        yield ("class",), unknown("class", node.class_, document.routing.classes)


def _values(
    document: CenterDocument, path: Path, values: Mapping[str, str], hidden: frozenset[str]
) -> Iterator[Fault]:
    for variable, value in values.items():
        if variable in ("caller", "entry"):
            yield (*path, variable), f'variable "{variable}" is set by the call itself'
        elif variable == "language" and value not in document.languages:
            yield (*path, variable), unknown("language", value, document.languages)
        if value.startswith("$") and value[1:] in hidden:
            yield (*path, variable), f'variable "{value[1:]}" is secret and cannot be copied'


def not_by_itself(name: str, flow: Flow) -> Iterator[str]:
    """Why a flow can only be called by another."""
    if flow.takes:
        yield f'flow "{name}" takes {", ".join(flow.takes)}: it can only be called'
    if returns(flow):
        yield f'flow "{name}" returns: it can only be called'


def _call(flows: Mapping[str, Flow], node: CallNode) -> Iterator[Fault]:
    called = flows.get(node.call)
    if called is None:
        yield ("call",), unknown("flow", node.call, flows)
        return
    names = returns(called)
    for variable in called.takes:
        if variable not in node.with_:
            yield ("with",), f'flow "{node.call}" takes "{variable}"'
    for variable in node.with_:
        if variable not in called.takes:
            yield ("with", variable), unknown("variable", variable, called.takes)
    if not names:
        yield ("call",), f'flow "{node.call}" never returns; use flow: {node.call}'
        return
    for name in names:
        if name not in node.then:
            yield ("then",), f'flow "{node.call}" may return "{name}", which leads nowhere'
    for name in node.then:
        if name not in names:
            yield ("then", name), unknown("return", name, names)


def _choices(node: MenuNode) -> Iterator[Fault]:
    longer = next(
        ((a, b) for a in node.digits for b in node.digits if a != b and b.startswith(a)),
        None,
    )
    if longer is not None and node.gap_s is None:
        yield (
            ("digits", longer[1]),
            f"who presses {longer[1]} matches {longer[0]} too; gap_s says how long {longer[0]} waits for more keys",
        )
    elif longer is None and node.gap_s is not None:
        yield ("gap_s",), "no choice begins with another one, so nothing is waited for"


def _overlaps(node: BranchNode) -> Iterator[Fault]:
    def fault(path: Path, text: str, other: str) -> Fault:
        return path, f'"{text}" matches two edges: this one and {other}'

    prefixes = list(node.begins)
    for prefix in prefixes:
        for other in prefixes:
            if prefix != other and prefix.startswith(other):
                yield fault(("begins", prefix), prefix, f'begins "{other}"')
    for value in node.is_:
        for prefix in prefixes:
            if value.startswith(prefix):
                yield fault(("is", value), value, f'begins "{prefix}"')
        for text in node.between:
            low, high = bounds(text)
            if value.isascii() and value.isdigit() and low <= int(value) <= high:
                yield fault(("is", value), value, f'between "{text}"')
    ranges = sorted((*bounds(text), text) for text in node.between)
    for i, (low, _, text) in enumerate(ranges):
        for _, before, other in ranges[:i]:
            if low <= before:
                yield fault(("between", text), str(low), f'between "{other}"')
                break
        if prefixes:
            yield ("between", text), 'a number may match "begins" too; use two branch nodes'
