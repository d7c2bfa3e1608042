"""Analysts come, change and go: the command, its files, and what a server would be told instead."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass

import pytest

from services.common.clickhouse import StoreRefused, access
from services.common.errors import ConfigError, StoreUnavailable
from services.reporting import analysts, dictionary
from services.reporting.analysts import Access, Analyst
from services.reporting.config import ReportingSettings
from tests.analyst_fixtures import DATABASE, AnalystEngine

pytestmark = [pytest.mark.clickhouse, pytest.mark.timeout(400)]  # its engine begins anew in between


@dataclass
class _Command:
    engine: AnalystEngine
    capsys: pytest.CaptureFixture[str]

    async def __call__(self, *words: str) -> str:
        """What the command prints. Raises what makes it fail."""
        args = analysts.arguments(["--embedded", str(self.engine.server.directory), *words])
        self.capsys.readouterr()
        await analysts.run(args, ReportingSettings())
        said = self.capsys.readouterr()
        self.log = said.err
        return said.out


class _Log:
    """Prints facts as a person at a terminal sees them."""

    def info(self, event: str, **fields: object) -> None:
        sys.stderr.write(f"{event} {fields}\n")


@pytest.fixture
def command(
    analyst_engine: AnalystEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> _Command:
    monkeypatch.setenv("PEYVAND_CLICKHOUSE_URL", analyst_engine.server.url_text)
    monkeypatch.setenv("PEYVAND_AUTH_SECRET", "x" * 32)
    monkeypatch.setattr(analysts, "logger", _Log())
    return _Command(analyst_engine, capsys)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("add", "Temp", "acme"), "'Temp'"),
        (("add", "temp__views", "acme"), "temp__views"),
        (("add", "default", "acme"), "default"),
        (("add", "launcher", "acme"), "launcher"),
        (("add", "all", "acme"), "'all'"),
        (("add", "temp", "a'; DROP"), "is no tenant"),
        (("add", "temp", "acme", "--seconds", "0"), "seconds"),
        (("add", "temp", "acme", "--password-stdin"), "12 characters"),
        (("remove", "nobody"), "there are: acme, both"),
    ],
)
async def test_wrong_words_are_refused_and_nothing_is_made(
    analyst_engine: AnalystEngine,
    command: _Command,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    named: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("too-short\n"))
    kept = analyst_engine.server.directory / access.ACCOUNTS_FILE
    before = kept.read_text()
    with pytest.raises(ConfigError, match=re.escape(named)) as refused:
        await command(*words)
    assert "too-short" not in str(refused.value)
    assert kept.read_text() == before
    assert "temp" not in await command("list")


async def test_a_user_of_somebody_elses_is_not_taken_over(analyst_engine: AnalystEngine) -> None:
    """Of two installations on one server, each has its own analysts."""
    async with analyst_engine.service() as service:
        await service.command("CREATE DATABASE IF NOT EXISTS another")
        rights = Access(service, database="another", keeper=_Nobody())
        with pytest.raises(ConfigError, match=r"both__views|'both'"):
            await rights.add(Analyst("both", ("acme",)), "long-enough-1")
        await service.command("DROP DATABASE another SYNC")


class _Nobody:
    async def put(self, accounts: object) -> None:
        raise AssertionError("nothing is to be made")

    async def remove(self, names: object, database: str, tables: object) -> None:
        raise AssertionError("nothing is to be removed")

    async def open_to_others(self, database: str, tables: object, views_users: object) -> None:
        raise AssertionError("nothing is to be made")


async def test_a_server_is_told_what_the_embedded_engine_reads_from_its_file(
    analyst_engine: AnalystEngine,
) -> None:
    """The engine cannot keep users, so it cannot carry our SQL out; but it shows the users of its file as SQL."""
    async with analyst_engine.service() as service:
        found = await dictionary.read(service, DATABASE)
        wanted = Analyst("both", ("initech", "acme"), memory_mib=64, rows=1000)
        views, user = analysts.accounts(wanted, found, DATABASE, "0" * 64)

        async def canonical(statement: str) -> str:
            (row,) = await service.query("SELECT formatQuerySingleLine({q:String}) AS q", {"q": statement})
            return str(row["q"])

        async def shown(statement: str) -> set[str]:
            return {await canonical(str(next(iter(row.values())))) for row in await service.query(statement)}

        for account in (views, user):
            ours = [await canonical(statement) for statement in access.create_sql(account)]
            grants = {text for text in ours if text.startswith("GRANT")}
            assert grants == await shown(f"SHOW GRANTS FOR {account.name}")
            policies = {
                text.replace(" OR REPLACE", "") for text in ours if text.startswith("CREATE ROW POLICY")
            }
            everything = await shown("SHOW CREATE ROW POLICIES")
            assert policies == {text for text in everything if text.endswith(f"TO {account.name}")}
        settings = re.search(r"SETTINGS (.*)$", access.create_sql(user)[0])
        assert settings is not None
        (profile,) = await shown("SHOW CREATE SETTINGS PROFILE both")
        assert _parts(settings.group(1)) == _parts(profile.rsplit(" SETTINGS ", 1)[1])


def _parts(settings: str) -> set[tuple[str, tuple[float, ...]]]:
    """Settings with value and bounds; how CONST, bools and seconds are written differs with the source."""
    found = set()
    for part in settings.split(","):
        name, values = part.strip().split(" = ")
        numbers = re.findall(r"true|false|[0-9.]+", values)
        found.add(
            (
                name,
                tuple({"true": 1.0, "false": 0.0}.get(n) or float(n.replace("false", "0")) for n in numbers),
            )
        )
    return found


@pytest.mark.parametrize("cluster", ["", "ON CLUSTER 'main'"])
async def test_every_statement_for_a_server_is_one_that_clickhouse_understands(
    analyst_engine: AnalystEngine, cluster: str
) -> None:
    async with analyst_engine.service() as service:
        found = await dictionary.read(service, DATABASE)
        wanted = Analyst("both", ("o-brien", "acme"))
        tables = analysts.kept_tables(found)
        statements = [
            *(
                statement
                for account in analysts.accounts(wanted, found, DATABASE, "0" * 64)
                for statement in access.create_sql(account, cluster)
            ),
            *(analysts.view_sql(wanted, view, DATABASE, cluster) for view in analysts.shown_views(found)),
            *analysts.others_sql(DATABASE, tables, ["both__views", "acme__views"], cluster),
            *analysts.others_sql(DATABASE, tables, [], cluster),
            *access.drop_sql("both", [(DATABASE, table) for table in tables], cluster),
        ]
        served, _ = analysts.accounts(wanted, found, DATABASE, "0" * 64, served="peyvand_all")
        view = analysts.shown_views(found)[0]
        on_all = analysts.view_sql(wanted, view, DATABASE, cluster, served="peyvand_all")
        assert "FROM `peyvand_all`.`v_agent_15m` WHERE tenant IN ('acme', 'o-brien')" in on_all
        assert {"SELECT ON `peyvand`.`facts`", "SELECT ON `peyvand_all`.`facts`"} <= set(served.grants)
        assert {policy.database for policy in served.policies} == {"peyvand"}, (
            "a Distributed table takes none"
        )
        for statement in [*statements, on_all]:
            (row,) = await service.query("SELECT formatQuerySingleLine({q:String}) AS q", {"q": statement})
            assert ("ON CLUSTER main" in row["q"]) is bool(cluster), statement


async def test_what_a_migration_brings_is_seen_by_nobody_until_sync(analyst_engine: AnalystEngine) -> None:
    async with analyst_engine.service() as service:
        await service.command(
            f"CREATE TABLE {DATABASE}.moods (tenant String COMMENT 'Organisation', mood String COMMENT 'Mood')"
            " ENGINE = MergeTree ORDER BY tenant"
        )
        await service.command(f"INSERT INTO {DATABASE}.moods VALUES ('acme', 'fine'), ('globex', 'theirs')")
        await service.command(
            f"CREATE VIEW {DATABASE}.v_moods AS SELECT * FROM {DATABASE}.moods COMMENT 'Moods'"
        )
        rights = analyst_engine.access(service)
        async with analyst_engine.analyst("acme") as acme:
            with pytest.raises(StoreRefused):
                await acme.query("SELECT * FROM v_moods")
            await rights.sync()
            assert await acme.query("SELECT mood FROM v_moods") == [{"mood": "fine"}]
            await service.command(f"DROP VIEW {DATABASE}.v_moods")
            await rights._show(Analyst("acme", ("acme",)), await dictionary.read(service, DATABASE))
            with pytest.raises(StoreRefused):
                await acme.query("SELECT * FROM v_moods")
        await service.command(f"DROP TABLE {DATABASE}.moods SYNC")


async def test_the_command_adds_changes_and_removes(analyst_engine: AnalystEngine, command: _Command) -> None:
    made = await command("add", "temp", "acme")
    found = re.search(r"password (\S+)", made)
    assert found is not None
    password = found.group(1)
    assert "analyst_added" in command.log
    assert password not in command.log
    async with analyst_engine.analyst("temp", password) as temp:
        assert await temp.query("SELECT tenant FROM v_contacts WHERE tenant != 'acme'") == []

    assert "password" not in await command("add", "temp", "globex", "initech", "--rows", "7")
    listed = await command("list")
    assert "temp: globex, initech in the database peyvand_temp" in listed.splitlines()
    async with analyst_engine.service() as service:
        await service.command(f"INSERT INTO {DATABASE}.surveys (tenant) VALUES ('acme'), ('globex')")
    async with analyst_engine.analyst("temp", password) as temp:
        assert await temp.query("SELECT DISTINCT tenant FROM v_surveys WHERE tenant != 'initech'") == [
            {"tenant": "globex"}
        ]
        with pytest.raises(StoreRefused, match="396"):
            await temp.query("SELECT number FROM numbers(8)")

    kept = analyst_engine.server.directory / access.ACCOUNTS_FILE
    assert password not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    await command("remove", "temp")
    async with analyst_engine.analyst("temp", password) as temp:
        with pytest.raises((StoreRefused, StoreUnavailable), match="516"):
            await temp.query("SELECT 1 AS a")
    async with analyst_engine.analyst("acme") as acme:
        assert await acme.query("SELECT DISTINCT tenant FROM v_surveys") == [{"tenant": "acme"}]
    async with analyst_engine.service() as service:
        assert await service.query("SELECT name FROM system.databases WHERE name = 'peyvand_temp'") == []
    assert "temp" not in await command("list")
    assert "temp" not in kept.read_text()
