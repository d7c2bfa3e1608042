"""What is played for a text when a module of FreeSWITCH speaks, and the words of what has no recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.center import load
from services.common.clock import SystemClock
from services.ivr.adapters.speech import Playable, SpeechOfCall, SpeechOfProcess
from services.ivr.config import IvrSettings
from services.ivr.core.model import PlayPrompt, SayText, SpeakText

SHOP = Path(__file__).parents[3] / "deploy" / "centers" / "examples" / "bank.yaml"


def call(**settings: Any) -> SpeechOfCall:
    of = SpeechOfProcess(IvrSettings(auth_secret="x" * 32, **settings), SystemClock())
    center = load(SHOP).centers[0]
    return SpeechOfCall(of, None, center, lambda: 0, lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (SpeakText(1, "Order  7\nis ready.", "en"), "say:Order 7 is ready."),
        (SpeakText(1, "", "en", PlayPrompt(0, "welcome", "en")), "say:Welcome to Example Bank."),
        (SpeakText(1, "", "en", SayText(0, "125", "number", "en")), "say:one hundred twenty five"),
        (
            SpeakText(1, "", "fa", SayText(0, "1250000", "money", "fa", "rial")),
            "say:یک میلیونُ دویستُ پنجاه هزار ریال",
        ),
    ],
    ids=["a text on one line", "a prompt", "a number", "money in Persian"],
)
async def test_a_module_of_freeswitch_speaks(output: SpeakText, says: str) -> None:
    found = await call(ivr_voice="switch", ivr_voice_module="flite").playable(output)
    assert found == Playable(says, f"^^;tts_engine=flite;tts_voice={output.language}")


async def test_nobody_speaks_without_an_engine_a_folder_or_words(tmp_path: Path) -> None:
    text = SpeakText(1, "Hello", "en")
    assert await call(ivr_voice="none", ivr_speech_dir=tmp_path).playable(text) is None
    assert await call(ivr_voice="espeak-ng").playable(text) is None
    assert await call(ivr_voice="switch").playable(SpeakText(1, " ", "en")) is None
    assert (
        await call(ivr_voice="switch").playable(SpeakText(1, "", "en", PlayPrompt(0, "no-such", "en")))
        is None
    )
