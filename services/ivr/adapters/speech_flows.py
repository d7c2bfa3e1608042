"""Nodes of a document that speak and understand, as the interpreter runs them.

Questions with their answers are a small flow of their own: ``faq`` asks, ``faq/<name>`` answers, ``faq/more`` asks whether there is anything
else. No name of a document has a slash, and reports show which answers were given.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.center.flow_speech import Answer, FaqNode, ListenNode, Phrases, SpeakNode
from services.ivr.core import nodes as core


def one(node: SpeakNode | ListenNode) -> core.Node:
    """Return a text that is spoken, or a choice by words or keys."""
    if isinstance(node, SpeakNode):
        return core.Speak(dict(node.speak), node.then, node.otherwise, node.skip)
    return core.Listen(
        prompt=node.listen,
        phrases=_by_language(node.hears.items()),
        digits=dict(node.digits),
        otherwise=node.otherwise,
        timeout_ms=node.timeout_s * 1000,
        tries=node.retries + 1,
        most_ms=node.most_s * 1000,
        interrupt=node.interrupt,
        invalid=node.invalid,
    )


def faq(name: str, node: FaqNode) -> dict[str, core.Node]:
    """Return the nodes of questions with their answers."""
    at = {answer: f"{name}/{answer}" for answer in node.answers}
    more = f"{name}/more"
    hears = [(at[answer], said.asked) for answer, said in node.answers.items()]
    ways = [(way.to, way.says) for way in (node.person, node.done)]
    question = core.Listen(
        prompt=node.faq,
        phrases=_by_language([*hears, *ways]),
        digits={
            **{said.key: at[answer] for answer, said in node.answers.items()},
            **{way.key: way.to for way in (node.person, node.done)},
        },
        otherwise=node.otherwise,
        timeout_ms=node.timeout_s * 1000,
        tries=node.retries + 1,
        most_ms=node.most_s * 1000,
        invalid=node.invalid,
    )
    again = msgspec.structs.replace(question, prompt=node.more, otherwise=node.person.to, silent=node.done.to)
    answers = {at[key]: _answer(answer, more, node.person.to) for key, answer in node.answers.items()}
    return {name: question, **answers, more: again}


def _answer(answer: Answer, then: str, otherwise: str) -> core.Node:
    if answer.speak is not None:
        return core.Speak(dict(answer.speak), then, otherwise, skip=True)
    return core.Play((answer.play or "",), then, skip=True, otherwise=otherwise)


def _by_language(hears: Iterable[tuple[str, Phrases]]) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for to, phrases in hears:
        for language, spoken in phrases.items():
            ways = found.setdefault(language, {})
            ways[to] = (*ways.get(to, ()), *spoken)
    return found
