"""What ivr knows of the files of a sentence: asked for once, again after a while, and never in a caller's way."""

from __future__ import annotations

import pytest

from services.common.errors import CallGone, SwitchTimeout
from services.common.sentences import Sentences

FILES = ["/s/4.wav", "/s/7.wav", "/s/4.wav"]


class Node:
    """Answers as a FreeSWITCH with these files."""

    def __init__(self, *files: str) -> None:
        self.files = set(files)
        self.asked: list[str] = []
        self.fault: Exception | None = None

    async def api(self, line: str) -> str:
        self.asked.append(line)
        if self.fault is not None:
            raise self.fault
        return "true" if line.removeprefix("file_exists ") in self.files else "false"


async def test_each_file_is_asked_for_once_a_minute_and_node() -> None:
    now_s = 100.0
    sentences = Sentences(lambda: now_s)
    node = Node(*FILES)
    assert sentences.whole("fs1", FILES) is None
    assert await sentences.ask("fs1", FILES, node.api)
    assert node.asked == ["file_exists /s/4.wav", "file_exists /s/7.wav"]
    assert sentences.whole("fs1", FILES) is True
    assert sentences.whole("fs2", FILES) is None, "another node has files of its own"
    node.files.add("/s/1.wav")
    assert await sentences.ask("fs1", ["/s/1.wav", "/s/7.wav"], node.api)
    assert node.asked[2:] == ["file_exists /s/1.wav"], "what is known is not asked for"
    now_s += 60
    assert sentences.whole("fs1", FILES) is None


async def test_what_is_missing_is_looked_for_again_sooner() -> None:
    now_s = 100.0
    sentences = Sentences(lambda: now_s)
    node = Node("/s/4.wav")
    assert not await sentences.ask("fs1", FILES, node.api)
    assert sentences.whole("fs1", FILES) is False
    assert sentences.whole("fs1", ["/s/4.wav"]) is True
    assert sentences.whole("fs1", ["/s/never-seen.wav", "/s/7.wav"]) is False, "one hole is enough"
    node.files.add("/s/7.wav")
    now_s += 5
    assert sentences.whole("fs1", FILES) is None
    assert await sentences.ask("fs1", FILES, node.api)
    assert sentences.whole("fs1", FILES) is True


async def test_a_node_that_does_not_answer_is_taken_to_have_them_and_is_asked_again() -> None:
    sentences = Sentences(lambda: 100.0)
    node = Node()
    node.fault = SwitchTimeout("no answer")
    assert await sentences.ask("fs1", FILES, node.api)
    assert sentences.whole("fs1", FILES) is None
    node.fault = None
    assert not await sentences.ask("fs1", FILES, node.api)


async def test_a_call_that_ends_meanwhile_says_so() -> None:
    node = Node()
    node.fault = CallGone("hung up")
    with pytest.raises(CallGone):
        await Sentences(lambda: 100.0).ask("fs1", FILES, node.api)


async def test_answers_do_not_pile_up_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.common.sentences._MOST", 3)
    sentences = Sentences(lambda: 100.0)
    node = Node("/s/1.wav")
    files = [f"/s/{n}.wav" for n in range(5)]
    assert not await sentences.ask("fs1", files, node.api), "what was forgotten in between was missing"
    assert len(sentences._seen) <= 3
