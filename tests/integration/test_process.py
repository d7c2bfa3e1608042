"""A process of a service as an operator meets it: exit codes, messages, an orderly end."""

import asyncio
import json
import os
import signal
import sys

import httpx
import pytest

CODE = """
from services.common import config, runtime
class Part:
    async def stop(self): print("part closed", flush=True)
async def start(settings, rt):
    rt.add(Part())
    rt.ready("part", True)
    MORE
runtime.run("test", config.Settings, start)
"""


async def launch(more: str = "pass", **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CODE.replace("MORE", more),
        env={
            **os.environ,
            "PEYVAND_AUTH_SECRET": "s" * 40,
            "PEYVAND_LOG_FORMAT": "json",
            "PYTHONPATH": os.getcwd(),
            **env,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def listening_port(child: asyncio.subprocess.Process) -> int:
    assert child.stderr is not None
    while line := await child.stderr.readline():
        entry = json.loads(line)
        if entry["event"] == "http_listening":
            return int(entry["port"])
    raise AssertionError("the process never listened")


async def test_a_signal_ends_it_in_order_with_exit_code_0() -> None:
    child = await launch()
    port = await listening_port(child)
    async with httpx.AsyncClient(trust_env=False) as client:
        while (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    out, _ = await child.communicate()
    assert child.returncode == 0
    assert b"part closed" in out


async def test_what_the_start_has_made_is_left_out_of_later_collections() -> None:
    """With some 80,000 objects that live as long as the process, a full collection stops a service for 70 ms and more."""
    look = (
        "async def look():\n"
        "        import asyncio, gc\n"
        "        await asyncio.sleep(0.2)\n"
        "        print('frozen', gc.get_freeze_count(), flush=True); rt.stop()\n"
        "    rt.spawn(look())"
    )
    out, _ = await (await launch(look)).communicate()
    found = next(line for line in out.splitlines() if line.startswith(b"frozen "))
    assert int(found.split()[1]) > 10_000


async def test_a_process_gives_way_to_others_by_its_setting() -> None:
    look = "import os; print('niceness', os.getpriority(os.PRIO_PROCESS, 0), flush=True); rt.stop()"
    out, _ = await (await launch(look, PEYVAND_NICE="3")).communicate()
    found = next(line for line in out.splitlines() if line.startswith(b"niceness "))
    assert int(found.split()[1]) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 3)


async def test_who_may_not_go_before_others_says_so_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = "import os\ndef refuse(_): raise PermissionError\nos.nice = refuse\n"
    monkeypatch.setattr(sys.modules[__name__], "CODE", refuse + CODE)
    child = await launch("rt.stop()", PEYVAND_NICE="-5")
    _, err = await child.communicate()
    assert child.returncode == 0
    said = next(json.loads(line) for line in err.splitlines() if b"niceness_refused" in line)
    assert (said["wanted"], said["rlimit_nice_needed"]) == (-5, 25)


async def test_wrong_settings_name_the_variable_and_exit_with_78() -> None:
    child = await launch(PEYVAND_AUTH_SECRET="short", PEYVAND_HTTP_PORT="99999")
    _, err = await child.communicate()
    assert child.returncode == 78
    assert b"PEYVAND_AUTH_SECRET" in err
    assert b"PEYVAND_HTTP_PORT" in err


async def test_a_task_that_fails_ends_the_process_with_70_after_closing_the_parts() -> None:
    child = await launch("async def fail(): raise ValueError('broken')\n    rt.spawn(fail(), 'doomed')")
    out, err = await child.communicate()
    assert child.returncode == 70
    assert b"doomed" in err
    assert b"part closed" in out


async def test_a_taken_port_is_named() -> None:
    first = await launch()
    port = await listening_port(first)
    second = await launch(PEYVAND_HTTP_PORT=str(port))
    _, err = await second.communicate()
    first.terminate()
    await first.communicate()
    assert second.returncode == 78
    assert str(port).encode() in err
    assert b"PEYVAND_HTTP_PORT" in err
