"""The parts of a document that are edited by themselves: where they stand, and what putting and removing one means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.center.flow import Flow
from services.center.model import Agent, BreakReason, Calendar, CenterDocument, Named, Queue, Team
from services.center.web import Customer
from services.common.errors import Refused


@dataclass(frozen=True)
class Kind:
    """One sort of part. ``place`` is its key in the document: a mapping by name, or a list of parts with a ``code``."""

    path: str
    one: str
    place: str
    model: type[Any]
    example: dict[str, Any]

    @property
    def coded(self) -> bool:
        """Whether parts stand in a list and have their name inside."""
        return issubclass(self.model, Named)

    def all_of(self, value: Any) -> dict[str, Any]:
        """The parts of a document's plain value, by name, in their order."""
        found = value.get(self.place) or {}
        return {item["code"]: item for item in found} if self.coded else dict(found)

    def get(self, value: Any, name: str) -> Any:
        """One part. Raises Refused when the document has none of that name."""
        try:
            return self.all_of(value)[name]
        except KeyError:
            raise Refused(
                f"unknown-{self.path.rstrip('s')}", f"the document has no {self.one} {name!r}", status=404
            ) from None

    def put(self, value: Any, name: str, item: Any) -> Any:
        """The document's value with this part, in the place of the one of that name or behind the others."""
        if self.coded and item.get("code", name) != name:
            raise Refused(
                "request-invalid",
                f"code: found {item['code']!r}, expected {name!r} as in the address",
                status=422,
            )
        if self.coded:
            item = {"code": name, **item}
        if self.place == "flows":
            item = _counted(self.all_of(value).get(name), item)
        parts = self.all_of(value) | {name: item}
        value[self.place] = list(parts.values()) if self.coded else parts
        return value

    def remove(self, value: Any, name: str) -> Any:
        """The document's value without this part. Raises Refused when there is none."""
        self.get(value, name)
        parts = self.all_of(value)
        del parts[name]
        value[self.place] = list(parts.values()) if self.coded else parts
        if self.place == "queues":
            for agent in value.get("agents", {}).values():
                agent["queues"] = [served for served in agent["queues"] if queue_of(served) != name]
        return value


def _counted(before: Any, item: Any) -> Any:
    """A flow that is put in another one's place has a version above that one's, whether its author counted or not."""
    if not isinstance(before, dict) or not isinstance(item, dict):
        return item
    old = before.get("version", 1)
    if {**before, "version": old} == {**item, "version": old}:
        return before
    new = item.get("version", 1)
    is_counted = isinstance(old, int) and isinstance(new, int) and new <= old
    return {**item, "version": old + 1} if is_counted else item


def queue_of(served: Any) -> str:
    """The queue that an item of an agent's ``queues`` names."""
    return str(served["queue"] if isinstance(served, dict) else served)


def put_tier(agent_id: str, queue: str, order: dict[str, Any]) -> Callable[[Any], Any]:
    """An edit that has an agent serve a queue in this order."""
    item: Any = {"queue": queue, **order} if order else queue

    def change(value: Any) -> Any:
        agent = AGENTS.get(value, agent_id)
        names = [queue_of(served) for served in agent["queues"]]
        if queue in names:
            agent["queues"][names.index(queue)] = item
        else:
            agent["queues"].append(item)
        return value

    return change


def remove_tier(agent_id: str, queue: str) -> Callable[[Any], Any]:
    """An edit after which an agent no longer serves a queue."""

    def change(value: Any) -> Any:
        agent = AGENTS.get(value, agent_id)
        left = [served for served in agent["queues"] if queue_of(served) != queue]
        if len(left) == len(agent["queues"]):
            raise Refused("unknown-tier", f"agent {agent_id!r} does not serve {queue!r}", status=404)
        agent["queues"] = left
        return value

    return change


def put_skill(skill: str) -> Callable[[Any], Any]:
    """An edit that declares a skill."""

    def change(value: Any) -> Any:
        declared = list(value.get("skills") or [])
        value["skills"] = declared if skill in declared else [*declared, skill]
        return value

    return change


def remove_skill(skill: str) -> Callable[[Any], Any]:
    """An edit that takes a skill back; where it is still asked for or had, the document's check says so."""

    def change(value: Any) -> Any:
        declared = list(value.get("skills") or [])
        if skill not in declared:
            raise Refused("unknown-skill", f"the document has no skill {skill!r}", status=404)
        value["skills"] = [name for name in declared if name != skill]
        return value

    return change


def patched(before: Any, patch: Any) -> Any:
    """``before`` changed by a JSON merge patch (RFC 7396): null removes, objects go deeper, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    made = dict(before) if isinstance(before, dict) else {}
    for key, item in patch.items():
        if item is None:
            made.pop(key, None)
        else:
            made[key] = patched(made.get(key), item)
    return made


AGENTS = Kind(
    "agents",
    "agent",
    "agents",
    Agent,
    {
        "name": {"en": "Sara Ahmadi", "fa": "سارا احمدی"},
        "extension": "1001",
        "skills": {"sales": 5, "fa": 5},
        "queues": ["sales", {"queue": "support", "priority": 2, "after_s": 30}],
    },
)
FLOWS = Kind(
    "flows",
    "flow",
    "flows",
    Flow,
    {
        "start": "hello",
        "nodes": {
            "hello": {"play": "welcome", "then": "menu"},
            "menu": {"menu": "main-menu", "digits": {"1": "to-sales"}, "otherwise": "bye"},
            "to-sales": {"queue": "sales"},
            "bye": {"hangup": True},
        },
    },
)
KINDS: tuple[Kind, ...] = (
    AGENTS,
    FLOWS,
    Kind(
        "queues",
        "queue",
        "queues",
        Queue,
        {
            "name": {"en": "Sales", "fa": "فروش"},
            "skills": {"sales": 1},
            "ring_s": 15,
            "max_wait": {"after_s": 300, "then": {"queue": "support"}},
        },
    ),
    Kind(
        "teams",
        "team",
        "teams",
        Team,
        {"name": {"en": "Sales", "fa": "فروش"}, "supervisors": ["sara"]},
    ),
    Kind(
        "calendars",
        "calendar",
        "calendars",
        Calendar,
        {"open": {"sat-wed": ["08:00-20:00"], "thu": ["08:00-13:00"]}, "closed_on": ["2027-03-21"]},
    ),
    Kind(
        "customers",
        "customer",
        "customers",
        Customer,
        {"customer": "4711", "name": "Sara Ahmadi", "class": "premium", "language": "fa"},
    ),
    Kind(
        "dispositions",
        "disposition",
        "dispositions",
        Named,
        {"code": "1", "name": {"en": "Solved", "fa": "حل شد"}},
    ),
    Kind(
        "break-reasons",
        "break reason",
        "break_reasons",
        BreakReason,
        {"code": "lunch", "name": {"en": "Lunch", "fa": "ناهار"}, "limit_s": 1800},
    ),
)

assert all(kind.place in CenterDocument.model_fields for kind in KINDS)
