"""PINs as salted hashes."""

from __future__ import annotations

import io
import re

import pytest

from services.center import pins
from services.center.__main__ import main


def test_a_pin_matches_its_hash_alone() -> None:
    kept = pins.hashed("2468")
    assert re.fullmatch(pins.FORM, kept)
    assert "2468" not in kept
    assert pins.matches("2468", kept)
    assert not pins.matches("2469", kept)
    assert not pins.matches("", kept)
    assert pins.hashed("2468") != kept, "two agents with one PIN are not seen to have it"


@pytest.mark.parametrize("pin", ["", "123", "12345678901234", "12a4", "۱۲۳۴"])
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(ValueError, match="4 to 12 digits"):
        pins.hashed(pin)


def test_the_command_prints_what_a_document_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("2468\n"))
    assert main(["pin"]) == 0
    printed = capsys.readouterr().out.strip()
    assert pins.matches("2468", printed)
    monkeypatch.setattr("sys.stdin", io.StringIO("12\n"))
    assert main(["pin"]) == 1
    assert "4 to 12 digits" in capsys.readouterr().err
