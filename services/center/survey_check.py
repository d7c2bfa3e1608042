"""What must hold in surveys: flows that can begin by themselves, and lead to nobody else.

Pure; yields faults as (path, message), as ``flow_check`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.center.flow import (
    AgentNode,
    CallbackNode,
    CallNode,
    Flow,
    FlowNode,
    QueueNode,
    TransferNode,
    kind_of,
)
from services.center.flow_check import not_by_itself
from services.center.flow_edges import Fault, unknown
from services.center.flow_survey import SurveyNode
from services.center.model import CenterDocument

_LEAVES = (QueueNode, AgentNode, CallbackNode, TransferNode, SurveyNode)
"""What a survey has no use for: its contact is over."""


def surveys(document: CenterDocument) -> Iterator[Fault]:
    """Flows that are asked after a conversation can begin by themselves, and lead to nobody else."""
    for name, queue in document.queues.items():
        if queue.survey is not None:
            for message in _survey(document.flows, queue.survey.flow):
                yield ("queues", name, "survey", "flow"), message
    for name, flow in document.flows.items():
        for key, node in flow.nodes.items():
            if isinstance(node, SurveyNode) and isinstance(node.survey, str):
                for message in _survey(document.flows, node.survey):
                    yield ("flows", name, "nodes", key, "survey"), message


def _survey(flows: Mapping[str, Flow], name: str) -> Iterator[str]:
    if name not in flows:
        yield unknown("flow", name, flows)
        return
    yield from not_by_itself(name, flows[name])
    seen, todo = {name}, [name]
    while todo:
        at = todo.pop()
        for key, node in flows[at].nodes.items():
            if isinstance(node, _LEAVES):
                yield f'flow "{at}" has a {kind_of(node)} ("{key}"): a survey is asked of a caller whose contact is over'
            to = node.call if isinstance(node, CallNode) else node.flow if isinstance(node, FlowNode) else ""
            if to in flows and to not in seen:
                seen.add(to)
                todo.append(to)
