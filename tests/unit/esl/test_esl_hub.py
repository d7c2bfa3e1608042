"""The bridge between asyncio and gevent."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncIterator

import gevent
import pytest
from structlog.testing import capture_logs

from services.common.errors import ConfigError, SwitchTimeout
from services.common.esl import GeventHub, SwitchAddress
from services.common.esl.client import subscription
from services.common.esl.hub import within

WHO = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture
async def hub() -> AsyncIterator[GeventHub]:
    hub = GeventHub()
    hub.start()
    yield hub
    hub.stop()
    assert not hub.running


async def test_a_call_runs_in_the_other_thread_where_it_may_block_and_sees_our_context(
    hub: GeventHub,
) -> None:
    def work(a: int, b: int) -> tuple[int, str, int]:
        gevent.sleep(0.001)
        return a + b, WHO.get(), threading.get_ident()

    WHO.set("caller")
    total, who, thread = await hub.call(work, 1, 2)
    assert (total, who) == (3, "caller")
    assert thread != threading.get_ident()


async def test_a_busy_loop_gives_the_other_thread_its_turn_ten_times_sooner_than_python_does() -> None:
    """By Python's own 5 ms, a command that was posted was written 8 ms later when 3 ms of work followed."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    hub = GeventHub()
    try:
        hub.start()
        assert sys.getswitchinterval() <= 0.0005
    finally:
        hub.stop()
        sys.setswitchinterval(before)


async def test_an_error_of_a_call_reaches_the_caller_even_the_kind_that_ends_greenlets(
    hub: GeventHub,
) -> None:
    def fail() -> None:
        raise LookupError("here")

    def end() -> None:
        raise gevent.GreenletExit

    with pytest.raises(LookupError, match="here"):
        await hub.call(fail)
    with pytest.raises(RuntimeError, match="GreenletExit"):
        await hub.call(end)


async def test_what_is_posted_and_delivered_keeps_its_order_and_errors_stop_nothing(hub: GeventHub) -> None:
    done = asyncio.Event()
    threads: set[int] = set()
    seen: list[int] = []

    def back(n: int) -> None:
        threads.add(threading.get_ident())
        seen.append(n)
        if n == 5:
            raise ValueError("on the loop")
        if n == 999:
            done.set()

    def there(n: int) -> None:
        hub.deliver(back, n)
        if n == 7:
            raise ValueError("in the hub")

    with capture_logs() as logs:
        for n in range(1000):
            hub.post(there, n)
        await asyncio.wait_for(done.wait(), 5)
    assert seen == list(range(1000))
    assert threads == {threading.get_ident()}
    assert sorted(entry["event"] for entry in logs) == ["delivery_failed", "posted_call_failed"]


async def test_many_calls_at_once_and_those_nobody_waits_for(hub: GeventHub) -> None:
    abandoned = asyncio.ensure_future(hub.call(gevent.sleep, 0.01))
    await asyncio.sleep(0)
    abandoned.cancel()
    assert await asyncio.gather(*(hub.call(divmod, n, 7) for n in range(300))) == [
        divmod(n, 7) for n in range(300)
    ]
    with pytest.raises(asyncio.CancelledError):
        await abandoned


async def test_a_stopped_hub_refuses_work_and_can_be_stopped_again() -> None:
    hub = GeventHub()
    hub.stop()
    with pytest.raises(RuntimeError):
        hub.post(print)
    hub.start()
    with pytest.raises(RuntimeError):
        hub.start()
    hub.stop()
    hub.stop()


async def test_waiting_for_an_answer_ends_with_the_name_of_the_question() -> None:
    with pytest.raises(SwitchTimeout, match="api status"):
        await within(asyncio.get_running_loop().create_future(), 0.001, "fs1: api status")


def test_an_address_is_read_and_its_password_not_shown() -> None:
    address = SwitchAddress.parse(" fs1=esl://:Clue%40Con@10.0.0.1:8022 ")
    assert address == SwitchAddress("fs1", "10.0.0.1", 8022, "Clue@Con")
    assert "Clue" not in repr(address)
    assert SwitchAddress.parse("fs1=esl://:p@[::1]").host == "::1"
    assert SwitchAddress.parse("fs1=esl://:p@host").port == 8021


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fs1",
        "fs1=",
        "FS 1=esl://:p@h:1",
        "fs1=http://:p@h:1",
        "fs1=esl://h:1",
        "fs1=esl://:@h",
        "fs1=esl://:p@h:99999",
        "fs1=esl://:a%0Ab@h:1",
    ],
)
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        SwitchAddress.parse(text)


def test_standard_names_come_before_custom_whose_words_are_all_subclasses() -> None:
    assert subscription(["CUSTOM", "HEARTBEAT"], ["a::b", "c::d"]) == "event json HEARTBEAT CUSTOM a::b c::d"
    assert subscription(["HEARTBEAT"], []) == "event json HEARTBEAT"
    assert subscription([], []) == ""
    with pytest.raises(ValueError, match="CUSTOM"):
        subscription(["CUSTOM"], [])
