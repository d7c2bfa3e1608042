"""Media bugs of a leg: recordings and displaced audio, with the events of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.simswitch.channel import Channel
from services.simswitch.core.media import ENDLESS, MISSING, duration_ms
from services.simswitch.limits import release_all
from services.simswitch.recorder import Recorder
from services.simswitch.switch import Switch
from services.simswitch.voice_recorder import VoiceRecorder

_MUSIC_HZ = 350


def tone_hz(leg: Channel) -> int:
    """A tone that tells this leg's voice from others: callers 440-639 Hz, phones 1000-1199 Hz."""
    base = 440 if leg.direction == "inbound" else 1000
    return base + leg.session_id % 200


_UNBUFFERED_S = 0.02


def start_recording(
    leg: Channel, path: str, *, limit_s: int = 0, settings: Mapping[str, str] | None = None
) -> str:
    """``uuid_record <uuid> start <path> [<limit> [<settings>]]``; a second start on the same file changes nothing and succeeds.

    Of the settings, RECORD_READ_ONLY writes the leg's own voice alone, and enable_file_write_buffering=false each frame at once.
    """
    settings = settings or {}
    switch = leg.switch
    if path in leg.recorders:
        return "+OK Success\n"
    if leg.down or not switch.may_record(path):
        return "-ERR Cannot record session!\n"
    try:
        now_us = switch.clock.now_us()
        if settings.get("RECORD_READ_ONLY") == "true":
            recorder: Recorder = VoiceRecorder(path, now_us, leg)
        else:
            recorder = Recorder(path, now_us, tone_hz(leg), _heard_hz(leg))
    except OSError:
        return "-ERR Cannot record session!\n"
    if settings.get("enable_file_write_buffering") == "false":
        switch.spawn(_write_at_once(leg, path, recorder), "unbuffered")
    leg.recorders[path] = recorder
    switch.add_recorder(recorder)
    switch.fire("RECORD_START", leg, tail={"Record-File-Path": path})
    _bug(leg, "MEDIA_BUG_START", "session_record", path)
    if limit_s:
        asyncio.get_running_loop().call_later(limit_s, _record_limit, leg, path, recorder)
    return "+OK Success\n"


async def _write_at_once(leg: Channel, path: str, recorder: Recorder) -> None:
    await asyncio.sleep(_UNBUFFERED_S)
    while leg.recorders.get(path) is recorder:
        recorder.write_until(leg.switch.clock.now_us())
        await asyncio.sleep(_UNBUFFERED_S)


def _record_limit(leg: Channel, path: str, recorder: Recorder) -> None:
    if leg.recorders.get(path) is recorder:
        stop_recording(leg, path)


def stop_recording(leg: Channel, path: str) -> str:
    """``uuid_record <uuid> stop <path>|all``."""
    paths = list(leg.recorders) if path == "all" else [path]
    if not paths or any(p not in leg.recorders for p in paths):
        return "-ERR Cannot stop record session!\n"
    for p in paths:
        _stop_recording(leg, p)
    for p in reversed(paths):
        _bug(leg, "MEDIA_BUG_STOP", "session_record", p)
    return "+OK Success\n"


def mask_recording(leg: Channel, path: str, on: bool) -> str:
    """``uuid_record <uuid> mask|unmask <path>``: silence on both channels, the length goes on."""
    recorder = leg.recorders.get(path)
    if recorder is None:
        return f"-ERR Cannot {'mask' if on else 'unmask'} recording session!\n"
    recorder.mask(on, leg.switch.clock.now_us())
    return "+OK Success\n"


def open_recorder(switch: Switch, path: str, left_hz: int, right_hz: int) -> Recorder:
    """A file that grows from now on. Raises OSError when it must not or cannot be written."""
    if not switch.may_record(path):
        raise OSError(f"{path}: outside of the recordings folder")
    recorder = Recorder(path, switch.clock.now_us(), left_hz, right_hz)
    switch.add_recorder(recorder)
    return recorder


def message_recorder(leg: Channel, path: str) -> Recorder:
    """The file of the application ``record``. Raises OSError as `open_recorder` does."""
    return open_recorder(leg.switch, path, tone_hz(leg), 0)


def close_message(leg: Channel, path: str, recorder: Recorder) -> None:
    """The end of a message: RECORD_STOP, which has no Record-Completion-Cause here."""
    switch = leg.switch
    switch.drop_recorder(recorder)
    size = recorder.close(switch.clock.now_us())
    leg.variables |= {
        "record_record_file_size": str(size),
        "record_file_size": str(size),
        "record_seconds": str(recorder.ms // 1000),
        "record_ms": str(recorder.ms),
        "record_samples": str(recorder.samples),
    }
    switch.observer.recorded(leg, path, recorder.ms, recorder.samples)
    switch.fire("RECORD_STOP", leg, tail={"Record-File-Path": path}, location="RECORD_STOP message")


def hear_partner(leg: Channel) -> None:
    """The leg hears somebody else from now on: its recordings do too."""
    for recorder in leg.recorders.values():
        recorder.hears(_heard_hz(leg), leg.switch.clock.now_us())


def start_displace(leg: Channel, path: str, *, limit_s: int = 0) -> str:
    """``uuid_displace <uuid> start <path> [<limit>] [mux]``: what the leg hears is replaced, or with ``mux`` mixed, until the
    file ends, the limit is over, or it is stopped. The real switch counts only while sound flows to the leg; here it always does."""
    ms = duration_ms(path, leg.switch.file_ms)
    if ms == MISSING or path in leg.displaces or leg.down:
        return "-ERR Cannot displace session!\n"
    timer: asyncio.TimerHandle | None = None
    if limit_s:
        ms = limit_s * 1000 if ms == ENDLESS else min(ms, limit_s * 1000)
    if ms != ENDLESS:
        timer = asyncio.get_running_loop().call_later(ms / 1000, stop_displace, leg, path)
    leg.displaces[path] = timer
    _bug(leg, "MEDIA_BUG_START", "displace", path)
    return "+OK Success\n"


def stop_displace(leg: Channel, path: str) -> str:
    """``uuid_displace <uuid> stop <path>``."""
    if path not in leg.displaces:
        return "-ERR Cannot stop displace session!\n"
    timer = leg.displaces.pop(path)
    if timer is not None:
        timer.cancel()
    _bug(leg, "MEDIA_BUG_STOP", "displace", path)
    return "+OK Success\n"


def start_audio(leg: Channel, what: str) -> None:
    """``uuid_audio <uuid> start ...``: one bug, named after its first setting."""
    if not leg.audio_bug and not leg.down:
        leg.audio_bug = what
        _bug(leg, "MEDIA_BUG_START", "audio", what)


def stop_audio(leg: Channel) -> None:
    """``uuid_audio <uuid> stop``."""
    if leg.audio_bug:
        what, leg.audio_bug = leg.audio_bug, ""
        _bug(leg, "MEDIA_BUG_STOP", "audio", what)


def start_eavesdrop(leg: Channel) -> None:
    """Somebody listens to this leg."""
    leg.listeners += 1
    _bug(leg, "MEDIA_BUG_START", "eavesdrop", leg.uuid)


def stop_eavesdrop(leg: Channel) -> None:
    """They no longer do."""
    if leg.listeners:
        leg.listeners -= 1
        _bug(leg, "MEDIA_BUG_STOP", "eavesdrop", leg.uuid)


def stop_all_bugs(leg: Channel) -> None:
    """At the end of a leg: every recording is closed, then every bug is gone."""
    recordings = list(leg.recorders)
    for path in recordings:
        _stop_recording(leg, path)
    for path in recordings:
        _bug(leg, "MEDIA_BUG_STOP", "session_record", path)
    for path in list(leg.displaces):
        stop_displace(leg, path)
    stop_audio(leg)
    while leg.listeners:
        stop_eavesdrop(leg)
    release_all(leg)


def _stop_recording(leg: Channel, path: str) -> None:
    switch = leg.switch
    recorder = leg.recorders.pop(path)
    switch.drop_recorder(recorder)
    # Neither is a matter of silence or of a longest time: what was recorded says so for an end by the hang-up, and by a command.
    cause = "success-silence" if leg.down else "success-maxtime"
    size = recorder.close(switch.clock.now_us())
    leg.variables.update(
        {
            "record_file_size": str(size),
            "record_samples": str(recorder.samples),
            "record_seconds": str(recorder.ms // 1000),
            "record_ms": str(recorder.ms),
            "record_completion_cause": cause,
        }
    )
    switch.observer.recorded(leg, path, recorder.ms, recorder.samples)
    switch.fire("RECORD_STOP", leg, tail={"Record-File-Path": path, "Record-Completion-Cause": cause})


def _heard_hz(leg: Channel) -> int:
    return tone_hz(leg.partner) if leg.partner is not None else _MUSIC_HZ


def _bug(leg: Channel, event: str, function: str, target: str) -> None:
    leg.switch.fire(event, leg, head={"Media-Bug-Function": function, "Media-Bug-Target": target})
