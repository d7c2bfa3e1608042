"""What users of other contact centers complain of, each as a test: its number and sentence stand in the docstring.

The 38 are complaints and wishes about FreeSWITCH's mod_callcenter (1-20), FusionPBX (21-26), Asterisk's app_queue (27-35),
VICIdial and its family (36-37) and others (38), from their public issue trackers. ``TABLE`` has all of them: ``here`` is tested in this
folder, a path is the test elsewhere, and ``not ours`` says why there is none.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HERE = "here"
TABLE: dict[int, tuple[str, str]] = {
    1: ("agents are taken by another node in the moment before the call", HERE),
    2: ("a fixed node name makes the shared tables useless", HERE),
    3: ("the dispatcher breaks down at 200 calls and 20 a second", HERE),
    4: ("the dispatch thread hangs and only a reload helps", HERE),
    5: ("a caller and an agent stand in an offer for ever", HERE),
    6: (
        "a dead database connection stops everything",
        "tests/integration/test_nats_faults.py::test_nats_a_killed_server_costs_nothing",
    ),
    7: ("callers count as answered hours after their call", HERE),
    8: ("agents stay reserved when several were rung", HERE),
    9: (
        "the agent's phone rings for a caller who has hung up",
        "tests/unit/queue/test_queue_races.py::test_caller_hangs_up_before_freeswitch_has_the_agents_channel",
    ),
    10: ("two agents are rung on one phone", HERE),
    11: ("the last agent of the list is on a break and nobody is called", HERE),
    12: ("an agent who changes the status during an offer causes a storm of calls", HERE),
    13: (
        "the agent hears silence until the caller's announcement is over",
        "tests/unit/queue/test_queue_calls.py::test_an_offer_becomes_a_conversation_in_the_tried_order",
    ),
    14: ("delays and maxima for refusing, busy and lost phones are missing", HERE),
    15: ("nothing is said when an agent is deleted", HERE),
    16: ("the offer may be announced before the caller", HERE),
    17: ("deleted agents stay after a reload", HERE),
    18: ("a queue that was removed comes back with a caller who left it", HERE),
    19: ("ten seconds pass before the first phone rings", HERE),
    20: (
        "queues can only be written in XML and need a reload",
        "tests/unit/center/test_center_watch.py::test_new_revision_is_taken_and_wrong_one_refused",
    ),
    21: ("missed calls are not reported", HERE),
    22: (
        "there are no statistics of queues",
        "tests/integration/test_reporting_books.py::test_the_views_tell_each_story_whatever_the_order",
    ),
    23: ("nobody is called back", HERE),
    24: ("an agent whose phone is not registered stays available", HERE),
    25: ("callers do not hear their position", HERE),
    26: (
        "recording fails for some agents",
        "tests/integration/test_recording_node.py::test_a_recorded_call_is_stored_with_its_sound_and_its_agent",
    ),
    27: ("the wrap-up of an agent of two queues ends early, or is reset by a transfer", HERE),
    28: ("the wrap-up cannot be seen", HERE),
    29: ("one phone that gives up ends the ringing of all", HERE),
    30: ("an event costs a pass over all queues and members", HERE),
    31: ("calls are counted twice under load, which skews the choice of the agent", HERE),
    32: ("transfers are missing in the log, so talk times are wrong", HERE),
    33: ("a queue with weight starves the others", HERE),
    34: ("locks of many threads block each other", HERE),
    35: ("a queue ties its tenant to one server", HERE),
    36: ("agents are thrown out when the server lags", HERE),
    37: ("answered calls are reported as abandoned", HERE),
    38: ("an agent who misses three calls is logged out for good; called-back callers jump the line", HERE),
}


def _docstrings() -> list[str]:
    """Of every test of this folder."""
    files = sorted(Path(__file__).parent.glob("test_complaints*.py"))
    tests = [n for file in files for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef)]
    return [ast.get_docstring(test) or "" for test in tests if test.name.startswith("test_")]


def test_every_complaint_is_tested_or_has_a_reason() -> None:
    """The table is whole, what it points at exists, and every test here carries its number."""
    assert sorted(TABLE) == list(range(1, 39))
    mine = {int(n) for doc in _docstrings() for n in re.findall(r"^Complaint (\d+)", doc)}
    assert {n for n, (_, where) in TABLE.items() if where == HERE} == mine
    for _, where in TABLE.values():
        if where.startswith("tests/"):
            path, _, name = where.partition("::")
            assert re.search(rf"def {name}\(", (ROOT / path).read_text()), where
