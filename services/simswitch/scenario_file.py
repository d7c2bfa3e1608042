"""Reads a scenario from YAML."""

from __future__ import annotations

from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from services.common.errors import ConfigError
from services.simswitch.core.faults import Fault, complaints
from services.simswitch.core.scenario import AgentHabits, CallerHabits, Scenario, Spread

_FAULT: Final = TypeAdapter(Fault)
_FIELDS: Final = frozenset(Fault.__dataclass_fields__)


def parse(text: str, source: str) -> Scenario:
    """Read a scenario from YAML; what it leaves out keeps its default. Raises ConfigError."""
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as e:
        raise ConfigError(f"{source}: not YAML: {e}") from None
    scenario: Scenario = _build(Scenario, document, source)
    return scenario


def _build(kind: type[Any], document: Any, where: str) -> Any:
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: expected a mapping")
    fields = kind.__dataclass_fields__
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in fields:
            raise ConfigError(f"{where}.{name}: unknown; expected one of {', '.join(fields)}")
        values[name] = _value(fields[name].default, fields[name].type, value, f"{where}.{name}")
    return kind(**values)


def _faults(value: Any, where: str) -> tuple[Fault, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list of faults")
    made = []
    for i, item in enumerate(value):
        if not isinstance(item, dict) or (unknown := sorted(item.keys() - _FIELDS)):
            found = "no mapping" if not isinstance(item, dict) else f"unknown {', '.join(unknown)}"
            raise ConfigError(f"{where}[{i}]: {found}; expected fields of {', '.join(sorted(_FIELDS))}")
        try:
            fault = _FAULT.validate_python(item)
        except ValidationError as e:
            first = e.errors()[0]
            at = ".".join(str(part) for part in (f"{where}[{i}]", *first["loc"]))
            raise ConfigError(f"{at}: {first['msg']}, found {first['input']!r}") from None
        if wrong := complaints(fault):
            raise ConfigError("; ".join(f"{where}[{i}].{text}" for text in wrong))
        made.append(fault)
    return tuple(made)


def _value(default: Any, declared: str, value: Any, where: str) -> Any:
    if isinstance(default, Spread):
        if isinstance(value, int | float):
            return Spread(float(value), 0.0)
        return _build(Spread, value, where)
    if isinstance(default, CallerHabits | AgentHabits):
        return _build(type(default), value, where)
    if declared.startswith("dict"):
        if not isinstance(value, dict) or not all(isinstance(w, int | float) for w in value.values()):
            raise ConfigError(f"{where}: expected a mapping of texts to weights")
        return {str(name): float(weight) for name, weight in value.items()}
    if declared == "tuple[Fault, ...]":
        return _faults(value, where)
    if declared.startswith("tuple"):
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list")
        return tuple(str(v) for v in value)
    if declared == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0 or (where.endswith("time_scale") and value == 0):
            raise ConfigError(f"{where}: expected a number above 0, found {value}")
        return float(value)
    if declared in ("str", "bool") and type(value).__name__ == declared:
        return value
    raise ConfigError(f"{where}: expected {declared}, found {value!r}")
