"""Make the audio of every declared prompt and of the number prompts, and music where there is none; leave alone what
people recorded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from services.center import audio
from services.center.check import composed_prompts
from services.center.loader import CenterSet, prompt_file
from services.center.model import Center

MUSIC = "music/peyvand.wav"
"""Below the sounds folder: the stream ``local_stream://moh`` plays every file of this folder."""

MADE = ".made-prompts.json"
"""In the sounds folder: which files were made here, and from what. A file that is not listed was recorded by people."""


@dataclass(frozen=True)
class Made:
    """What one run did."""

    made: int
    current: int
    recorded: int
    engine: str


@dataclass(frozen=True)
class _Job:
    file: Path
    language: str
    prompt: str
    text: str
    wanted: str


def texts(center: Center) -> Iterator[tuple[str, str, str]]:
    """Yield (language, prompt, text) of everything callers and agents of a center may hear."""
    for language in center.languages:
        for prompt, text in composed_prompts(center, language).items():
            yield language, prompt, text
        for prompt, by_language in center.prompts.items():
            yield language, prompt, by_language[language]


def make(centers: CenterSet, sounds_dir: Path, *, espeak: str | None = None) -> Made:
    """Make what is missing or was made from another text.

    ``espeak`` is the speech program; None looks for espeak-ng, and tones are taken when there is none or it is "".

    Raises OSError when the folder cannot be written, subprocess.SubprocessError when the program fails.
    """
    program = espeak if espeak is not None else shutil.which("espeak-ng")
    engine = "espeak-ng" if program else "tones"
    render: Callable[[str, str, str], audio.Samples] = (
        (lambda language, prompt, text: audio.speech(text, language, program))
        if program
        else (lambda language, prompt, text: audio.tones(f"{language}/{prompt}", text))
    )
    index = _index(sounds_dir)
    todo: list[_Job] = []
    current = recorded = 0
    for center in centers.centers:
        for language, prompt, text in texts(center):
            file = Path(prompt_file(sounds_dir, center, language, prompt))
            key = str(file.relative_to(sounds_dir))
            wanted = hashlib.sha256(f"1 {engine} {language} {text}".encode()).hexdigest()[:16]
            if file.exists() and key not in index:
                recorded += 1
            elif file.exists() and index[key] == wanted:
                current += 1
            else:
                todo.append(_Job(file, language, prompt, text, wanted))
    # Listed before they are made (as ours, from no text yet): what is made but not listed would count as recorded by
    # people for ever. A run that is broken off leaves files that the next run makes again.
    keys = {str(job.file.relative_to(sounds_dir)): job for job in todo}
    _list(sounds_dir, index | dict.fromkeys(keys, ""))
    # Threads, because most of the time is spent waiting for the speech program.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(
            lambda job: audio.write(job.file, render(job.language, job.prompt, job.text)), todo
        ):
            pass
    if not any((sounds_dir / MUSIC).parent.glob("*.wav")):
        audio.write(sounds_dir / MUSIC, audio.music())
    _list(sounds_dir, index | {key: job.wanted for key, job in keys.items()})
    return Made(len(todo), current, recorded, engine)


def _list(sounds_dir: Path, index: dict[str, str]) -> None:
    sounds_dir.mkdir(parents=True, exist_ok=True)
    part = sounds_dir / f"{MADE}.part"
    part.write_text(json.dumps(index, indent=0, sort_keys=True), encoding="utf-8")
    part.replace(sounds_dir / MADE)


def _index(sounds_dir: Path) -> dict[str, str]:
    try:
        value = json.loads((sounds_dir / MADE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
