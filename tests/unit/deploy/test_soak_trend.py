"""How a soak judges memory: leaks are found among spikes, what fills and stops is none, short runs are not judged."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.soak_chart import sparkline, svg, table
from deploy.dev.soak_trend import (
    Sample,
    findings,
    is_judged,
    theil_sen,
    trends,
)

EVERY_S = 5.0
CALLS_PER_S = 2.0


def run(
    memory: Callable[[float], float],
    *,
    process: str = "routing",
    minutes: float = 20,
    fds: Callable[[float], float] = lambda _: 40,
) -> list[Sample]:
    """What a sampler would have seen of a process whose memory (MiB) is this function of the minutes."""
    count = int(minutes * 60 / EVERY_S)
    return [
        Sample(i * EVERY_S, process, memory(i * EVERY_S / 60), 3.0, int(fds(i * EVERY_S / 60)), 4, 20)
        for i in range(count)
    ]


def verdict(samples: list[Sample]) -> list[str]:
    found = trends(samples, calls_per_s=CALLS_PER_S)
    return findings(found, judged=is_judged(samples), books=(), restarts={}, dead_letters=0)


def test_soak_finds_a_leak_of_a_few_kilobytes_a_call() -> None:
    kib_a_call = 4
    leak = run(lambda m: 80 + m * 60 * CALLS_PER_S * kib_a_call / 1024)
    [line] = verdict(leak)
    assert line.startswith("routing: memory grew by 4.")
    assert "(4.0 KiB a call)" in line


def test_soak_finds_a_leak_behind_spikes_and_does_not_take_spikes_for_one() -> None:
    chance = random.Random(7)

    def spike() -> float:
        return chance.choice([0, 0, 0, 0, 30])

    assert verdict(run(lambda m: 80 + spike())) == []
    assert len(verdict(run(lambda m: 80 + 0.6 * m + spike()))) == 1


def test_soak_lets_memory_fill_and_stop_and_go_up_a_step() -> None:
    assert verdict(run(lambda m: 80 + 40 * min(m, 10) / 10)) == []
    assert verdict(run(lambda m: 80 if m < 15 else 82)) == []


def test_soak_holds_the_stores_against_their_own_settings() -> None:
    assert verdict(run(lambda m: 300 + m * 9, process="clickhouse")) == []
    assert verdict(run(lambda m: 50 + m * 5, process="nats", fds=lambda m: 23)) == []
    [line] = verdict(run(lambda m: 300 + m * 60, process="clickhouse"))
    assert line == "clickhouse: 1495 MiB of memory at most, its settings allow 1280 MiB"
    # Three a thread are what it keeps; a descriptor lost with every call is more.
    [line] = verdict(run(lambda _: 300, process="clickhouse", fds=lambda m: 40 + 10 * m))
    assert line == "clickhouse: 239 file descriptors with 4 threads"


def test_soak_finds_consumers_that_nobody_removes() -> None:
    def of(count: int) -> list[str]:
        consumers = [(i * EVERY_S, float(i * count)) for i in range(40)]
        return findings([], judged=False, books=(), restarts={}, dead_letters=0, consumers=consumers)

    assert of(0) == []
    assert of(2) == ["nats: 38 more consumers over the second half, the bound is 10"]


def test_soak_finds_handles_that_are_never_closed() -> None:
    [line] = verdict(run(lambda _: 80, fds=lambda m: 40 + 2 * m))
    assert line == "routing: 20 more file descriptors over the second half, the bound is 10"


def test_soak_of_a_few_minutes_says_nothing_about_memory() -> None:
    samples = run(lambda m: 80 + 10 * m, minutes=5)
    assert not is_judged(samples)
    assert verdict(samples) == []
    assert is_judged(run(lambda _: 80, minutes=20))


def test_soak_tells_of_books_restarts_and_dead_letters_however_short_it_was() -> None:
    against = findings(
        [], judged=False, books=["lost: call x"], restarts={"ivr": 2, "queue": 0}, dead_letters=3
    )
    assert against[:2] == ["lost: call x", "ivr ended by itself 2 times"]
    assert against[2].startswith("3 messages became dead letters")


@given(
    slope=st.floats(-5, 5),
    start=st.floats(0, 1000),
    wild=st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=20),
)
def test_soak_trend_is_that_of_most_samples(slope: float, start: float, wild: list[float]) -> None:
    times = [float(i) for i in range(100)]
    values = [start + slope * t for t in times]
    for i, value in enumerate(wild):
        values[i * 5] = value
    honest = theil_sen(times, values)
    # A fifth of the samples is anything: 36 % of the pairs, so the median is still a slope between two honest ones.
    assert honest == pytest.approx(slope, abs=1e-6)


def test_soak_trend_of_nothing_is_flat() -> None:
    assert theil_sen([], []) == 0
    assert theil_sen([1.0, 1.0], [3.0, 9.0]) == 0
    [only] = trends([Sample(0, "ivr", 70, 0, 1, 1)], calls_per_s=2)
    assert (only.growth_mib, only.kib_per_call) == (0, 0)


def test_soak_curves_show_every_process_and_stream() -> None:
    samples = run(lambda m: 80 + m, process="a<b") + run(lambda _: 70, process="ivr")
    found = trends(samples, calls_per_s=CALLS_PER_S)
    picture = svg(
        samples, found, {"CC_EVENTS": [(0, 0), (1200, 9)]}, title="t", subtitle="s & t", judged=True
    )
    texts = [t.text or "" for t in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b", "ivr", "CC_EVENTS", "s & t"} <= set(texts)
    assert any(t.startswith("+9.") and "bound" in t for t in texts)
    assert [row.split()[0] for row in table(samples, found)] == ["process", "a<b", "ivr"]
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(list(range(500)), 40)) == 40
