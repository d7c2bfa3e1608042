"""What center documents need to know of reporting's catalogue: ``python -m deploy.dev.measures [--check]`` writes services/center/measures.json.

With it an edit of a scheduled report is checked by services that do not have the catalogue (adr/0063).
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from services.center.report_check import FILE
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.model import Cost
from services.reporting.core.kpi.question import sources_of
from services.reporting.core.kpi.sources import DIMENSIONS, SOURCES, allows


def text() -> str:
    """The file as it should be."""
    content: dict[str, Any] = {
        "measures": {name: list(sources_of(measure)) for name, measure in MEASURES.items()},
        "dimensions": {s.id: [name for name in DIMENSIONS if allows(s, name)] for s in SOURCES.values()},
        "costs": [name for name, measure in MEASURES.items() if isinstance(measure, Cost)],
    }
    parts = [
        f"  {json.dumps(part)}: {{\n"
        + ",\n".join(f"    {json.dumps(name)}: {json.dumps(of)}" for name, of in content[part].items())
        + "\n  }"
        for part in ("measures", "dimensions")
    ]
    return "{\n" + ",\n".join([*parts, f'  "costs": {json.dumps(content["costs"])}']) + "\n}\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.measures")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when it is not current")
    args = parser.parse_args(argv)
    wanted = text()
    if FILE.exists() and FILE.read_text(encoding="utf-8") == wanted:
        return 0
    if args.check:
        print(
            f"services/center/{FILE.name}: not what the catalogue says; run: make measures", file=sys.stderr
        )
        return 1
    FILE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
