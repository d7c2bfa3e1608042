"""`make fuzz`: look for bytes that the event socket's codec does not stand, for a while (FUZZ_SECONDS, 600 by default).

The time is shared by the rules in `tests/fuzz/esl_rules.py`, one process after the other, guided by what new code each
input reaches. What was learned stays in ``.dev/fuzz`` and is where the next run begins. An input that breaks a rule (or
takes ten seconds, or 1 GB) is kept there too, and the run fails; run it again alone with

    python -m tests.fuzz.esl RULE .dev/fuzz/RULE/failures/FILE

Prints one line of JSON a rule: executions, executions a second, edges of the code that were reached, inputs kept.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.esl_rules import RULES
from tests.fuzz.esl_seeds import MAX_BYTES, seeds

HOME = Path(".dev/fuzz")
# Of one hundred: the two parsers have the most to find.
SHARES = {"client_stream": 45, "server_stream": 20, "written_command": 15, "written_application": 20}
DICTIONARY = [
    "Content-Length: ",
    "content-length: ",
    "Content-Type: ",
    "text/event-json",
    "text/event-plain",
    "command/reply",
    "api/response",
    "text/disconnect-notice",
    "Reply-Text: ",
    '{\\"Event-Name\\":\\"',
    ',\\"Unique-ID\\":\\"',
    '\\",\\"',
    "_undef_",
    "ARRAY%3A%3A",
    "ARRAY::",
    "|:",
    "%0A",
    "%EB",
    "\\x0a\\x0a",
    "\\x0d\\x0a",
    "\\x1f",
    "\\xe2\\x80\\xa8",
    "\\\\ud800",
    "reload",
    "mod_event_socket",
    "${",
]


def main() -> int:
    """Fuzz every rule; return 1 if one was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=600, help="for all rules together")
    parser.add_argument(
        "--rule", choices=sorted(RULES), action="append", help="only this one (may be repeated)"
    )
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("The fuzzer is not installed: run `make fuzz`, which installs it.", file=sys.stderr)
        return 1
    rules = options.rule or list(SHARES)
    whole = sum(SHARES[rule] for rule in rules)
    failed = [rule for rule in rules if not fuzz(rule, max(1, options.seconds * SHARES[rule] // whole))]
    for rule in failed:
        print(f"{rule} was broken: see {HOME / rule / 'failures'}", file=sys.stderr)
    return 1 if failed else 0


def fuzz(rule: str, seconds: int) -> bool:
    """Fuzz one rule; return whether it held."""
    home = HOME / rule
    corpus, failures = home / "corpus", home / "failures"
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(rule):
        (corpus / hashlib.sha256(seed).hexdigest()[:20]).write_bytes(seed)
    words = HOME / "words"
    words.write_text("".join(f'"{word}"\n' for word in DICTIONARY))
    log = home / "log"
    with log.open("wb") as out:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.esl", rule, str(corpus)),
                *(f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-timeout=10", "-rss_limit_mb=1024"),
                *(f"-artifact_prefix={failures}/", f"-dict={words}", "-print_final_stats=1", "-verbosity=1"),
            ],
            check=False,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            timeout=seconds + 120,
        )
    text = log.read_text(errors="replace")
    edges = [int(found) for found in re.findall(r"cov: (\d+)", text)]
    kept = [int(found) for found in re.findall(r"corp: (\d+)", text)]
    executions = re.search(r"number_of_executed_units: *(\d+)", text)
    count = int(executions[1]) if executions else 0
    print(
        json.dumps(
            {
                "name": f"fuzz_{rule}",
                "held": done.returncode == 0,
                "seconds": seconds,
                "executions": count,
                "per_s": count // seconds,
                "edges": max(edges, default=0),
                "inputs": max(kept, default=0),
            }
        ),
        flush=True,
    )
    if done.returncode:
        print("\n".join(text.splitlines()[-40:]), file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
