"""What must hold in nodes that speak and understand: every language has its words, every word has a key, no word leads two ways. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.center.flow_speech import Answer, FaqNode, ListenNode, Phrases, SpeakNode, Spoken, Way
from services.center.phrases import normal, places_of
from services.center.source import Path

Fault = tuple[Path, str]
Edge = tuple[Path, str, bool]
"""As in ``flow_edges``: path below the node, node it leads to, whether the caller must do something to take it."""


def ways(node: SpeakNode | ListenNode | FaqNode) -> list[Edge]:
    """The edges of a node."""
    match node:
        case SpeakNode():
            return [(("then",), node.then, False), (("otherwise",), node.otherwise, False)]
        case ListenNode():
            said: list[Edge] = [(("hears", to), to, True) for to in node.hears]
            keyed: list[Edge] = [(("digits", key), to, True) for key, to in node.digits.items()]
            return [*said, *keyed, (("otherwise",), node.otherwise, False)]
        case FaqNode():
            return [
                (("person", "to"), node.person.to, True),
                (("done", "to"), node.done.to, True),
                (("otherwise",), node.otherwise, False),
            ]


def prompts_of(node: ListenNode | FaqNode) -> Iterator[tuple[Path, str]]:
    """Where a node names a prompt, with the prompt."""
    if isinstance(node, ListenNode):
        yield ("listen",), node.listen
    else:
        yield ("faq",), node.faq
        yield ("more",), node.more
        for name, answer in node.answers.items():
            if answer.play is not None:
                yield ("answers", name, "play"), answer.play
    if node.invalid is not None:
        yield ("invalid",), node.invalid


def reads(node: SpeakNode | FaqNode) -> Iterator[tuple[Path, str]]:
    """Where a node reads a variable, with the variable."""
    for path, text in _texts(node):
        for language, line in text.items():
            for name in places_of(line):
                yield (*path, language), name


def faults(
    node: SpeakNode | ListenNode | FaqNode, languages: Sequence[str], hidden: frozenset[str]
) -> Iterator[Fault]:
    """Every fault of a node by itself, in a center with these languages. ``hidden``: variables that are secret."""
    if not isinstance(node, ListenNode):
        for path, text in _texts(node):
            yield from _languages(path, text, languages)
        for path, name in reads(node):
            if name in hidden:
                yield path, f'variable "{name}" is secret and cannot be spoken'
    if isinstance(node, SpeakNode):
        return
    groups = dict(_phrases(node))
    for path, phrases in groups.items():
        yield from _languages(path, phrases, languages)
    yield from _twice(groups)
    if isinstance(node, ListenNode):
        keyed = set(node.digits.values())
        for to in node.hears:
            if to not in keyed:
                yield ("hears", to), f'no key leads to "{to}": whoever is not understood could not go there'


def _texts(node: SpeakNode | FaqNode) -> Iterator[tuple[Path, Spoken]]:
    if isinstance(node, SpeakNode):
        yield ("speak",), node.speak
        return
    for name, answer in node.answers.items():
        if answer.speak is not None:
            yield ("answers", name, "speak"), answer.speak


def _phrases(node: ListenNode | FaqNode) -> Iterator[tuple[Path, Phrases]]:
    if isinstance(node, ListenNode):
        for to, phrases in node.hears.items():
            yield ("hears", to), phrases
        return
    for name, way in _spoken_ways(node).items():
        if isinstance(way, Answer):
            yield ("answers", name, "asked"), way.asked
        else:
            yield (name, "says"), way.says


def _spoken_ways(node: FaqNode) -> dict[str, Answer | Way]:
    return {**node.answers, "person": node.person, "done": node.done}


def _languages(path: Path, text: Mapping[str, object], languages: Sequence[str]) -> Iterator[Fault]:
    for language in languages:
        if language not in text:
            yield path, f'nothing in "{language}"'
    for language in text:
        if language not in languages:
            yield (*path, language), f'unknown language "{language}"; expected one of {", ".join(languages)}'


def _twice(groups: Mapping[Path, Phrases]) -> Iterator[Fault]:
    """Phrases that are the same to whoever listens: letters that are written in two ways, blanks and marks do not count."""
    first: dict[tuple[str, str], tuple[Path, str]] = {}
    for path, phrases in groups.items():
        for language, spoken in phrases.items():
            for i, phrase in enumerate(spoken):
                same = (language, normal(phrase))
                if same in first:
                    other, wording = first[same]
                    if other != path:
                        message = f'"{phrase}" matches two edges: this one and {".".join(map(str, other))}'
                    else:
                        message = f'"{phrase}" is "{wording}", which is here already'
                    yield (*path, language, i), message
                first.setdefault(same, (path, phrase))
