import pytest

from services.common import config
from services.common.errors import ConfigError


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEYVAND_AUTH_SECRET", raising=False)
    monkeypatch.setenv("PEYVAND_HTTP_PORT", "many")
    monkeypatch.setenv("PEYVAND_LOG_LEVEL", "loud")
    with pytest.raises(ConfigError) as error:
        config.load(config.Settings)
    for name in ("PEYVAND_AUTH_SECRET", "PEYVAND_HTTP_PORT", "PEYVAND_LOG_LEVEL"):
        assert name in str(error.value)


def test_the_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "z" * 40)
    assert "zzz" not in repr(config.load(config.Settings))
