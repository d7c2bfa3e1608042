"""Settings of reporting."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

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
    reporting_smtp_starttls: Literal["offered", "required", "never"] = Field(
        "offered",
        description="TLS with a server at smtp://. offered: where it offers STARTTLS, and no password without; required: nothing "
        "without; never: all in the clear, for a relay on the same machine.",
    )
    reporting_smtp_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that alone may sign the mail server's certificate; empty: the public ones.",
    )
    reporting_mail_from: str = Field(
        "", description="Sender of scheduled reports: Name <address>; needed with PEYVAND_REPORTING_SMTP."
    )
    reporting_folder: Path | None = Field(
        None,
        description="Folder in whose subfolders <tenant>/<folder> scheduled reports are put; empty: none are.",
    )

    reporting_s3_bucket: str = Field(
        "", description="Bucket into which scheduled reports are put; empty: none are.",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])?$",
    )  # fmt: skip
    reporting_s3_prefix: str = Field(
        "", description="What their names begin with, before the tenant: peyvand/reports.",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$", max_length=200,
    )  # fmt: skip
    reporting_s3_endpoint: str = Field(
        "",
        description="Server that speaks S3 (MinIO, Ceph …): http://host:port or https://…; empty: Amazon's.",
        repr=False,
    )
    reporting_s3_region: str = Field(
        "us-east-1", description="The bucket's region.", pattern="^[a-z0-9-]{1,40}$"
    )
    reporting_s3_addressing: Literal["auto", "path", "host"] = Field(
        "auto",
        description="Whether the bucket is part of the path or of the host's name. auto: of the path where an endpoint is set.",
    )
    reporting_s3_access_key: str = Field(
        "",
        description="Access key of the bucket. Empty, with the secret: what the machine has (AWS_ variables, role of the pod or host).",
        repr=False,
    )
    reporting_s3_secret_key: str = Field("", description="Its secret.", repr=False)
    reporting_s3_ca: Path | None = Field(
        None, description="PEM file of the authorities that alone may sign the server's certificate; empty: the public ones."
    )  # fmt: skip

    @field_validator(
        "reporting_cdr_spool", "reporting_folder", "reporting_smtp_ca", "reporting_s3_ca", mode="before"
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None  # an empty path would be the folder that the process was started in

    @field_validator("clickhouse_url")
    @classmethod
    def _well_formed_url(cls, url: str) -> str:
        try:
            StoreUrl.parse(url)
        except ConfigError as e:
            raise ValueError(str(e).removeprefix("PEYVAND_CLICKHOUSE_URL: ")) from None
        return url
