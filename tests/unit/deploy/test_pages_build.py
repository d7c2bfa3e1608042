"""Which Node builds the pages, and what is said without one."""

from __future__ import annotations

import pytest

from deploy.dev import pages


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v20.19.0\n", True), ("v20.20.2", True), ("v22.12.0", True), ("v24.1.0", True), ("v26.0.0", True),
        ("v20.18.9", False), ("v18.20.0", False), ("v21.7.3", False), ("v22.11.0", False), ("v23", False), ("", False),
    ],
)  # fmt: skip
def test_versions_that_will_do(version: str, expected: bool) -> None:
    assert pages.will_do(version) is expected


def test_without_a_node_a_sentence_says_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages, "find_node", lambda: None)
    assert pages.main(["build"]) == 1
    assert "22.12 or later" in capsys.readouterr().err
    assert pages.main(["has-node"]) == 1
    assert pages.main(["bild"]) == 2
    assert "found bild" in capsys.readouterr().err
