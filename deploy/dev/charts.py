"""Check the charts with Helm itself, out of a wheel: ``python -m deploy.dev.charts`` (``make charts``).

For every chart and every ``ci/*-values.yaml``: lint (strict), an installation without a cluster, which is what looks at ``kubeVersion``,
and the rendered objects against the schemas of Kubernetes (strict: unknown fields and wrong types) for the oldest and newest
release that we name. Those schemas know no enumerations or names, so object names, labels and sizes are looked at here.
Every ``ci/invalid/*.yaml`` must fail with what its first line says (``# expect: TEXT``).

Two things of the wheel: a chart that was rendered must not be used again, and ``lint`` passes templates that call ``fail``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import kubernetes_validate
import yaml

CHARTS: Final = Path(__file__).parents[2] / "charts"
RELEASES: Final = ("1.25.0", "1.37.0")
_NAMESPACE: Final = "peyvand"
_NO_CLUSTER: Final = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "users": [{"name": "none", "user": {}}],
        "current-context": "none",
    }
)
_DNS: Final = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_LABEL: Final = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_MOST_BYTES: Final = 1024 * 1024
"""etcd's bound of an object; a ConfigMap above it cannot be made."""


def rendered(chart: Path, values: str) -> dict[str, str]:
    """Templates and what became of them. Raises helm.HelmError."""
    config = helm.Config(storage_driver="memory", kubeconfig_content=_NO_CLUSTER, namespace=_NAMESPACE)
    config.install(str(chart), "rel", helm.values_from_yaml(values), dry_run="client", namespace=_NAMESPACE)
    loaded = helm.Chart.load(str(chart))
    try:
        found: dict[str, str] = loaded.render(
            helm.values_from_yaml(values), name="rel", namespace=_NAMESPACE, is_install=True, revision=1
        )
        return found
    finally:
        loaded.close()


def objects(files: dict[str, str]) -> list[dict[str, Any]]:
    """The Kubernetes objects of rendered templates."""
    return [
        one
        for name, text in sorted(files.items())
        if not name.endswith("NOTES.txt")
        for one in yaml.safe_load_all(text)
        if one
    ]


def faults(found: list[dict[str, Any]]) -> Iterator[str]:
    """What the schemas do not see, and what they see."""
    names: set[tuple[str, str]] = set()
    for one in found:
        name = (one["kind"], one["metadata"]["name"])
        if name in names:
            yield f"{name}: there are two"
        names.add(name)
        if not _DNS.fullmatch(name[1]):
            yield f"{name}: expected a DNS label of at most 63 characters"
        for key, value in one["metadata"].get("labels", {}).items():
            if not _LABEL.fullmatch(str(value)):
                yield f"{name}: label {key}: {value!r} is none"
        if len(json.dumps(one).encode()) > _MOST_BYTES:
            yield f"{name}: above 1 MiB"
        for release in RELEASES:
            try:
                kubernetes_validate.validate(one, release, strict=True)
            except kubernetes_validate.ValidationError as e:
                yield f"{name} on Kubernetes {release}: {'.'.join(map(str, e.path))}: {e.message}"


def embedded_files(found: list[dict[str, Any]]) -> Iterator[str]:
    """Files that ConfigMaps carry must be what they are called."""
    for one in found:
        for name, text in one.get("data", {}).items():
            try:
                if name.endswith(".json"):
                    json.loads(text)
                if name.endswith(".yaml"):
                    yaml.safe_load(text)
            except (ValueError, yaml.YAMLError) as e:
                yield f"{one['metadata']['name']}: {name}: {e}"


def check(chart: Path) -> Iterator[str]:
    """Every fault of a chart."""
    for path in sorted((chart / "ci").glob("*-values.yaml")):
        values = path.read_text(encoding="utf-8")
        linted = helm.lint(str(chart), helm.values_from_yaml(values), strict=True, namespace=_NAMESPACE)
        for message in linted["messages"]:
            if message["severity"] >= 2:
                yield f"{path.name}: {message['path']}: {message['error'].strip()}"
        yield from (f"{path.name}: {error}" for error in linted["errors"])
        try:
            found = objects(rendered(chart, values))
        except (helm.HelmError, yaml.YAMLError) as e:
            yield f"{path.name}: {e}"
            continue
        if not found:
            yield f"{path.name}: nothing was rendered"
        yield from (f"{path.name}: {fault}" for fault in (*faults(found), *embedded_files(found)))
    for path in sorted((chart / "ci" / "invalid").glob("*.yaml")):
        values = path.read_text(encoding="utf-8")
        expected = values.splitlines()[0].removeprefix("# expect: ")
        try:
            rendered(chart, values)
        except helm.HelmError as e:
            if expected not in str(e):
                yield f"invalid/{path.name}: expected an error that names {expected!r}, found: {e}"
        else:
            yield f"invalid/{path.name}: expected an error that names {expected!r}, found none"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.charts")
    parser.add_argument("charts", nargs="*", type=Path, help="folders; all of charts/ unless given")
    charts = parser.parse_args(argv).charts or sorted(path.parent for path in CHARTS.glob("*/Chart.yaml"))
    wrong = 0
    for chart in charts:
        found = list(check(chart))
        for fault in found:
            print(f"{chart.name}: {fault}", file=sys.stderr)
        wrong += len(found)
        cases = len(list((chart / "ci").rglob("*.yaml")))
        print(f"{chart.name}: {cases} cases, {len(found)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
