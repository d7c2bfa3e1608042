"""Steps that the tests on the real switch share: waiting for what is to become true, agents on duty, books of a queue."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np

from services.common.clickhouse import StoreUrl
from services.common.clickhouse.server import ServerStore
from services.common.errors import StoreUnavailable
from services.reporting.books import Books
from tests.freeswitch.conftest import Rig

Samples = np.ndarray[Any, np.dtype[np.float64]]


async def until(what: str, check: Callable[[], Awaitable[Any]], timeout_s: float = 120) -> Any:
    """Poll until ``check`` gives something true, and return it. A service that does not answer now is asked again."""
    last: object = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    if last := await check():
                        return last
                except (httpx.HTTPError, StoreUnavailable) as e:
                    last = e
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not in {timeout_s} s: {what}; the last look said {last!r}") from None


async def is_idle(rig: Rig, agent_id: str, timeout_s: float = 120) -> None:
    """Until the agent is available and idle."""

    seen: dict[str, Any] = {}

    async def ready() -> bool:
        seen.update(await rig.agent(agent_id))
        return bool(seen["presence"] == "available" and seen["activity"] == "idle")

    try:
        await until(f"{agent_id} is available and idle", ready, timeout_s)
    except AssertionError as e:
        raise AssertionError(f"{e}: {seen}") from None


async def log_in(rig: Rig, agent_id: str, extension: str) -> None:
    """Register the phone and dial the code."""
    await rig.lab.register(extension)
    assert (await rig.lab.dial_code(extension, "*22")).successful == 1
    await is_idle(rig, agent_id)


async def on_duty(rig: Rig, agent_id: str, extension: str = "") -> None:
    """Register the phone, if there is one, and make the agent available by HTTP."""
    if extension:
        await rig.lab.register(extension)
    await until(
        f"{agent_id} may be made available",
        lambda: rig.post("routing", f"/v1/agents/{agent_id}/presence", presence="available"),
    )
    await is_idle(rig, agent_id)


async def waits(rig: Rig, queue: str, count: int = 1) -> list[dict[str, Any]]:
    """Until ``count`` callers wait in ``queue``, and nobody of them is offered."""

    async def seen() -> Any:
        found = await rig.calls(queue, "waiting")
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await until(f"{count} wait in {queue}", seen)
    return found


async def talks(rig: Rig, queue: str, count: int = 1, timeout_s: float = 120) -> list[dict[str, Any]]:
    """Until ``count`` callers of ``queue`` talk."""

    async def seen() -> Any:
        found = await rig.calls(queue, "talking")
        return found if len(found) == count else None

    found: list[dict[str, Any]] = await until(f"{count} talk in {queue}", seen, timeout_s)
    return found


async def hang_up(rig: Rig, contact_id: str) -> None:
    """End a contact's call: a conversation lasts as long as the test needs it, on a slow machine too."""
    await rig.post("queue", f"/v1/calls/{contact_id}/hangup")


@asynccontextmanager
async def books(rig: Rig) -> AsyncIterator[Books]:
    """The tenant's contacts of the last and the next day, as facts and legs tell them: nobody waits for settling."""
    store = ServerStore(StoreUrl.parse(rig.stack.clickhouse_url), threads=1)
    now_us, day_us = time.time_ns() // 1000, 86_400_000_000
    try:
        yield Books(store, rig.tenant, now_us - day_us, now_us + day_us)
    finally:
        await store.stop()


async def closed(rig: Rig, count: int = 1, **of: str) -> list[dict[str, Any]]:
    """Until the books have ``count`` contacts of an entry point or a queue, all closed; in the order of their start."""

    async with books(rig) as kept:

        async def seen() -> Any:
            items = await kept.contacts(**of)
            return items if len(items) == count and all(c["state"] == "closed" for c in items) else None

        items: list[dict[str, Any]] = await until(f"{count} contacts of {of} are closed", seen)
    return items[::-1]


async def booked(rig: Rig, outcomes: dict[str, str], **of: str) -> None:
    """Until the books have these contacts with these outcomes.

    A leg's record may be stored before routing's facts of the same call, and until they come the outcome is a guess.
    """

    async with books(rig) as kept:

        async def seen() -> bool:
            items = await kept.contacts(**of)
            found = {c["contact_id"]: c["outcome"] for c in items if c["state"] == "closed"}
            return {c: found.get(c) for c in outcomes} == outcomes

        await until(f"the books say {outcomes}", seen)


async def counted(rig: Rig, queue: str, **counts: int) -> None:
    """Until the report of a queue has these counts: of the catalogue, over what was settled."""

    async def seen() -> bool:
        body = await rig.get(
            "reporting", "/v1/reports/query", measures=",".join(counts), **{"filter.queue": queue, **day()}
        )
        return {name: body["totals"][name] for name in counts} == counts

    await until(f"the report of {queue} says {counts}", seen)


def day() -> dict[str, str]:
    """The last 24 hours as reports are asked for it: today may be a minute old."""
    now_s = time.time_ns() // 1_000_000_000
    return {"from": str(now_s - 86_400), "to": str(now_s + 60)}


async def offers(rig: Rig, contact_id: str) -> list[dict[str, Any]]:
    """The offers of a contact in their order, as the books have them."""
    story = await rig.get("reporting", f"/v1/contacts/{contact_id}")
    return sorted(story["offers"], key=lambda o: int(o["attempt"]))


async def no_legs(rig: Rig, timeout_s: float = 15) -> None:
    """Until FreeSWITCH has no channel any more."""

    async def none() -> bool:
        return await rig.switch.channels() == 0

    await until("no leg is left", none, timeout_s)


async def recording_of(rig: Rig, contact_id: str, timeout_s: float = 120) -> dict[str, Any]:
    """Until the recording of the contact is stored."""

    async def stored() -> Any:
        found = (await rig.get("recording", "/v1/recordings"))["recordings"]
        return next((r for r in found if r["contact_id"] == contact_id), None)

    found: dict[str, Any] = await until(f"the recording of {contact_id} is stored", stored, timeout_s)
    return found


async def sound_of(rig: Rig, recording_id: str) -> tuple[Samples, int]:
    """Samples of a stereo recording (n x 2: left the caller, right what the caller hears) and their rate."""
    audio = await rig.get("recording", f"/v1/recordings/{recording_id}/audio")
    with wave.open(io.BytesIO(audio)) as wav:
        assert wav.getnchannels() == 2
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2).astype(float)
        return samples, wav.getframerate()


def middle(samples: Samples) -> Samples:
    """The third in the middle, where both parties are sure to be there."""
    return samples[len(samples) // 3 : 2 * len(samples) // 3]


def loudness(samples: Samples) -> float:
    """Root mean square; silence is near 0, full scale 32767."""
    return float(np.sqrt(np.mean(samples**2)))


def strongest_hz(samples: Samples, rate: int) -> float:
    """The frequency with the most energy."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[int(spectrum.argmax())])


async def asks(rig: Rig, entry_point: str, queue: str, number: str) -> str:
    """Somebody calls, waits, asks to be called back, and is let go; returns the callback."""
    caller = await rig.lab.callers(entry_point, hz=0, ani=number)
    contact: str = (await waits(rig, queue))[0]["contact_id"]
    await rig.switch.api(f"uuid_recv_dtmf {contact} 7")
    await rig.switch.api(f"uuid_recv_dtmf {contact} 1")
    assert (await caller.done(20)).successful == 1, "the caller was not hung up"

    async def listed() -> bool:
        found = await rig.get("routing", "/v1/callbacks")
        return (contact, number, queue) in [(c["callback_id"], c["number"], c["queue"]) for c in found]

    await until("the callback is in line", listed)
    return contact


async def comes_on(rig: Rig, agent_id: str) -> None:
    """Make the agent available; it is not idle for a moment then."""
    await until(
        f"{agent_id} may be made available",
        lambda: rig.post("routing", f"/v1/agents/{agent_id}/presence", presence="available"),
    )
