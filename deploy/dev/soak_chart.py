"""The curves of a soak: small multiples as SVG for people and reports, one line a process for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from deploy.dev.soak_trend import CEILINGS_MIB, Sample, Trend

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 3
_WIDTH, _HEIGHT, _GAP = 330, 190, 24
_LEFT, _TOP, _BOTTOM, _RIGHT = 46, 40, 26, 10
_HEAD = 64
# Okabe-Ito's blue and vermilion: told apart without seeing colours as most do.
_LINE, _TREND = "#0072b2", "#d55e00"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values in ``width`` blocks between their least and their greatest."""
    if not values:
        return ""
    picked = [values[i * len(values) // width] for i in range(width)] if len(values) > width else values
    low, high = min(picked), max(picked)
    span = high - low or 1.0
    return "".join(_BLOCKS[min(7, int((v - low) / span * 8))] for v in picked)


def _bound(trend: Trend) -> str:
    ceiling = CEILINGS_MIB.get(trend.process)
    return f"bound {trend.bound_mib:.2f}" if ceiling is None else f"ceiling {ceiling:.0f}"


def table(samples: Sequence[Sample], trends: Sequence[Trend]) -> list[str]:
    """One line a process: its curve, from what to what, the trend and its bound."""
    rows = [
        f"{'process':<12} {'resident memory':<40} {'start':>7} {'half':>7} {'end':>7} MiB"
        f" {'grew':>7} {'may':>12} {'KiB/call':>8} {'CPU %':>6}"
    ]
    for trend in trends:
        curve = sparkline([s.rss_mib for s in samples if s.process == trend.process])
        rows.append(
            f"{trend.process:<12} {curve:<40} {trend.first_mib:7.1f} {trend.half_mib:7.1f} {trend.last_mib:7.1f}    "
            f" {trend.growth_mib:+7.2f} {_bound(trend):>12} {trend.kib_per_call:8.2f} {trend.cpu_percent:6.1f}"
        )
    return rows


def svg(
    samples: Sequence[Sample],
    trends: Sequence[Trend],
    storage: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    subtitle: str,
    judged: bool,
) -> str:
    """One panel a process (resident memory, with the trend of the second half) and one a stream (MiB on disk).

    Bounds are told, and what is beyond them is marked, only if the run was long enough to be ``judged``.
    """
    end_s = max((s.at_s for s in samples), default=0.0)
    panels: list[tuple[str, str, Sequence[tuple[float, float]], float | None, bool]] = []
    for trend in trends:
        points = [(s.at_s, s.rss_mib) for s in samples if s.process == trend.process]
        note = f"{trend.growth_mib:+.2f} MiB in the second half" + (f", {_bound(trend)}" if judged else "")
        panels.append(
            (trend.process, note, points, trend.slope_mib_per_min / 60, judged and bool(trend.excess))
        )
    for name, stored in storage.items():
        last = stored[-1][1] if stored else 0.0
        panels.append((name, f"JetStream storage, {last:.1f} MiB at the end", stored, None, False))
    rows = -(-len(panels) // _COLUMNS)
    width = _COLUMNS * (_WIDTH + _GAP) + _GAP
    height = _HEAD + rows * (_HEIGHT + _GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_GAP}" y="28" font-size="18" font-weight="600">{escape(title)}</text>',
        f'<text x="{_GAP}" y="48" fill="#555">{escape(subtitle)}</text>',
    ]
    for number, (name, note, curve, slope, bad) in enumerate(panels):
        x = _GAP + (number % _COLUMNS) * (_WIDTH + _GAP)
        y = _HEAD + (number // _COLUMNS) * (_HEIGHT + _GAP)
        out.append(f'<g transform="translate({x},{y})">{_panel(name, note, curve, slope, bad, end_s)}</g>')
    return "\n".join([*out, "</svg>", ""])


def _panel(
    name: str, note: str, points: Sequence[tuple[float, float]], slope: float | None, bad: bool, end_s: float
) -> str:
    values = [v for _, v in points] or [0.0]
    low, high = min(values), max(values)
    # At least 4 MiB from bottom to top, or noise of kilobytes would look like mountains.
    room = max(4.0 - (high - low), (high - low) * 0.1)
    low, high = max(0.0, low - room / 2), high + room / 2
    plot_w, plot_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(at_s: float, value: float) -> str:
        across = _LEFT + plot_w * (at_s / end_s if end_s else 0.0)
        return f"{across:.1f},{_TOP + plot_h * (1 - (value - low) / (high - low)):.1f}"

    parts = [
        f'<text x="0" y="14" font-size="13" font-weight="600">{escape(name)}</text>',
        f'<text x="0" y="29" fill="{_TREND if bad else "#555"}">{escape(note)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = _TOP + plot_h * (1 - share)
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{plot_w}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{low + (high - low) * share:.1f}</text>'
        )
        across = _LEFT + plot_w * share
        parts.append(
            f'<text x="{across:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{end_s * share / 60:.3g} min</text>'
        )
    parts.append(
        f'<polyline points="{" ".join(place(t, v) for t, v in points)}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'
    )
    half = [(t, v) for t, v in points if t >= end_s / 2]
    if slope is not None and half:
        # Theil-Sen's line goes through the medians.
        middle_t = sorted(t for t, _ in half)[len(half) // 2]
        middle_v = sorted(v - slope * (t - middle_t) for t, v in half)[len(half) // 2]
        ends = [place(t, middle_v + slope * (t - middle_t)) for t in (half[0][0], half[-1][0])]
        parts.append(
            f'<polyline points="{" ".join(ends)}" fill="none" stroke="{_TREND}" stroke-width="2" stroke-dasharray="5 3"/>'
        )
    return "".join(parts)
