"""The XML dialplan of the real switch, as far as it is used here: contexts, extensions, conditions, actions.

``$${name}`` is a global, put in when the file is read; ``$1`` is a group of the condition's expression and ``${name}``
a channel variable, put in when an action is about to run. Conditions of one extension are joined by *and*; ``break``
of a condition may be ``on-false`` (the default), ``on-true``, ``always`` or ``never``; anti-actions run when the
expression does not match.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from services.common.errors import ConfigError

_GLOBAL: Final = re.compile(r"\$\$\{([^}]+)\}")
_VARIABLE: Final = re.compile(r"\$\{([^{}()]+)\}")
_GROUP: Final = re.compile(r"\$(\d)")


@dataclass(frozen=True, slots=True)
class Action:
    """One application with its argument, groups already put in, variables not yet."""

    app: str
    data: str


@dataclass(frozen=True, slots=True)
class Extension:
    """What a destination leads to."""

    name: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class _Condition:
    field: str
    expression: re.Pattern[str] | None
    stop: str
    actions: tuple[Action, ...]
    anti_actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class _Extension:
    name: str
    goes_on: bool
    conditions: tuple[_Condition, ...]


def expand_globals(text: str, values: Mapping[str, str]) -> str:
    """Put globals in; an unknown one becomes empty, as in FreeSWITCH."""
    return _GLOBAL.sub(lambda m: values.get(m[1], ""), text)


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """Put channel variables in; an unknown one becomes empty. ``\\${`` stands for itself."""
    if "${" not in text:
        return text
    parts = text.split("\\${")
    return "${".join(_VARIABLE.sub(lambda m: lookup(m[1]) or "", part) for part in parts)


def inline(text: str, split: Callable[[str, str], list[str]]) -> tuple[Action, ...]:
    """The actions of ``uuid_transfer <uuid> 'app:data,app2:data2' inline``; ``m:^:`` names another separator.

    ``split``: ``switch_separate_string``, which takes quotes for what they are (`quoting.separate`).
    """
    separator = ","
    if text.startswith("m:") and len(text) > 4 and text[3] == ":":
        separator, text = text[2], text[4:]
    actions = []
    for item in split(text, separator):
        app, _, data = item.partition(":")
        if app:
            actions.append(Action(app, data))
    return tuple(actions)


def parse_globals(text: str, source: PurePath, environment: Mapping[str, str]) -> dict[str, str]:
    """``set`` and ``env-set`` directives of a vars.xml. Raises ConfigError.

    ``exec-set`` makes random passwords in the real switch and is left out: the simulated one has its own.
    """
    values: dict[str, str] = {}
    for element in _root(text, source).iter("X-PRE-PROCESS"):
        cmd = element.get("cmd", "")
        name, _, value = element.get("data", "").partition("=")
        if cmd == "set":
            values[name] = expand_globals(value, values)
        elif cmd == "env-set" and value.startswith("$") and (found := environment.get(value[1:])):
            values[name] = found
    return values


class Dialplan:
    """Contexts and their extensions."""

    def __init__(self, contexts: Mapping[str, tuple[_Extension, ...]]) -> None:
        self._contexts = contexts

    @property
    def contexts(self) -> frozenset[str]:
        """Names of the contexts."""
        return frozenset(self._contexts)

    def route(self, context: str, lookup: Callable[[str], str | None]) -> Extension | None:
        """Return what a call in ``context`` runs, or None. ``lookup`` gives fields (``destination_number``) and variables."""
        name = ""
        collected: list[Action] = []
        for extension in self._contexts.get(context, ()):
            matched, actions = _evaluate(extension, lookup)
            collected += actions
            if matched and actions:
                name = name or extension.name
                if not extension.goes_on:
                    break
        return Extension(name, tuple(collected)) if collected else None


def _evaluate(extension: _Extension, lookup: Callable[[str], str | None]) -> tuple[bool, list[Action]]:
    actions: list[Action] = []
    matched_all = True
    for condition in extension.conditions:
        found = None
        if condition.expression is not None:
            found = condition.expression.search(_field(condition.field, lookup))
        matched = condition.expression is None or found is not None
        chosen = condition.actions if matched else condition.anti_actions
        for action in chosen:
            data = action.data
            if found is not None:
                groups = found
                data = _GROUP.sub(lambda m, g=groups: _group(g, int(m[1])), data)  # type: ignore[misc]
            actions.append(Action(action.app, data))
        matched_all = matched_all and matched
        if (
            condition.stop == "always"
            or (condition.stop == "on-true" and matched)
            or (condition.stop == "on-false" and not matched)
        ):
            break
    return matched_all, actions


def _field(name: str, lookup: Callable[[str], str | None]) -> str:
    return expand(name, lookup) if "${" in name else lookup(name) or ""


def _group(found: re.Match[str], index: int) -> str:
    return (found[index] or "") if index <= (found.re.groups or 0) else ""


def parse(text: str, source: PurePath, values: Mapping[str, str]) -> Dialplan:
    """Read a dialplan file. Raises ConfigError that names the file and what was expected."""
    contexts: dict[str, list[_Extension]] = {}
    for context in _root(expand_globals(text, values), source).iter("context"):
        name = context.get("name")
        if not name:
            raise ConfigError(f"{source}: a <context> without a name")
        extensions = contexts.setdefault(name, [])
        for element in context.findall("extension"):
            extensions.append(_extension(element, source))
    if not contexts:
        raise ConfigError(f"{source}: expected at least one <context>")
    return Dialplan({name: tuple(found) for name, found in contexts.items()})


def _extension(element: ET.Element, source: PurePath) -> _Extension:
    name = element.get("name", "")
    conditions = []
    for condition in element.findall("condition"):
        expression = condition.get("expression")
        try:
            pattern = re.compile(expression) if expression is not None else None
        except re.error as e:
            raise ConfigError(f"{source}: extension {name}: expression {expression!r}: {e}") from None
        conditions.append(
            _Condition(
                field=condition.get("field", ""),
                expression=pattern,
                stop=condition.get("break", "on-false"),
                actions=_actions(condition, "action"),
                anti_actions=_actions(condition, "anti-action"),
            )
        )
    return _Extension(name, element.get("continue") == "true", tuple(conditions))


def _actions(condition: ET.Element, tag: str) -> tuple[Action, ...]:
    return tuple(Action(a.get("application", ""), a.get("data", "")) for a in condition.findall(tag))


def _root(text: str, source: PurePath) -> ET.Element:
    try:
        return ET.fromstring(text)  # noqa: S314 - our own configuration file
    except ET.ParseError as e:
        raise ConfigError(f"{source}: not well-formed XML: {e}") from None
