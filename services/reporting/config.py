"""Settings of reporting."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from services.common.clickhouse import StoreUrl
from services.common.config import CenterSettings
from services.common.errors import ConfigError
from services.common.parts import SwitchSettings


class ReportingSettings(SwitchSettings, CenterSettings):
    """Where facts come from and where they are kept."""

    clickhouse_url: str = Field(
        "clickhouse://peyvand@127.0.0.1:9000/peyvand",
        description="clickhouse://user:password@host:port/database (clickhouses:// for TLS).",
        repr=False,
    )

    nice: int = Field(5, description="As everywhere, but 5: no caller waits for a count.", ge=-20, le=19)
    clickhouse_cluster: str = Field(
        "",
        description="Name of the ClickHouse cluster the tables are made on; empty for a single server.",
        pattern="^[A-Za-z0-9_-]*$",
    )
    switches: str = Field(
        "",
        description="FreeSWITCH nodes whose legs are recorded: fs1=esl://:PASSWORD@HOST:PORT, separated by commas.",
        repr=False,
    )
    reporting_cdr_spool: Path | None = Field(
        None, description="Folder into which mod_json_cdr writes <uuid>.cdr.json; read, stored, emptied."
    )

    reporting_settle_s: float = Field(
        1.0, description="Seconds between two rounds in which facts become records.", gt=0, le=3600
    )
    reporting_books_every_s: float = Field(
        30.0, description="Seconds between two comparisons of the streams with ClickHouse.", gt=0, le=86_400
    )
    reporting_keep_facts_days: int = Field(
        0,
        description="Days that ClickHouse keeps facts and what they are joined to; 0 is for ever.",
        ge=0,
        le=36_500,
    )
    reporting_keep_records_days: int = Field(
        0, description="Days that it keeps contacts, segments, intervals of agents and evaluations; 0 is for ever.",
        ge=0, le=36_500,
    )  # fmt: skip
    reporting_keep_states_days: int = Field(
        0, description="Days that it keeps the 15-minute states; 0 is for ever.", ge=0, le=36_500
    )

    reporting_smtp: str = Field(
        "",
        description="Mail server of scheduled reports: smtp://user:password@host:port or smtps://…; empty: no e-mail.",
        repr=False,
    )
    reporting_mail_from: str = Field(
        "", description="Sender of scheduled reports: Name <address>; needed with PEYVAND_REPORTING_SMTP."
    )
    reporting_folder: Path | None = Field(
        None, description="Folder in whose subfolders scheduled reports are put; empty: none are."
    )

    @field_validator("clickhouse_url")
    @classmethod
    def _well_formed_url(cls, url: str) -> str:
        try:
            StoreUrl.parse(url)
        except ConfigError as e:
            raise ValueError(str(e).removeprefix("PEYVAND_CLICKHOUSE_URL: ")) from None
        return url
