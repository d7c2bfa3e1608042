"""The only place that builds or parses a subject.

    cc.<version>.<kind>.<tenant>.<service>.<entity>.<what>      kind: evt, rpc, live, snap
    cc.lease.<service>.<shard>   cc.dlq.<service>.<reason>   cc.replay.<consumer>   cc.alive.<process>

Every token matches ``[a-z0-9][a-z0-9-]{0,62}``: the server takes ``acme*`` for a literal tenant, and a publish to
``a..b`` fails as if the stream were missing, so a bad token is refused here, where the message can name it.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import ContractError
from services.common.ids import is_token

VERSION = "v1"
KINDS = ("evt", "rpc", "live", "snap")


@dataclass(frozen=True, slots=True)
class Subject:
    """The parts of a subject of a tenant."""

    version: str
    kind: str
    tenant: str
    service: str
    entity: str
    what: str

    def __str__(self) -> str:
        return f"cc.{self.version}.{self.kind}.{self.tenant}.{self.service}.{self.entity}.{self.what}"


def _token(role: str, text: str) -> str:
    if not is_token(text):
        raise ContractError(
            f"{text!r} cannot be the {role} of a subject: expected 1 to 63 of a-z, 0-9 and '-', not beginning with '-'"
        )
    return text


def _build(kind: str, tenant: str, service: str, entity: str, what: str) -> str:
    _token("tenant", tenant)
    _token("service", service)
    _token("entity", entity)
    _token("last token", what)
    return f"cc.{VERSION}.{kind}.{tenant}.{service}.{entity}.{what}"


def fact(tenant: str, service: str, entity: str, what: str) -> str:
    """A stored fact: ``fact("demo", "queue", "contact", "waiting")``. Raises ContractError for a bad token."""
    return _build("evt", tenant, service, entity, what)


def log(tenant: str, service: str = "routing") -> str:
    """The one log subject of a tenant's shard."""
    return _build("evt", tenant, service, "log", "decided")


def rpc(tenant: str, service: str, entity: str, what: str) -> str:
    """A question that one process answers: ``rpc("demo", "routing", "agent", "set-presence")``."""
    return _build("rpc", tenant, service, entity, what)


def live(tenant: str, service: str, entity: str, what: str) -> str:
    """News that nobody stores."""
    return _build("live", tenant, service, entity, what)


def snapshot(tenant: str, service: str, entity: str, part: str) -> str:
    """Part of a snapshot: ``current``, or a chunk such as ``a-0``."""
    return _build("snap", tenant, service, entity, part)


def lease(service: str, shard: str) -> str:
    """Who should write for a shard: ``lease("routing", "3")``, ``lease("queue", "fs1")``."""
    return f"cc.lease.{_token('service', service)}.{_token('shard', shard)}"


def dead_letter(service: str, reason: str) -> str:
    """What a service's consumer could not handle."""
    return f"cc.dlq.{_token('service', service)}.{_token('reason', reason)}"


def replay(consumer: str) -> str:
    """Dead letters on their way back to the one consumer that could not handle them."""
    return f"cc.replay.{_token('consumer', consumer)}"


def alive(process: str) -> str:
    """Answered by a process for as long as it is connected."""
    return f"cc.alive.{_token('process', process)}"


def any_fact(tenant: str = "*", service: str = "*", entity: str = "*", what: str = "*") -> str:
    """A pattern over facts; what is left out matches everything: ``any_fact(service="queue")``."""
    return _pattern("evt", tenant, service, entity, what)


def any_live(tenant: str = "*", service: str = "*", entity: str = "*", what: str = "*") -> str:
    """A pattern over live news."""
    return _pattern("live", tenant, service, entity, what)


def any_rpc(tenant: str = "*", service: str = "*", entity: str = "*", what: str = "*") -> str:
    """A pattern over questions, for whoever serves several."""
    return _pattern("rpc", tenant, service, entity, what)


def _pattern(kind: str, tenant: str, service: str, entity: str, what: str) -> str:
    tokens = [t if t == "*" else _token("part", t) for t in (tenant, service, entity, what)]
    return ".".join(("cc", VERSION, kind, *tokens))


def parse(subject: str) -> Subject:
    """Take a tenant's subject apart. Raises ContractError when it is not one."""
    parts = subject.split(".")
    if len(parts) != 7 or parts[0] != "cc" or parts[2] not in KINDS or not all(map(is_token, parts)):
        raise ContractError(
            f"{subject!r} is no subject: expected cc.<version>.<kind>.<tenant>.<service>.<entity>.<what>"
        )
    return Subject(*parts[1:])


def tenant_of(subject: str) -> str:
    """The tenant of a subject, or empty for those of the installation (leases, dead letters)."""
    parts = subject.split(".")
    return parts[3] if len(parts) == 7 else ""


def package_of(subject: str) -> str:
    """The protobuf package of the messages on a subject: ``peyvand.<service>.<version>``."""
    parts = subject.split(".")
    if len(parts) == 7 and parts[2] != "snap":
        return f"peyvand.{parts[4]}.{parts[1]}"
    return f"peyvand.common.{VERSION}"


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern with ``*`` (one part) and ``>`` (one or more at the end)."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, part in enumerate(wanted):
        if part == ">":
            return len(given) > i
        if i >= len(given) or (part != "*" and part != given[i]):
            return False
    return len(wanted) == len(given)


def covers(wide: str, narrow: str) -> bool:
    """Whether every subject that the pattern ``narrow`` matches is matched by ``wide`` too."""
    w, n = wide.split("."), narrow.split(".")
    for i, part in enumerate(w):
        if part == ">":
            return len(n) > i
        if i >= len(n) or n[i] == ">" or (part != "*" and part != n[i]):
            return False
    return len(w) == len(n)


def intersection(one: str, other: str) -> str:
    """The pattern of the subjects that match both patterns; empty when there are none."""
    a, b = one.split("."), other.split(".")
    both: list[str] = []
    for i in range(max(len(a), len(b))):
        x, y = a[i] if i < len(a) else "", b[i] if i < len(b) else ""
        if x == ">" and y:
            return ".".join(both + b[i:])
        if y == ">" and x:
            return ".".join(both + a[i:])
        if not x or not y or (x != y and "*" not in (x, y)):
            return ""
        both.append(y if x == "*" else x)
    return ".".join(both)
