"""`make bench`: run every benchmark, one after the other, each in its own process; each prints one line of JSON a figure.

Figures that depend on the machine are ratios, or stand beside the same work done by the plain library in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    failed = []
    for path in sorted(HERE.glob("*.py")):
        if path.name.startswith("_"):
            continue
        module = f"tests.bench.{path.stem}"
        done = subprocess.run(
            [sys.executable, "-m", module], check=False, env={**os.environ, "PYTHONPATH": os.getcwd()}
        )
        if done.returncode:
            failed.append(module)
    for module in failed:
        sys.stderr.write(f"{module} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
