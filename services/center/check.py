"""What must hold in a center document as a whole: every reference resolves, every flow ends, every prompt can be heard.

Pure: works on checked models and yields faults as (path, message); the loader adds file and line.
What must hold in flows is in ``flow_check``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import pairwise

from services.center import flow_check, flow_edges, sayings, survey_check, web_check
from services.center.callback import CALLBACK_PROMPTS
from services.center.flow import AgentNode, SayNode
from services.center.flow_edges import unknown as _unknown
from services.center.hours import call_rights
from services.center.model import Calendar, CenterDocument, Overflow, Queue, period, weekdays
from services.center.numbers import LANGUAGES, number_prompts
from services.center.pins import PIN_PROMPTS
from services.center.sentences import WHISPER_WAIT_PROMPTS
from services.center.skills import parse, skills_in
from services.center.source import Path
from services.center.trunks import TRUNK_PROMPTS, outside_of
from services.center.waiting import WHISPER_WHY_PROMPTS

Fault = tuple[Path, str]

FEATURE_PROMPTS = ("logged-in", "logged-out", "on-break", "available", "saved", "not-possible")
"""What agents hear after a feature code; needed as soon as there are agents."""


CONFIRM_PROMPT = "agent-confirm"
"""What says at an agent's number outside which key takes the call, in the agent's language."""


def faults(document: CenterDocument) -> Iterator[Fault]:
    """Yield every fault of one document."""
    for i, language in enumerate(document.languages):
        if language not in LANGUAGES:
            yield ("languages", i), _unknown("language", language, LANGUAGES)
    yield from _references(document)
    yield from _prompts(document)
    yield from _names(document)
    yield from _routes(document)
    yield from _calls(document)
    yield from _remote_agents(document)
    for name, calendar in document.calendars.items():
        for path, message in _calendar(calendar):
            yield ("calendars", name, *path), message
    yield from flow_check.faults(document)
    yield from web_check.customers(document)
    yield from survey_check.surveys(document)
    for name, report in document.reports.scheduled.items():
        for number, queue in enumerate(report.queues):
            if queue not in document.queues:
                yield (
                    ("reports", "scheduled", name, "queues", number),
                    _unknown("queue", queue, document.queues),
                )
    for channel in document.tariffs.contact if document.tariffs is not None else ():
        if channel != "voice" and channel not in document.routing.channels:
            known = ("voice", *document.routing.channels)
            yield ("tariffs", "contact", channel), _unknown("channel", channel, known)
    for kind in ("dispositions", "break_reasons"):
        seen: dict[str, int] = {}
        for i, named in enumerate(getattr(document, kind)):
            if named.code in seen:
                yield (kind, i, "code"), f'code "{named.code}" is used twice'
            seen[named.code] = i


def across(documents: Iterable[CenterDocument]) -> Iterator[tuple[int, Path, str]]:
    """Yield faults between documents as (index of the document, path, message).

    Tenants, entry points and extensions are unique over all of them: the called number selects the tenant, and a
    feature code knows only the phone that dialled it. An extension that is also an entry point could not be called.
    A folder of prompts has one owner, else one tenant's greeting would replace another's.
    """
    tenants: set[str] = set()
    folders: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for index, document in enumerate(documents):
        if document.tenant in tenants:
            yield index, ("tenant",), f'tenant "{document.tenant}" has another document already'
        tenants.add(document.tenant)
        if document.prompts_dir in folders:
            yield (
                index,
                ("prompts_dir",),
                f"the prompts of {folders[document.prompts_dir]} are in this folder already",
            )
        folders.setdefault(document.prompts_dir, document.tenant)
        for number in document.entry_points:
            if number in numbers:
                yield index, ("entry_points", number), f"number {number} is already {numbers[number]}"
            numbers.setdefault(number, f"an entry point of {document.tenant}")
        for name, agent in document.agents.items():
            path = ("agents", name, "extension")
            if agent.extension in numbers:
                yield index, path, f"extension {agent.extension} is already {numbers[agent.extension]}"
            numbers.setdefault(agent.extension, f'the extension of agent "{name}" of {document.tenant}')
        for i, desk in enumerate(document.desks):
            if desk in numbers:
                yield index, ("desks", i), f"phone {desk} is already {numbers[desk]}"
            numbers.setdefault(desk, f"a desk of {document.tenant}")


def used_prompts(document: CenterDocument) -> Iterator[tuple[Path, str]]:
    """Yield every place that names a prompt, with the prompt."""
    for name, queue in document.queues.items():
        if queue.welcome is not None:
            yield ("queues", name, "welcome"), queue.welcome
        if queue.announce_position is not None:
            for part in ("before", "after"):
                yield ("queues", name, "announce_position"), f"{queue.announce_position.prompt}-{part}"
        if queue.announce_wait is not None:
            for part in ("before", "after", "short"):
                yield ("queues", name, "announce_wait"), f"{queue.announce_wait.prompt}-{part}"
        for i, messages in enumerate(queue.messages):
            for j, prompt in enumerate(messages.prompts):
                yield ("queues", name, "messages", i, "prompts", j), prompt
        for path, way in _every_way_out(queue):
            yield from _prompts_on(document, ("queues", name, *path), way)
        if queue.callback is not None:
            for prompt in CALLBACK_PROMPTS:
                yield ("queues", name, "callback"), prompt
            if any(way.callback for _, way in _ways_out(queue)):
                yield ("queues", name, "callback"), "sorry"
        if (before := queue.before_bridge) is not None:
            path = ("queues", name, "before_bridge")
            if before.caller is not None:
                yield (*path, "caller"), before.caller
            if before.whisper is not None:
                if before.whisper.name is not None:
                    yield (*path, "whisper", "name"), before.whisper.name
                said = (
                    *(WHISPER_WAIT_PROMPTS if before.whisper.wait else ()),
                    *(WHISPER_WHY_PROMPTS if before.whisper.why else ()),
                )
                for prompt in said:
                    yield (*path, "whisper"), prompt
    if document.limits.outage_prompt is not None:
        yield ("limits", "outage_prompt"), document.limits.outage_prompt
    if document.agents:
        for prompt in FEATURE_PROMPTS:
            yield ("prompts",), prompt
    for name, agent in document.agents.items():
        for prompt in PIN_PROMPTS if agent.pin is not None else ():
            yield ("agents", name, "pin"), prompt
        if agent.number is not None and agent.confirm:
            yield ("agents", name, "number"), CONFIRM_PROMPT
    if document.agents and any(rights.allowed for rights in call_rights(document).values()):
        for prompt in TRUNK_PROMPTS:
            yield ("calls",), prompt
    for flow_name, flow in document.flows.items():
        for name, node in flow.nodes.items():
            for where, prompt in flow_edges.prompts_of(node):
                yield ("flows", flow_name, "nodes", name, *where), prompt
            if isinstance(node, AgentNode) and node.no_answer is not None:
                path = ("flows", flow_name, "nodes", name, "no_answer")
                yield from _prompts_on(document, path, node.no_answer)
                if node.no_answer.callback:
                    yield path, "sorry"


def _prompts_on(document: CenterDocument, path: Path, way: Overflow) -> Iterator[tuple[Path, str]]:
    """What is heard on a way out."""
    if way.hangup is not None:
        yield (*path, "hangup", "prompt"), way.hangup.prompt
    if way.voicemail is not None:
        yield (*path, "voicemail", "prompt"), way.voicemail.prompt
        yield ("voicemail", "thanks"), document.voicemail.thanks


def composed_prompts(document: CenterDocument, language: str) -> dict[str, str]:
    """Return what is composed to numbers, dates and the like in a language, with its text: as much as the flows read out."""
    nodes = (node for flow in document.flows.values() for node in flow.nodes.values())
    forms = {node.as_ for node in nodes if isinstance(node, SayNode)}
    return number_prompts(language) | sayings.prompts(language, forms)


def asking_prompts(document: CenterDocument) -> frozenset[str]:
    """Return the prompts after which (or during which) a caller is expected to press keys."""
    nodes = (node for flow in document.flows.values() for node in flow.nodes.values())
    return frozenset(
        prompt
        for node in nodes
        if flow_edges.asks(node)
        for where, prompt in flow_edges.prompts_of(node)
        if where[0] not in ("invalid", "answers")
    )


def _references(document: CenterDocument) -> Iterator[Fault]:
    queues, skills = document.queues, document.skills
    if document.default_entry_point not in document.entry_points:
        yield (
            ("default_entry_point",),
            _unknown("entry point", document.default_entry_point, document.entry_points),
        )
    for i, skill in enumerate(skills):
        if skill in skills[:i]:
            yield ("skills", i), f'skill "{skill}" is named twice'
    for name, queue in queues.items():
        yield from _queue(document, name, queue)
    yield from _teams(document)
    yield from _channels(document)
    keys: dict[str, str] = {}
    for i, reason in enumerate(document.break_reasons):
        if reason.key is not None and reason.key in keys:
            yield ("break_reasons", i, "key"), f'key {reason.key} is already that of "{keys[reason.key]}"'
        keys.setdefault(reason.key or "", reason.code)
    for name, agent in document.agents.items():
        for skill in agent.skills:
            if skill not in skills:
                yield ("agents", name, "skills", skill), _unknown("skill", skill, skills)
        if agent.language is not None and agent.language not in document.languages:
            yield (
                ("agents", name, "language"),
                _unknown("language", agent.language, document.languages),
            )
        for i, served in enumerate(agent.queue_names):
            if served not in queues:
                yield ("agents", name, "queues", i), _unknown("queue", served, queues)
            elif served in agent.queue_names[:i]:
                yield ("agents", name, "queues", i), f'queue "{served}" is named twice'
    for number, entry in document.entry_points.items():
        if entry.flow not in document.flows:
            yield ("entry_points", number, "flow"), _unknown("flow", entry.flow, document.flows)
        if entry.fallback_queue not in queues:
            yield ("entry_points", number, "fallback_queue"), _unknown("queue", entry.fallback_queue, queues)
        flow = document.flows.get(entry.flow)
        if entry.language is None and flow is not None and flow.language is None:
            yield ("entry_points", number), f'neither the entry point nor flow "{entry.flow}" has a language'
        elif entry.language is not None and entry.language not in document.languages:
            yield (
                ("entry_points", number, "language"),
                _unknown("language", entry.language, document.languages),
            )


def _routes(document: CenterDocument) -> Iterator[Fault]:
    """Routes name trunks that there are; a prefix has one route, and a trunk that none names carries nothing."""
    prefixes: set[str] = set()
    used: set[str] = set()
    for i, route in enumerate(document.routes):
        if route.prefix in prefixes:
            yield ("routes", i, "prefix"), f'prefix "{route.prefix}" has a route already'
        prefixes.add(route.prefix)
        for j, name in enumerate(route.trunks):
            if name not in document.trunks:
                yield ("routes", i, "trunks", j), _unknown("trunk", name, document.trunks)
            elif name in route.trunks[:j]:
                yield ("routes", i, "trunks", j), f'trunk "{name}" is named twice'
        used |= set(route.trunks)
    for name in document.trunks if document.routes else ():
        if name not in used:
            yield ("trunks", name), f'no route leads to trunk "{name}"'


def _calls(document: CenterDocument) -> Iterator[Fault]:
    """Hours name calendars; what is allowed is not forbidden as a whole."""
    for payer, rights in call_rights(document).items():
        kind, _, name = payer.partition(":")
        path: Path = (f"{kind}s", name, "calls") if kind else ("calls",)
        if rights.hours is not None and rights.hours not in document.calendars:
            yield (*path, "hours"), _unknown("calendar", rights.hours, document.calendars)
        for i, prefix in enumerate(rights.allowed or ()):
            if rights.forbidden and prefix.startswith(tuple(rights.forbidden)):
                yield (*path, "allowed", i), f'everything that begins with "{prefix}" is forbidden'


def _remote_agents(document: CenterDocument) -> Iterator[Fault]:
    """A number outside is one agent's, leads outside by some trunk, and is none that nobody may call."""
    outside = outside_of(document.trunks, document.routes)
    known: dict[str, str] = {}
    inside = {agent.extension for agent in document.agents.values()} | {
        *document.desks,
        *document.entry_points,
    }
    for name, agent in document.agents.items():
        path: Path = ("agents", name, "number")
        number = agent.number
        if number is None:
            if not agent.confirm:
                yield ("agents", name, "confirm"), "confirm needs number: it is for who answers there"
            continue
        if number in known:
            yield path, f'number {number} is already that of agent "{known[number]}"'
        elif number in inside:
            yield path, f"number {number} is not outside: it is a phone or an entry point of the center"
        elif not outside.carrying(number):
            yield path, f"no route leads to {number}"
        elif number.startswith(tuple(document.calls.forbidden)):
            yield path, f"calls.forbidden forbids {number}"
        known.setdefault(number, name)


def _teams(document: CenterDocument) -> Iterator[Fault]:
    for name, agent in document.agents.items():
        if agent.team is not None and agent.team not in document.teams:
            yield ("agents", name, "team"), _unknown("team", agent.team, document.teams)
    for name, team in document.teams.items():
        for i, supervisor in enumerate(team.supervisors):
            if supervisor in team.supervisors[:i]:
                yield ("teams", name, "supervisors", i), f'"{supervisor}" is named twice'


def _channels(document: CenterDocument) -> Iterator[Fault]:
    channels = document.routing.channels
    known = ("call", *channels)
    for name, channel in channels.items():
        path: Path = ("routing", "channels", name)
        if name == "call":
            yield path, "calls need no channel of their own: a call always fills an agent"
        for i, other in enumerate(channel.interrupted_by):
            if other not in known:
                yield (*path, "interrupted_by", i), _unknown("channel", other, known)
            elif other == name:
                yield (
                    (*path, "interrupted_by", i),
                    "a channel cannot interrupt itself: give it a larger capacity",
                )
    for name, agent in document.agents.items():
        for of, capacity in agent.capacity.items():
            if of not in known:
                yield ("agents", name, "capacity", of), _unknown("channel", of, known)
            elif of == "call" and capacity > 1:
                yield ("agents", name, "capacity", of), "a call fills an agent: expected 1 or 0"


def _queue(document: CenterDocument, name: str, queue: Queue) -> Iterator[Fault]:
    for skill in queue.skills:
        if skill not in document.skills:
            yield ("queues", name, "skills", skill), _unknown("skill", skill, document.skills)
    for i, step in enumerate(queue.steps):
        for skill in sorted(set(skills_in(parse(step.skills)))):
            if skill not in document.skills:
                yield ("queues", name, "steps", i, "skills"), _unknown("skill", skill, document.skills)
    codes = [named.code for named in document.dispositions]
    for i, code in enumerate(queue.dispositions):
        if code not in codes:
            yield ("queues", name, "dispositions", i), _unknown("disposition", code, codes)
    if queue.ring_at_once is not None and queue.strategy != "ring_all":
        yield ("queues", name, "ring_at_once"), "ring_at_once needs strategy: ring_all"
    if queue.wrap_up.mode in ("timed", "timed_no_exit") and queue.wrap_up_s > queue.wrap_up.max_s:
        yield ("queues", name, "wrap_up", "max_s"), f"max_s is shorter than wrap_up_s ({queue.wrap_up_s})"
    if queue.max_length and queue.max_wait is None and queue.full is None:
        yield (
            ("queues", name, "max_length"),
            "max_length needs full or max_wait: it says where callers go then",
        )
    if queue.closing is not None and queue.closing.hours not in document.calendars:
        yield (
            ("queues", name, "closing", "hours"),
            _unknown("calendar", queue.closing.hours, document.calendars),
        )
    if queue.full is not None and not queue.max_length:
        yield ("queues", name, "full"), "full needs max_length: it says when a queue is full"
    for path, way in _every_way_out(queue):
        if way.queue is not None and way.queue not in document.queues:
            yield ("queues", name, *path, "queue"), _unknown("queue", way.queue, document.queues)
        elif path[0] == "keys" and way.queue == name:
            yield ("queues", name, *path, "queue"), "the key leads to the queue that the caller is in"
        if way.callback and path[0] == "keys":
            yield ("queues", name, *path, "callback"), "the key of a callback is callback.key"
        elif way.callback and queue.callback is None:
            yield ("queues", name, *path, "callback"), f'callback needs callback settings of queue "{name}"'
    if queue.callback is not None and queue.callback.key in queue.keys:
        yield (
            ("queues", name, "callback", "key"),
            f'key "{queue.callback.key}" leads somewhere else under keys',
        )
    hours = queue.callback.hours if queue.callback is not None else None
    if hours is not None and hours not in document.calendars:
        yield ("queues", name, "callback", "hours"), _unknown("calendar", hours, document.calendars)
    yield from _rounds(document, name)


def _every_way_out(queue: Queue) -> Iterator[tuple[Path, Overflow]]:
    yield from _ways_out(queue)
    for key, way in queue.keys.items():
        yield ("keys", key), way


def _ways_out(queue: Queue) -> Iterator[tuple[Path, Overflow]]:
    """The ways that need no key."""
    if queue.max_wait is not None:
        yield ("max_wait", "then"), queue.max_wait.then
    if queue.full is not None:
        yield ("full",), queue.full
    if queue.no_agent is not None:
        yield ("no_agent", "then"), queue.no_agent.then
    if queue.closing is not None:
        yield ("closing", "then"), queue.closing.then


def _rounds(document: CenterDocument, name: str) -> Iterator[Fault]:
    """Following the ways out from queue to queue must end, else contacts go round for ever."""
    for path, way in _ways_out(document.queues[name]):
        trails = [[name, way.queue]] if way.queue in document.queues else []
        seen: set[str] = set()
        while trails:
            trail = trails.pop()
            at = trail[-1] or ""
            if at == name:
                words = " -> ".join(str(step) for step in trail)
                yield ("queues", name, *path, "queue"), f"{path[0]} goes round: {words}"
                break
            if at not in seen:
                seen.add(at)
                ways_on = _ways_out(document.queues[at])
                trails += [[*trail, on.queue] for _, on in ways_on if on.queue in document.queues]


def _names(document: CenterDocument) -> Iterator[Fault]:
    """Texts name only the center's languages (a misspelt one would never be read)."""

    def check(path: Path, text: dict[str, str]) -> Iterator[Fault]:
        for language in text:
            if language not in document.languages:
                yield (*path, language), _unknown("language", language, document.languages)

    yield from check(("name",), document.name)
    for prompt, text in document.prompts.items():
        yield from check(("prompts", prompt), text)
    for kind in ("queues", "teams", "agents", "entry_points"):
        for key, part in getattr(document, kind).items():
            yield from check((kind, key, "name"), part.name)
    for kind in ("dispositions", "break_reasons"):
        for i, named in enumerate(getattr(document, kind)):
            yield from check((kind, i, "name"), named.name)


def _prompts(document: CenterDocument) -> Iterator[Fault]:
    for path, prompt in used_prompts(document):
        if prompt not in document.prompts:
            yield path, _unknown("prompt", prompt, document.prompts)
    for prompt, text in document.prompts.items():
        for language in document.languages:
            if language not in text:
                yield ("prompts", prompt), f'prompt "{prompt}" has no text in "{language}"'


def _calendar(calendar: Calendar) -> Iterator[Fault]:
    by_day: dict[int, str] = {}
    for key, periods in calendar.open.items():
        for day in weekdays(key):
            if day in by_day:
                yield ("open", key), f'"{key}" and "{by_day[day]}" name the same weekday'
                break
            by_day[day] = key
        yield from _overlaps(("open", key), periods)
    for i, text in enumerate(calendar.closed_yearly):
        if text in calendar.closed_yearly[:i]:
            yield ("closed_yearly", i), f'"{text}" is named twice'
    seen: set[dt.date] = set()
    for i, date in enumerate(calendar.closed_on):
        if date in seen:
            yield ("closed_on", i), f"{date} is named twice"
        seen.add(date)
    for date, periods in calendar.special.items():
        if date in seen:
            yield ("special", date.isoformat()), f"{date} is also in closed_on"
        yield from _overlaps(("special", date.isoformat()), periods)


def _overlaps(path: Path, periods: list[str]) -> Iterator[Fault]:
    spans = sorted((period(text), i) for i, text in enumerate(periods))
    for (before, _), (after, i) in pairwise(spans):
        if after[0] < before[1]:
            yield (*path, i), f'period "{periods[i]}" overlaps another of the same day'
