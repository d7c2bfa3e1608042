"""What a node of a flow leads to, plays and waits for: what every reader of a flow has to know of each kind of node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from services.center import speech_check
from services.center.flow import (
    AgentNode,
    AnswerNode,
    AnyNode,
    AskNode,
    BranchNode,
    CallNode,
    ConfirmNode,
    Flow,
    HoursNode,
    LanguageNode,
    LookNode,
    MenuNode,
    PlayNode,
    RecordNode,
    ReturnNode,
    SayNode,
    SetNode,
    SplitNode,
    TransferNode,
    kind_of,
)
from services.center.flow_speech import FaqNode, ListenNode, SpeakNode
from services.center.flow_survey import CommentNode, RateNode, SurveyNode
from services.center.flow_web import HttpNode, LookupNode
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
        case PlayNode(otherwise=str(unheard)) | SayNode(otherwise=str(unheard)):
            return [(("then",), node.then, False), (("otherwise",), unheard, False)]
        case PlayNode() | SayNode() | SetNode() | SurveyNode() | CommentNode():
            return [(("then",), node.then, False)]
        case SpeakNode() | ListenNode() | FaqNode():
            return speech_check.ways(node)
        case MenuNode():
            keyed: list[Way] = [(("digits", key), to, True) for key, to in node.digits.items()]
            return [*keyed, (("otherwise",), node.otherwise, False)]
        case AskNode() | RateNode():
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
        case AnswerNode():
            return [(("then",), node.then, False)]
        case AgentNode():
            busy: list[Way] = [(("busy",), node.busy, False)] if node.busy else []
            return [*busy, (("away",), node.away, False)]
        case HttpNode():
            told: list[Way] = [(("status", status), to, False) for status, to in node.status.items()]
            return [(("then",), node.then, False), *told, (("otherwise",), node.otherwise, False)]
        case LookNode() | RecordNode() | LookupNode():
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
        case (
            MenuNode()
            | AskNode()
            | ConfirmNode()
            | LanguageNode()
            | RecordNode()
            | RateNode()
            | CommentNode()
        ):
            kind = kind_of(node)
            yield (kind,), getattr(node, kind)
        case ListenNode() | FaqNode():
            yield from speech_check.prompts_of(node)
    if isinstance(node, MenuNode | AskNode | ConfirmNode | RateNode) and node.invalid is not None:
        yield ("invalid",), node.invalid


def asks(node: AnyNode) -> bool:
    """Whether a caller is expected to press keys after the node's prompt, or during it."""
    return isinstance(node, MenuNode | AskNode | ConfirmNode | LanguageNode | RateNode | ListenNode | FaqNode)


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
