"""Ways through the flows: every node can be reached, every caller reaches an end, whatever is read was set.

Theory of operation. Three promises are checked, each over all flows together, because flows lead into each other:

*A caller who does nothing reaches an end.* Edges that need no key (``then``, ``open``, ``otherwise`` ...) must form no cycle, also not
through other flows; edges that need a key may, because every round costs the caller a key press and the interpreter bounds rounds and
time. A node without a silent edge is an end, so what has no cycle ends. What a called flow does is put into a summary first: by which of
its returns a silent caller comes back, and into which flows it may go on for good. Flows that call each other in a circle have no summary
and are refused.

*Every node can be reached*, else somebody has forgotten an edge.

*A variable is read only where every way to it has set it.* The sets of variables that are surely set flow along the edges and are
intersected where edges meet (a forward must-analysis); what a called flow surely sets before a return is part of its summary.

Pure; yields faults as (path, message).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.center import speech_check, web_check
from services.center.flow import (
    BUILT_IN_VARIABLES,
    AgentNode,
    AnyNode,
    AskNode,
    BranchNode,
    CallNode,
    Flow,
    FlowNode,
    QueueNode,
    ReturnNode,
    SayNode,
    SetNode,
    kind_of,
)
from services.center.flow_edges import Fault, asks, returns, unknown, ways
from services.center.flow_speech import FaqNode, SpeakNode
from services.center.flow_web import LOOKED_UP, HttpNode, LookupNode
from services.center.source import Path


@dataclass
class _Summary:
    """What a call of a flow may lead to: of a silent caller, and of any."""

    returns: set[str] = field(default_factory=set)
    silent_returns: set[str] = field(default_factory=set)
    silent_exits: set[str] = field(default_factory=set)
    """Flows into which a silent caller may go on for good."""
    sets: dict[str, frozenset[str]] = field(default_factory=dict)
    """Variables that are surely set, by return."""


def faults(flows: Mapping[str, Flow]) -> Iterator[Fault]:
    """Yield every fault of the ways through all flows."""
    circle = _circle(flows)
    if circle is not None:
        yield circle
        return
    summaries = _summaries(flows)
    for name, flow in flows.items():
        yield from _unreached(name, flow, summaries)
        yield from _unset(name, flow, summaries)
    yield from _silent_cycles(flows, summaries)


def _circle(flows: Mapping[str, Flow]) -> Fault | None:
    """Flows that call each other in a circle: a caller could go deeper and deeper."""
    for root in flows:
        trail = [root]
        stack = [iter(_calls(flows[root]))]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                trail.pop()
                continue
            node, called = step
            if called == root:
                path = ("flows", trail[-1], "nodes", node, "call")
                return path, f"flows call each other in a circle: {' -> '.join([*trail, root])}"
            if called in flows and called not in trail:
                trail.append(called)
                stack.append(iter(_calls(flows[called])))
    return None


def _calls(flow: Flow) -> list[tuple[str, str]]:
    return [(name, node.call) for name, node in flow.nodes.items() if isinstance(node, CallNode)]


def _summaries(flows: Mapping[str, Flow]) -> dict[str, _Summary]:
    """Called flows come before those that call them; there is no circle."""
    done: dict[str, _Summary] = {}
    todo = list(flows)
    while todo:
        name = todo[-1]
        if name in done:
            todo.pop()
            continue
        missing = [called for _, called in _calls(flows[name]) if called in flows and called not in done]
        if missing:
            todo += missing
            continue
        todo.pop()
        done[name] = _summary(flows[name], done)
    return done


def _summary(flow: Flow, done: Mapping[str, _Summary]) -> _Summary:
    summary = _Summary()
    for name in _reach(flow, done, silent=False):
        node = flow.nodes[name]
        if isinstance(node, ReturnNode):
            summary.returns.add(node.return_)
    for name in _reach(flow, done, silent=True):
        match flow.nodes[name]:
            case ReturnNode() as end:
                summary.silent_returns.add(end.return_)
            case FlowNode() as on:
                summary.silent_exits.add(on.flow)
            case CallNode() as call if call.call in done:
                summary.silent_exits |= done[call.call].silent_exits
    known = _known(flow, done)
    for back, nodes in returns(flow).items():
        sets = [known[name] for name in nodes if name in known]
        if sets:
            summary.sets[back] = frozenset.intersection(*sets) - set(BUILT_IN_VARIABLES)
    return summary


def _edges(node: AnyNode, done: Mapping[str, _Summary], *, silent: bool) -> list[tuple[Path, str]]:
    """The edges that may be taken, by a silent caller or by any."""
    if isinstance(node, CallNode) and node.call in done:
        called = done[node.call]
        names = called.silent_returns if silent else called.returns
        return [(way, to) for way, to, _ in ways(node) if way[1] in names]
    return [(way, to) for way, to, keyed in ways(node) if not (silent and keyed)]


def _reach(flow: Flow, done: Mapping[str, _Summary], *, silent: bool) -> set[str]:
    if flow.start not in flow.nodes:
        return set()
    reached, todo = {flow.start}, [flow.start]
    while todo:
        for _, target in _edges(flow.nodes[todo.pop()], done, silent=silent):
            if target in flow.nodes and target not in reached:
                reached.add(target)
                todo.append(target)
    return reached


def _unreached(name: str, flow: Flow, done: Mapping[str, _Summary]) -> Iterator[Fault]:
    if flow.start not in flow.nodes:
        return
    reached = _reach(flow, done, silent=False)
    for node in flow.nodes:
        if node not in reached:
            yield ("flows", name, "nodes", node), f'node "{node}" is never reached from "{flow.start}"'


def _known(flow: Flow, done: Mapping[str, _Summary]) -> dict[str, frozenset[str]]:
    """The variables that are surely set when a node is entered, for every node that can be."""
    if flow.start not in flow.nodes:
        return {}
    known = {flow.start: frozenset(BUILT_IN_VARIABLES) | set(flow.takes)}
    todo = [flow.start]
    while todo:
        name = todo.pop()
        node = flow.nodes[name]
        for way, target in _edges(node, done, silent=False):
            if target not in flow.nodes:
                continue
            after = known[name] | _sets(node, way, done)
            before = known.get(target)
            merged = after if before is None else before & after
            if merged != before:
                known[target] = merged
                todo.append(target)
    return known


def _sets(node: AnyNode, way: Path, done: Mapping[str, _Summary]) -> frozenset[str]:
    """The variables that a node sets on one of its edges."""
    match node:
        case AskNode() if way == ("then",):
            return frozenset((node.into,))
        case SetNode():
            return frozenset(node.set)
        case HttpNode() if way == ("then",):
            return frozenset(node.into)
        case LookupNode() if way == ("then",):
            return frozenset(LOOKED_UP)
        case CallNode():
            called = done.get(node.call, _Summary())
            return frozenset(node.with_) | called.sets.get(str(way[1]), frozenset())
    return frozenset()


def _reads(node: AnyNode) -> Iterator[tuple[Path, str]]:
    match node:
        case SayNode() if node.say[:1].isalpha():
            yield ("say",), node.say
        case BranchNode():
            yield ("branch",), node.branch
        case HttpNode():
            yield from web_check.read_by(node)
        case LookupNode():
            yield ("lookup",), node.lookup
        case AgentNode() if node.agent.startswith("$"):
            yield ("agent",), node.agent[1:]
        case QueueNode():
            for at, name in (("class", node.class_), ("prefer", node.prefer)):
                if name is not None and name.startswith("$"):
                    yield (at,), name[1:]
        case SpeakNode() | FaqNode():
            yield from speech_check.reads(node)
        case SetNode() | CallNode():
            key, values = ("set", node.set) if isinstance(node, SetNode) else ("with", node.with_)
            for variable, value in values.items():
                if value.startswith("$"):
                    yield (key, variable), value[1:]


def _unset(name: str, flow: Flow, done: Mapping[str, _Summary]) -> Iterator[Fault]:
    known = _known(flow, done)
    somewhere = set(BUILT_IN_VARIABLES) | set(flow.takes)
    for node in flow.nodes.values():
        for way, _, _ in ways(node):
            somewhere |= _sets(node, way, done)
    for node_name, node in flow.nodes.items():
        for path, variable in _reads(node):
            at: Path = ("flows", name, "nodes", node_name, *path)
            if variable not in somewhere:
                yield at, unknown("variable", variable, somewhere)
            elif node_name in known and variable not in known[node_name]:
                yield at, f'variable "{variable}" is not set on every way to "{node_name}"'


_At = tuple[str, str]


def _silent_cycles(flows: Mapping[str, Flow], done: Mapping[str, _Summary]) -> Iterator[Fault]:
    """Depth-first search over the ways without a key, iteratively: documents may be long chains."""

    def silent(at: _At) -> list[tuple[Path, _At]]:
        flow = flows[at[0]]
        node = flow.nodes[at[1]]
        found: list[tuple[Path, _At]] = [
            (way, (at[0], to)) for way, to in _edges(node, done, silent=True) if to in flow.nodes
        ]
        exits: Iterable[str] = ()
        if isinstance(node, FlowNode):
            exits = (node.flow,)
        elif isinstance(node, CallNode) and node.call in done:
            exits = sorted(done[node.call].silent_exits)
        found += [
            ((kind_of(node),), (on, flows[on].start))
            for on in exits
            if on in flows and flows[on].start in flows[on].nodes
        ]
        return found

    finished: set[_At] = set()
    for root in [(name, node) for name, flow in flows.items() for node in flow.nodes]:
        trail: list[_At] = []
        on_trail: set[_At] = set()
        stack: list[tuple[_At, Iterator[tuple[Path, _At]]]] = []

        def enter(
            at: _At,
            trail: list[_At] = trail,
            on_trail: set[_At] = on_trail,
            stack: list[tuple[_At, Iterator[tuple[Path, _At]]]] = stack,
        ) -> None:
            trail.append(at)
            on_trail.add(at)
            stack.append((at, iter(silent(at))))

        if root not in finished:
            enter(root)
        while stack:
            at, edges = stack[-1]
            step = next(edges, None)
            if step is None:
                stack.pop()
                trail.pop()
                on_trail.discard(at)
                finished.add(at)
                continue
            way, target = step
            if target in on_trail:
                yield ("flows", at[0], "nodes", at[1], *way), _goes_round(flows, trail, target)
            elif target not in finished:
                enter(target)


def _goes_round(flows: Mapping[str, Flow], trail: list[_At], target: _At) -> str:
    loop = [*trail[trail.index(target) :], target]
    if len(loop) == 2 and asks(flows[target[0]].nodes[target[1]]):
        return (
            f'"{target[1]}" has no way out for a caller who presses nothing: otherwise leads back to itself'
        )
    within = len({flow for flow, _ in loop}) == 1
    words = [node if within else f"{flow}.{node}" for flow, node in loop]
    return f"a caller who presses nothing goes round: {' -> '.join(words)}"
