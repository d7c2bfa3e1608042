"""The records of decisions: one number a file, and the number in the file is the file's."""

from __future__ import annotations

import re
from pathlib import Path

ADRS = Path(__file__).parents[3] / "services" / "adr"


def test_each_decision_has_a_number_of_its_own() -> None:
    files = sorted(ADRS.glob("*.md"))
    numbers = [file.name[:4] for file in files]
    assert numbers == sorted(set(numbers))
    for file in files:
        title = file.read_text().splitlines()[0]
        assert re.match(rf"# {file.name[:4]} \S", title), f"{file.name}: {title}"


def test_what_cites_a_decision_names_one_that_is_there() -> None:
    there = {file.name[:4] for file in ADRS.glob("*.md")}
    root = ADRS.parents[1]
    for file in [*root.glob("services/**/*.py"), *root.glob("services/*.md"), root / "README.md"]:
        for number in re.findall(r"\badr/(\d{4})", file.read_text()):
            assert number in there, f"{file.relative_to(root)} cites adr/{number}"
