import pytest

from services.common import config, runtime
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


def test_who_may_not_go_before_others_is_told_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: int) -> int:
        raise PermissionError

    async def start(*_: object) -> None:
        raise AssertionError("it must not start")

    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "s" * 40)
    monkeypatch.setenv("PEYVAND_NICE", "-5")
    monkeypatch.setattr("os.nice", refuse)
    with pytest.raises(SystemExit) as ended:
        runtime.run("test", config.Settings, start)
    assert ended.value.code == 78
    assert "PEYVAND_NICE is -5" in capsys.readouterr().err
