"""Settings that cannot be: refused before anything is tried with them, by the variable's name, without their secrets."""

import pytest

from services.common import config
from services.common.errors import ConfigError
from services.common.parts import SwitchSettings
from services.queue.config import QueueSettings
from services.reporting.config import ReportingSettings
from services.routing.config import RoutingSettings

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("kind", "variable", "value", "says"),
    [
        (config.Settings, "NATS_URL", f"nats://user:{PASSWORD}/x@host:4222", "expected nats://host:port"),
        (config.Settings, "NATS_URL", "nats://host:4222,http://host", "expected nats://host:port"),
        (config.Settings, "NATS_URL", " , ", "expected nats://host:port"),
        (config.Settings, "NATS_URL", "nats://host:port", "expected nats://host:port"),
        (config.Settings, "AUTH_SECRET", "short", "at least 32"),
        (config.Settings, "HTTP_PORT", "99999", "less than or equal"),
        (config.Settings, "NICE", "20", "less than or equal"),
        (SwitchSettings, "SWITCHES", "", "at least one node"),
        (SwitchSettings, "SWITCHES", f"esl://:{PASSWORD}@host:8021", "name=esl://:PASSWORD@HOST:PORT"),
        (SwitchSettings, "SWITCHES", f"fs1=esl://:{PASSWORD}/x@host:8021", "percent-encoded"),
        (SwitchSettings, "SWITCHES", f"fs1=tcp://:{PASSWORD}@host:8021", "name=esl://:PASSWORD@HOST:PORT"),
        (SwitchSettings, "SWITCHES", f"fs1=esl://:{PASSWORD}@a,fs1=esl://:{PASSWORD}@b", "fs1 is there more than once"),
        (ReportingSettings, "CLICKHOUSE_URL", f"clickhouse://u:{PASSWORD}/x@host:9000/db", "percent-encoded"),
        (ReportingSettings, "CLICKHOUSE_URL", f"http://u:{PASSWORD}@host:8123", "found scheme 'http'"),
        (ReportingSettings, "CLICKHOUSE_URL", f"clickhouse://u:{PASSWORD}@host/a-b", "'a-b' is no name"),
        (RoutingSettings, "ROUTING_LEASE_S", "soon", "valid number"),
        (QueueSettings, "QUEUE_AGENT_DIAL", "user/{extension}@{house}", "unknown placeholder"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(
    kind: type[config.Settings], variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "s" * 40)
    monkeypatch.setenv("PEYVAND_SWITCHES", "fs1=esl://:x@127.0.0.1:8021")
    monkeypatch.setenv(f"PEYVAND_{variable}", value)
    with pytest.raises(ConfigError) as refused:
        config.load(kind)
    text = str(refused.value)
    assert f"PEYVAND_{variable}: " in text
    assert says in text
    assert PASSWORD not in text


def test_routing_and_reporting_do_without_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "s" * 40)
    monkeypatch.setenv("PEYVAND_SWITCHES", "")
    assert config.load(RoutingSettings).addresses() == []
    assert config.load(ReportingSettings).addresses() == []
