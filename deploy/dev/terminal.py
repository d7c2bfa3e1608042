"""What a person sees in the terminal: steps while starting, then a live summary (a table that is drawn again on a terminal,
a line every few seconds elsewhere)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

_PLAIN_EVERY_S = 5.0


@dataclass(frozen=True)
class Picture:
    """One moment of the demo."""

    elapsed_s: float
    note: str
    calls: Mapping[str, int]
    queues: Sequence[tuple[str, int, float, int, int]]
    """Name, waiting, longest wait (s), talking, idle agents."""
    agents: Mapping[str, int]


class Terminal:
    """Writes to standard error, so that standard output holds nothing but the result."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._last_plain = 0.0

    def step(self, text: str) -> None:
        self.console.print(f"[dim]·[/] {text}", soft_wrap=True)

    def addresses(self, rows: Sequence[tuple[str, str]]) -> None:
        width = max(len(name) for name, _ in rows)
        self.console.print()
        for name, where in rows:
            self.console.print(
                Text(f"  {name:<{width}}  ", style="bold").append(where, style="cyan not bold"),
                soft_wrap=True,
            )
        self.console.print()

    def warn(self, text: str) -> None:
        self.console.print(Text(f"! {text}", style="yellow"), soft_wrap=True)

    def show(self, picture: Picture) -> None:
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, auto_refresh=False, transient=False)
                self._live.start()
            self._live.update(self._draw(picture), refresh=True)
            return
        now = time.monotonic()
        if now - self._last_plain >= _PLAIN_EVERY_S:
            self._last_plain = now
            calls = " ".join(f"{k}={v}" for k, v in picture.calls.items())
            agents = " ".join(f"{k}={v}" for k, v in picture.agents.items())
            self.console.print(
                f"{picture.elapsed_s:4.0f} s  {calls}  agents: {agents}  {picture.note}",
                markup=False,
                soft_wrap=True,
            )

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, picture: Picture) -> Group:
        calls = Table.grid(padding=(0, 3))
        for _ in picture.calls:
            calls.add_column(justify="right")
        calls.add_row(*(f"[bold]{v}[/]" for v in picture.calls.values()))
        calls.add_row(*(f"[dim]{k}[/]" for k in picture.calls))
        queues = Table(box=None, pad_edge=False, header_style="dim")
        queues.add_column("queue", min_width=16)
        for title in ("waiting", "longest", "talking", "idle agents"):
            queues.add_column(title, justify="right", min_width=9)
        for name, waiting, longest, talking, idle in picture.queues:
            style = "red" if waiting > 5 else ("yellow" if waiting else "")
            queues.add_row(name, Text(str(waiting), style=style), f"{longest:.0f} s", str(talking), str(idle))
        agents = Text("agents  ", style="dim")
        for state, count in picture.agents.items():
            agents.append(f"{count} ", style="bold not dim").append(f"{state}   ")
        head = Text(f"{picture.elapsed_s:.0f} s  ", style="bold").append(picture.note, style="not bold")
        return Group(head, "", calls, "", queues, "", agents)
