"""Whatever order things are seen in, a recording is finished once, and only with a file that was looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.recording.core import lifecycle as c

REC = c.Recording(recording_id="r1", tenant="demo", contact="c1", path="demo/2026/11/21/c1.wav")
SOUND = c.Examination(
    bytes=44, duration_ms=0, channels=2, sample_rate=8000, sha256="", rms=(0.0, 0.0), repaired=False
)
STEPS = st.sampled_from(["began", "stopped", "talking", "alive", "young", "left", "look", "timer"])


@given(steps=st.lists(STEPS, max_size=25), good=st.booleans())
def test_a_recording_is_finished_exactly_once(steps: list[str], good: bool) -> None:
    life = c.Lifecycle("fs1")
    looks: list[c.Examine] = []
    timers: list[c.SetTimer] = []
    kept: list[c.Keep] = []

    def feed(event: c.Input) -> None:
        for output in life.handle(event):
            match output:
                case c.Examine():
                    looks.append(output)
                case c.SetTimer():
                    timers.append(output)
                case c.Keep():
                    kept.append(output)

    def step(name: str) -> None:
        match name:
            case "began":
                feed(c.Began(at_us=1, recording=REC))
            case "stopped":
                feed(c.Stopped(at_us=1, recording=REC))
            case "talking":
                feed(c.Talking(at_us=1, contact="c1", agent="sara", queue="q", bridged_at_us=1))
            case "alive" | "young" | "left":
                feed(
                    c.Unfinished(
                        at_us=1,
                        recording=REC,
                        leg_alive=name == "alive",
                        resting_ms=0 if name == "young" else 10**6,
                    )
                )
            case "look" if looks:
                looks.pop(0)
                found = SOUND if good else None
                feed(c.Examined(at_us=1, recording=REC, found=found, problem="" if good else "empty"))
            case "timer" if timers:
                timers.pop(0)
                feed(c.TimerFired(at_us=1, path=REC.path))

    for name in steps:
        step(name)
        assert len(looks) <= 1
        assert len(kept) <= 1
    for name in ("left", "look", "timer"):
        step(name)
    assert len(kept) == 1
    feed(c.Kept(at_us=1, path=REC.path))
    assert life.open_paths() == frozenset()
