"""Fuzz one rule of the event socket's codec, in a process of its own: `python -m tests.fuzz.esl RULE [libFuzzer options]`.

Started by `python -m tests.fuzz`, which fills the corpus and bounds time and memory.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["services.common.esl", "services.simswitch.core.command"]):
    import services.common.esl.protocol
    import services.common.esl.quoting
    import services.simswitch.core.command  # noqa: F401

from tests.fuzz.esl_rules import RULES, small_bounds


def main() -> None:
    """Run until libFuzzer's limits are reached or a rule is broken; libFuzzer ends the process either way."""
    rule = RULES[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], rule)
    with small_bounds():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
