"""The pages' sources: both languages say the same things, nothing is loaded from elsewhere, no registry is named."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest

from services.reporting.core.live_agents import MISSED_REASONS, STATES

WEB = Path(str(resources.files("services"))) / "web"
SOURCES = sorted(p for p in (WEB / "src").rglob("*") if p.suffix in (".ts", ".svelte", ".css"))
CODE = "\n".join(p.read_text("utf-8") for p in SOURCES)
TEXTS = {tag: json.loads((WEB / "src" / "texts" / f"{tag}.json").read_text("utf-8")) for tag in ("en", "fa")}
ALARMS = (
    "node_down", "unstaffed", "no_idle", "longest_wait", "service_level", "break_over", "missed_offer", "unreachable",
)  # fmt: skip


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    def shape(texts: dict[str, str]) -> dict[str, set[str]]:
        return {key: set(re.findall(r"\{(\w+)\}", text)) for key, text in texts.items()}

    assert shape(TEXTS["en"]) == shape(TEXTS["fa"])
    assert all(text.strip() for texts in TEXTS.values() for text in texts.values())


def test_every_text_that_the_page_asks_for_is_there_and_none_is_left_over() -> None:
    families = {key.split(".")[0] for key in TEXTS["en"]}
    asked = {k for k in re.findall(r"'([a-z_]+(?:\.[a-z_]+)+)'", CODE) if k.split(".")[0] in families}
    # Families whose keys are put together from data: `state.${state}` asks for all that begin so.
    built = re.findall(r"`([a-z_]+(?:\.[a-z_]+)*\.)\$\{", CODE)
    built += [f"{family}." for family in re.findall(r"word\('([a-z]+)', ", CODE)]
    reached = {key for key in TEXTS["en"] if key in asked or any(key.startswith(b) for b in built)}
    assert asked <= set(TEXTS["en"])
    assert reached == set(TEXTS["en"])


def test_the_data_that_texts_are_chosen_by_all_have_one() -> None:
    data = {
        *(f"state.{s}" for s in STATES),
        *(f"reason.{r}" for r in MISSED_REASONS),
        *(f"alarm.{a}" for a in ALARMS),
    }
    assert data == {key for key in TEXTS["en"] if key.split(".")[0] in ("state", "reason", "alarm")}


def test_the_page_knows_every_alarm_of_the_core() -> None:
    core = resources.files("services.reporting") / "core"
    code = "".join(
        (core / name).read_text("utf-8") for name in ("live.py", "live_agents.py", "live_tiles.py")
    )
    assert set(re.findall(r"Alarm\(\s*\"(\w+)\"", code)) == set(ALARMS)


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.name)
def test_nothing_is_loaded_from_another_host_or_inline(source: Path) -> None:
    text = source.read_text("utf-8")
    assert set(re.findall(r"https?://[^\s'\")]+", text)) - {"https://lucide.dev"} == set()
    for banned in ("eval(", "new Function", ' style="', "@import", "localStorage"):
        assert banned not in text


def test_the_licences_stand_beside_what_they_are_for() -> None:
    assert "SIL OPEN FONT LICENSE" in (WEB / "src/assets/vazirmatn-OFL.txt").read_text("utf-8").upper()
    assert "ISC License" in (WEB / "src/assets/lucide-LICENSE.txt").read_text("utf-8")


def test_the_lock_names_no_registry_pins_everything_and_knows_every_licence() -> None:
    manifest = json.loads((WEB / "package.json").read_text("utf-8"))
    wanted = manifest.get("dependencies", {}) | manifest["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    packages = json.loads((WEB / "package-lock.json").read_text("utf-8"))["packages"]
    del packages[""]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert package["integrity"].startswith("sha512-"), name
        # MPL-2.0: tools of the build and the test of accessibility, nothing that is shipped.
        assert package["license"] in ("MIT", "ISC", "Apache-2.0", "0BSD", "BSD-3-Clause", "MPL-2.0"), name
        assert package["license"] != "MPL-2.0" or re.search(r"lightningcss|axe-core", name), name
