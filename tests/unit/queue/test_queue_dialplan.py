"""What the dialplan must leave as it is, since each of these was measured to cost callers on a real switch (its opening comment)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

DIALPLAN = Path(__file__).parents[3] / "freeswitch" / "conf" / "dialplan" / "peyvand.xml"
WAITING = "Event-Subclass=peyvand::waiting"


def extensions() -> dict[str, list[tuple[str, str]]]:
    return {
        str(extension.get("name")): [
            (str(a.get("application")), a.get("data", "")) for a in extension.iter("action")
        ]
        for extension in ET.parse(DIALPLAN).iter("extension")
    }


def variables(actions: list[tuple[str, str]]) -> dict[str, str]:
    pairs = [
        pair.partition("=")[::2]
        for app, data in actions
        if app in ("set", "multiset")
        for pair in data.removeprefix("^^;").split(";")
    ]
    return dict(pairs)


def test_nothing_limits_a_park() -> None:
    """``park_timeout`` cancels park_after_bridge, and the socket is a park, too: callers are hung up in the menu."""
    for name, actions in extensions().items():
        assert "park_timeout" not in str(actions), name


@pytest.mark.parametrize("name", [n for n, actions in extensions().items() if WAITING in str(actions)])
def test_whoever_waits_hears_music_that_lets_keys_through_and_survives_its_end(name: str) -> None:
    """endless_playback swallows every key, and a terminator left by an ivr that died would end the music at that key."""
    actions = extensions()[name]
    told = next(n for n, (_, data) in enumerate(actions) if WAITING in data)
    assert [app for app, _ in actions[told + 1 :]] == ["playback", "park"]
    assert actions[told + 1][1] == "local_stream://moh"
    before = variables(actions[:told])
    assert before["playback_terminators"] == "none"
    assert before["hold_music"] == "local_stream://moh"
    assert before["uuid_bridge_park_on_cancel"] == "true"
    sockets = [n for n, (app, _) in enumerate(actions) if app == "socket"]
    for n in sockets:
        assert variables(actions[n:told])["playback_terminators"] == "none"


def test_whoever_waits_is_somewhere_in_it() -> None:
    told = {n for n, actions in extensions().items() if WAITING in str(actions)}
    assert {"moved_caller", "entry_point"} <= told
