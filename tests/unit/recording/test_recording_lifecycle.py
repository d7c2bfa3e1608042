"""From RECORD_START to a finished file, and what happens when something in between is missed."""

from __future__ import annotations

from services.recording.core import facts
from services.recording.core import lifecycle as c

NOW = 1_763_700_000_000_000
REC = c.Recording(recording_id="r1", tenant="demo", contact="c1", path="demo/2026/11/21/c1.wav")
SOUND = c.Examination(
    bytes=32_044, duration_ms=1_000, channels=2, sample_rate=8000, sha256="ab", rms=(0.1, 0.2), repaired=False
)
TALK = c.Talking(at_us=NOW, contact="c1", agent="sara", queue="sales", bridged_at_us=NOW - 5)


def stored(outputs: list[c.Output]) -> facts.RecordingStored:
    (keep,) = outputs
    assert isinstance(keep, c.Keep)
    assert isinstance(keep.fact, facts.RecordingStored)
    return keep.fact


def test_an_ordinary_recording() -> None:
    life = c.Lifecycle("fs1")
    (report,) = life.handle(c.Began(at_us=NOW, recording=REC))
    assert isinstance(report, c.Report)
    assert (report.fact_id, type(report.fact).__name__) == ("c1:recording-started:r1", "RecordingStarted")
    assert life.handle(TALK) == []
    assert life.handle(c.Stopped(at_us=NOW + 9, recording=REC)) == [
        c.Examine(recording=REC, may_repair=False)
    ]
    fact = stored(life.handle(c.Examined(at_us=NOW + 10, recording=REC, found=SOUND)))
    assert (fact.agent_id, fact.queue, fact.started_at_us, fact.rms) == ("sara", "sales", NOW, (0.1, 0.2))
    assert life.open_paths() == {REC.path}
    life.handle(c.Kept(at_us=NOW + 11, path=REC.path))
    assert life.open_paths() == frozenset()


def test_a_file_waits_for_the_name_of_its_agent_but_not_for_ever() -> None:
    life = c.Lifecycle("fs1")
    life.handle(c.Stopped(at_us=NOW, recording=REC))
    assert life.handle(c.Examined(at_us=NOW, recording=REC, found=SOUND)) == [
        c.SetTimer(path=REC.path, after_ms=c.AGENT_WAIT_MS)
    ]
    assert stored(life.handle(TALK)).agent_id == "sara"
    assert life.handle(c.TimerFired(at_us=NOW, path=REC.path)) == []

    other = c.Lifecycle("fs1")
    other.handle(c.Stopped(at_us=NOW, recording=REC))
    other.handle(c.Examined(at_us=NOW, recording=REC, found=SOUND))
    fact = stored(other.handle(c.TimerFired(at_us=NOW, path=REC.path)))
    assert (fact.agent_id, fact.started_at_us) == ("", NOW - 1_000_000)
    assert other.handle(TALK) == []


def test_a_sweep_leaves_alone_what_may_still_be_written() -> None:
    life = c.Lifecycle("fs1")
    for resting_ms in (10**9, 0):
        found = c.Unfinished(at_us=NOW, recording=REC, leg_alive=True, resting_ms=resting_ms)
        assert life.handle(found) == []
    # Too young: not touched, but looked for again when it is old enough.
    found = c.Unfinished(at_us=NOW, recording=REC, leg_alive=False, resting_ms=c.QUIET_MS - 700)
    assert life.handle(found) == [c.SweepAgain(after_ms=700)]
    assert life.handle(c.Unfinished(at_us=NOW, recording=REC, leg_alive=False, resting_ms=c.QUIET_MS)) == [
        c.Examine(recording=REC, may_repair=True)
    ]


def test_a_file_is_looked_at_once_however_often_it_is_found() -> None:
    life = c.Lifecycle("fs1")
    life.handle(c.Began(at_us=NOW, recording=REC))
    found = c.Unfinished(at_us=NOW, recording=REC, leg_alive=False, resting_ms=10**6)
    assert len(life.handle(found)) == 1
    assert life.handle(found) == []
    assert life.handle(c.Stopped(at_us=NOW, recording=REC)) == []
    assert life.handle(c.Began(at_us=NOW, recording=REC)) == []
    life.handle(TALK)
    assert len(life.handle(c.Examined(at_us=NOW, recording=REC, found=SOUND))) == 1
    assert life.handle(found) == []
    assert life.handle(c.Examined(at_us=NOW, recording=REC, found=SOUND)) == []


def test_nothing_to_hear_is_a_fact_too() -> None:
    life = c.Lifecycle("fs1")
    life.handle(c.Stopped(at_us=NOW, recording=REC))
    (keep,) = life.handle(c.Examined(at_us=NOW, recording=REC, found=None, problem="missing"))
    assert isinstance(keep, c.Keep)
    assert isinstance(keep.fact, facts.RecordingFailed)
    assert (keep.fact.reason, keep.fact_id) == ("missing", "c1:recording-failed:r1")


def test_the_first_agent_of_a_contact_names_the_file() -> None:
    life = c.Lifecycle("fs1")
    life.handle(TALK)
    life.handle(c.Talking(at_us=NOW, contact="c1", agent="reza", queue="sales", bridged_at_us=NOW))
    life.handle(c.Stopped(at_us=NOW, recording=REC))
    assert stored(life.handle(c.Examined(at_us=NOW, recording=REC, found=SOUND))).agent_id == "sara"


def test_what_is_said_in_a_survey_is_of_the_conversation_before_it() -> None:
    comment = c.Recording(
        recording_id="r9",
        tenant="demo",
        contact="c1",
        path="demo/2026/11/21/c1.comment.why.wav",
        is_comment=True,
    )
    life = c.Lifecycle("fs1")
    life.handle(c.Talking(at_us=NOW, contact="c1", agent="sara", queue="sales", bridged_at_us=NOW))
    life.handle(c.Began(at_us=NOW + 5, recording=comment))
    life.handle(c.Stopped(at_us=NOW + 9, recording=comment))
    fact = stored(life.handle(c.Examined(at_us=NOW + 10, recording=comment, found=SOUND)))
    assert (fact.kind, fact.agent_id, fact.queue, fact.started_at_us) == ("comment", "sara", "sales", NOW + 5)


def test_a_message_is_nobodys_conversation_and_waits_for_no_name() -> None:
    message = c.Recording(
        recording_id="r2",
        tenant="demo",
        contact="c1",
        path="demo/2026/11/21/c1.message.sales.wav",
        message_for="sales",
    )
    life = c.Lifecycle("fs1")
    life.handle(TALK)  # the caller had talked to sara before, and was sent back to the queue
    life.handle(c.Began(at_us=NOW, recording=message, caller="0912"))
    life.handle(c.Stopped(at_us=NOW + 9, recording=message))
    fact = stored(life.handle(c.Examined(at_us=NOW + 10, recording=message, found=SOUND)))
    assert (fact.kind, fact.agent_id, fact.queue, fact.caller) == ("message", "", "sales", "0912")
    # Found by the sweep after a crash: the caller's number is not known, the queue is.
    life = c.Lifecycle("fs1")
    life.handle(c.Unfinished(at_us=NOW, recording=message, leg_alive=False, resting_ms=c.QUIET_MS))
    fact = stored(life.handle(c.Examined(at_us=NOW + 10, recording=message, found=SOUND)))
    assert (fact.kind, fact.queue, fact.caller) == ("message", "sales", "")
