"""What a call costs each service: CPU time per call of a demo run, the simulated switch, NATS and ClickHouse not counted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from deploy.dev.demo import Demo, fresh
from deploy.dev.stack import ROOT, Stack, find_shift, table
from deploy.dev.terminal import Terminal

CALLS_PER_S = 5.0
SECONDS = 20.0


def cpu_ms(pid: int) -> float:
    """User and system time of a process so far (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


async def main() -> int:
    folder = ROOT / ".dev" / "bench"
    fresh(folder)
    stack = Stack(
        folder,
        shift=find_shift(30_000),
        simswitch_env={
            "PEYVAND_SIMSWITCH_SCENARIO": str(ROOT / "deploy" / "dev" / "demo_scenario.yaml"),
            "PEYVAND_SIMSWITCH_RATE": str(CALLS_PER_S),
            "PEYVAND_SIMSWITCH_SEED": "1",
            "PEYVAND_SIMSWITCH_AUTOSTART": "false",
        },
    )
    demo = Demo(stack, Terminal())
    try:
        await stack.start()
        names = [row.name for row in table()]
        before = {name: cpu_ms(stack.processes[name].pid) for name in names}
        await demo.start_calls()
        await asyncio.sleep(SECONDS)
        await demo.drain(asyncio.Event())
        after = {name: cpu_ms(stack.processes[name].pid) for name in names}
        calls = (await demo.simulator("GET", "/v1/state"))["counts"]["calls"]
        per_call = {name: round((after[name] - before[name]) / calls, 2) for name in names}
        line = {
            "name": "stack_cpu",
            "calls": calls,
            "cpu_ms_per_call": per_call,
            "sum": round(sum(per_call.values()), 2),
        }
        print(json.dumps(line), flush=True)
        return 0
    finally:
        demo.terminal.stop()
        await demo.close()
        await stack.stop()
        stack.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
