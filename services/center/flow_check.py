"""What must hold in the flows of a center document: every edge leads somewhere, every caller reaches an end, whatever is read was set.

Theory of operation. Four promises are checked, each over all flows together, because flows lead into each other:

*A caller who does nothing reaches an end.* Edges that need no key (``then``, ``open``, ``otherwise`` ...) must form no cycle, also not
through other flows; edges that need a key may, because every round costs the caller a key press and the interpreter bounds rounds and
time. A node without a silent edge is an end, so what has no cycle ends. What a called flow does is put into a summary first: by which of
its returns a silent caller comes back, and into which flows it may go on for good. Flows that call each other in a circle have no summary
and are refused.

*Every node can be reached*, else somebody has forgotten an edge.

*A variable is read only where every way to it has set it.* The sets of variables that are surely set flow along the edges and are
intersected where edges meet (a forward must-analysis); what a called flow surely sets before a return is part of its summary.

*Whatever the caller does matches one edge.* Two choices of a menu of which one begins with the other are refused unless the menu says
how long to wait (``gap_s``); so are conditions of a branch that overlap.

Pure; yields faults as (path, message).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.center.flow import (
    BUILT_IN_VARIABLES,
    AnyNode,
    AskNode,
    BranchNode,
    CallbackNode,
    CallNode,
    ConfirmNode,
    Flow,
    FlowNode,
    HoursNode,
    LanguageNode,
    LookNode,
    MenuNode,
    PlayNode,
    QueueNode,
    RecordNode,
    ReturnNode,
    SayNode,
    SetNode,
    SplitNode,
    TransferNode,
    bounds,
    kind_of,
)
from services.center.model import CenterDocument
from services.center.source import Path

Fault = tuple[Path, str]
Way = tuple[Path, str, bool]
"""One edge: path below the node, node it leads to, whether the caller must press a key to take it."""


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """The message about a name that nothing has."""
    if not known:
        return f'unknown {kind} "{name}"; none is declared under {kind}s'
    return f'unknown {kind} "{name}"; expected one of {", ".join(sorted(known))}'


def ways(node: AnyNode) -> list[Way]:
    """Return the edges of a node within its flow. Those of a call are silent here: only the called flow can tell."""
    match node:
        case PlayNode() | SayNode() | SetNode():
            return [(("then",), node.then, False)]
        case MenuNode():
            keyed: list[Way] = [(("digits", key), to, True) for key, to in node.digits.items()]
            return [*keyed, (("otherwise",), node.otherwise, False)]
        case AskNode():
            return [(("then",), node.then, True), (("otherwise",), node.otherwise, False)]
        case ConfirmNode():
            answers: list[Way] = [(("yes",), node.yes, True), (("no",), node.no, True)]
            return [*answers, (("otherwise",), node.otherwise, False)]
        case LanguageNode():
            silent: Way = (("then",), node.then, False)
            if node.otherwise is not None:
                return [(("then",), node.then, True), (("otherwise",), node.otherwise, False)]
            return [silent]
        case HoursNode():
            emergency: list[Way] = [(("emergency",), node.emergency, False)] if node.emergency else []
            return [(("open",), node.open, False), (("closed",), node.closed, False), *emergency]
        case BranchNode():
            found: list[Way] = []
            for name, edges in (("is", node.is_), ("begins", node.begins), ("between", node.between)):
                found += [((name, value), to, False) for value, to in edges.items()]
            return [*found, (("otherwise",), node.otherwise, False)]
        case LookNode() | RecordNode():
            return [(("then",), node.then, False), (("otherwise",), node.otherwise, False)]
        case SplitNode():
            return [(("split", to), to, False) for to in node.split]
        case CallNode():
            return [(("then", name), to, False) for name, to in node.then.items()]
        case TransferNode(otherwise=str(otherwise)):
            return [(("otherwise",), otherwise, False)]
    return []


def prompts_of(node: AnyNode) -> Iterator[tuple[Path, str]]:
    """Yield where a node names a prompt, with the prompt."""
    match node:
        case PlayNode():
            for i, prompt in enumerate(node.prompts):
                yield ("play",) if isinstance(node.play, str) else ("play", i), prompt
        case MenuNode() | AskNode() | ConfirmNode() | LanguageNode() | RecordNode():
            kind = kind_of(node)
            yield (kind,), getattr(node, kind)
    if isinstance(node, MenuNode | AskNode | ConfirmNode) and node.invalid is not None:
        yield ("invalid",), node.invalid


def asks(node: AnyNode) -> bool:
    """Whether a caller is expected to press keys after the node's prompt, or during it."""
    return isinstance(node, MenuNode | AskNode | ConfirmNode | LanguageNode)


def returns(flow: Flow) -> dict[str, list[str]]:
    """The names by which a flow returns, each with the nodes that do."""
    found: dict[str, list[str]] = {}
    for name, node in flow.nodes.items():
        if isinstance(node, ReturnNode):
            found.setdefault(node.return_, []).append(name)
    return found


def secrets(flows: Mapping[str, Flow]) -> frozenset[str]:
    """The variables that hold secret input."""
    nodes = (node for flow in flows.values() for node in flow.nodes.values())
    return frozenset(node.into for node in nodes if isinstance(node, AskNode) and node.secret)


def faults(document: CenterDocument) -> Iterator[Fault]:
    """Yield every fault of the flows, and of the entry points that name them."""
    flows = document.flows
    hidden = secrets(flows)
    for name, flow in flows.items():
        for path, message in _references(document, flow, hidden):
            yield ("flows", name, *path), message
    for number, entry in document.entry_points.items():
        if (begun := flows.get(entry.flow)) is not None:
            for message in _not_by_itself(entry.flow, begun):
                yield ("entry_points", number, "flow"), message
    circle = _circle(flows)
    if circle is not None:
        yield circle
        return
    summaries = _summaries(flows)
    for name, flow in flows.items():
        yield from _unreached(name, flow, summaries)
        yield from _unset(name, flow, summaries)
    yield from _silent_cycles(flows, summaries)


# -- each node by itself -----------------------------------------------------------------------------------------------


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
        case CallNode():
            yield from _values(document, ("with",), node.with_, hidden)
            yield from _call(document.flows, node)
        case FlowNode():
            if node.flow not in document.flows:
                yield ("flow",), unknown("flow", node.flow, document.flows)
            else:
                for message in _not_by_itself(node.flow, document.flows[node.flow]):
                    yield ("flow",), message
        case MenuNode():
            yield from _choices(node)
        case BranchNode():
            yield from _overlaps(node)


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
        if node.prefer not in document.agents:
            yield ("prefer",), unknown("agent", node.prefer, document.agents)
    if node.class_ is not None and node.class_ not in document.routing.classes:
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


def _not_by_itself(name: str, flow: Flow) -> Iterator[str]:
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


# -- flows together ----------------------------------------------------------------------------------------------------


@dataclass
class _Summary:
    """What a call of a flow may lead to: of a silent caller, and of any."""

    returns: set[str] = field(default_factory=set)
    silent_returns: set[str] = field(default_factory=set)
    silent_exits: set[str] = field(default_factory=set)
    """Flows into which a silent caller may go on for good."""
    sets: dict[str, frozenset[str]] = field(default_factory=dict)
    """Variables that are surely set, by return."""


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
