"""The wallboard's files: both languages say the same things, and nothing is loaded from elsewhere."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from services.reporting.core.live_agents import MISSED_REASONS, STATES

WEB = resources.files("services.reporting") / "web"
SCRIPTS = {f.name: f.read_text("utf-8") for f in WEB.iterdir() if f.name.endswith(".js")}
CODE = "\n".join(SCRIPTS.values())
TEXTS = {tag: json.loads((WEB / f"text.{tag}.json").read_text("utf-8")) for tag in ("en", "fa")}
ALARMS = (
    "node_down", "unstaffed", "no_idle", "longest_wait", "service_level", "break_over", "missed_offer", "unreachable",
)  # fmt: skip


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    def shape(texts: dict[str, str]) -> dict[str, set[str]]:
        return {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in texts.items()}

    assert shape(TEXTS["en"]) == shape(TEXTS["fa"])
    assert all(text.strip() for texts in TEXTS.values() for text in texts.values())


def test_every_text_that_the_page_asks_for_is_there_and_none_is_left_over() -> None:
    asked = set(re.findall(r"'([a-z_]+\.[a-z_.]+)'", CODE)) & {
        k
        for k in re.findall(r"'([a-z_]+\.[a-z_.]+)'", CODE)
        if k.split(".")[0] in {t.split(".")[0] for t in TEXTS["en"]}
    }
    built = {
        *(f"state.{s}" for s in STATES),
        *(f"reason.{r}" for r in MISSED_REASONS),
        *(f"alarm.{a}" for a in ALARMS),
        *(f"level.{x}" for x in ("ok", "warn", "crit", "none")),
        *(f"link.{x}" for x in ("connecting", "live", "late", "lost")),
        *(f"signin.{x}" for x in ("body", "expired", "forbidden", "unknown")),
        *(f"tile.{x}" for x in ("service_level", "waiting", "longest", "idle", "abandoned", "answer")),
        *(f"bars.{x}" for x in ("time", "answered", "abandoned")),
        *(
            f"queues.{x}"
            for x in (
                "name",
                "service_level",
                "waiting",
                "longest",
                "talking",
                "idle",
                "wrap_up",
                "abandoned",
                "trend",
            )
        ),
    }
    assert asked | built == set(TEXTS["en"])


def test_the_page_knows_every_alarm_of_the_core() -> None:
    core = resources.files("services.reporting") / "core"
    code = "".join(
        (core / name).read_text("utf-8") for name in ("live.py", "live_agents.py", "live_tiles.py")
    )
    assert set(re.findall(r"Alarm\(\s*\"(\w+)\"", code)) == set(ALARMS)


@pytest.mark.parametrize(
    "name", sorted(f.name for f in WEB.iterdir() if f.name.endswith((".js", ".css", ".html")))
)
def test_nothing_is_loaded_from_another_host_or_inline(name: str) -> None:
    text = (WEB / name).read_text("utf-8")
    urls = set(re.findall(r"https?://[^\s'\")]+", text)) - {
        "http://www.w3.org/2000/svg",
        "https://lucide.dev",
    }
    assert urls == set()
    for banned in ("eval(", "new Function", "setAttribute('style'", "@import", "localStorage"):
        assert banned not in text


def test_the_licences_stand_beside_what_they_are_for() -> None:
    assert "SIL OPEN FONT LICENSE" in (WEB / "vazirmatn-OFL.txt").read_text("utf-8").upper()
    assert "ISC License" in (WEB / "lucide-LICENSE.txt").read_text("utf-8")
