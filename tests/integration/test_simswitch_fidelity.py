"""The simulated switch against recordings of a real FreeSWITCH: what differs is listed with its reason, and nothing else differs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.esl_transcripts import transcript, transcripts
from tests.fidelity.compare import compare
from tests.fidelity.conversation import conversation
from tests.fidelity.known import judge, load
from tests.fidelity.order import broken, learned, stable
from tests.fidelity.player import play
from tests.fidelity.scenarios import PLAIN, SCENARIOS
from tests.fidelity.simulated import simulated


async def test_only_listed_differences_and_all_of_them(tmp_path: Path) -> None:
    async def one(number: int) -> Counter[object]:
        async with simulated(tmp_path / str(number)) as lab:
            results = await play(SCENARIOS[number], lab)
        return Counter(difference for result in results.values() for difference in result.differences)

    played = await asyncio.gather(*(one(number) for number in range(len(SCENARIOS))))
    found = [difference for differences in played for difference in differences]
    unlisted, stale, _ = judge(found, load()[0])  # type: ignore[arg-type]
    assert not unlisted
    assert not [entry.why for entry in stale]


def test_every_transcript_is_compared_or_has_a_reason() -> None:
    compared = {name for scenario in SCENARIOS for name in (scenario.name, *scenario.watched_by)}
    assert compared | set(load()[1]) == set(transcripts())
    assert not compared & set(load()[1])


def test_a_conversation_differs_from_itself_in_nothing_and_a_change_is_seen() -> None:
    frames = conversation(transcript("09_uuid_bridge_two_parked")).frames
    same = compare("09", frames, frames, [], PLAIN)
    assert (same.replies, same.events, same.headers) == (10, 56, 6643)
    assert not same.differences

    at = next(i for i, f in enumerate(frames) if f.name == "CHANNEL_BRIDGE")
    bridge = frames[at]
    assert bridge.event is not None

    def changed(**headers: str | None) -> set[tuple[str, str, str]]:
        event = {k: v for k, v in {**(bridge.event or {}), **headers}.items() if v is not None}
        other = [*frames[:at], replace(bridge, event=event), *frames[at + 1 :]]
        found = compare("09", frames, other, [], PLAIN).differences
        return {(d.kind, d.event, d.header) for d in found}

    assert changed(**{"Answer-State": "early"}) == {("value", "CHANNEL_BRIDGE", "Answer-State")}
    assert changed(**{"Answer-State": None}) == {("missing_header", "CHANNEL_BRIDGE", "Answer-State")}
    assert changed(**{"X-New": "1"}) == {("extra_header", "CHANNEL_BRIDGE", "X-New")}
    assert changed(**{"Event-Sequence": "1", "Caller-Channel-Created-Time": "5"}) == set()
    without = compare("09", frames, frames[:at] + frames[at + 1 :], [], PLAIN).differences
    assert {(d.kind, d.event) for d in without} == {("missing_event", "CHANNEL_BRIDGE")}
    answer = next(i for i, f in enumerate(frames) if f.event is None and f.reply.startswith("-ERR Invalid"))
    wrong = [*frames[:answer], replace(frames[answer], body="+OK\n"), *frames[answer + 1 :]]
    assert [d.kind for d in compare("09", frames, wrong, [], PLAIN).differences] == ["reply"]


def test_only_an_order_that_held_in_every_run_is_learned() -> None:
    a1, a2, b1, b2 = ("a", "X", 1), ("a", "X", 2), ("b", "Y", 1), ("b", "Z", 1)
    pairs = stable([[a1, b1, a2, b2], [a1, a2, b1, b2], [a1, b1, a2, b2]])
    assert set(pairs) == {(a1, b1), (a2, b2)}, "a1 before b2 follows; a2 and b1 race"
    assert broken(pairs, [b1, a1, a2, b2]) == [(a1, b1)]
    assert broken(pairs, [a1, a2, b1, b2]) == []
    assert broken(pairs, [a1, a2]) == [], "what did not come is missing, not late"


def test_order_between_legs_is_known_for_the_calls_of_two_legs() -> None:
    pairs = learned()
    assert set(pairs) <= set(transcripts())
    assert sum(map(len, pairs.values())) > 150
    assert all(first[0] != second[0] for found in pairs.values() for first, second in found)
