"""What the tenant's reports mean when nobody says otherwise, which are sent by themselves, and what contacts cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.center.words import Part, Text, Token, minutes


def _amount(value: object) -> object:
    # A document's 0.35 is meant as it is written, not as its nearest binary fraction.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


def _clock_time(text: str) -> str:
    if minutes(text) == 1440:
        raise ValueError('bad time "24:00"; expected HH:MM between 00:00 and 23:59')
    return text


CatalogueId = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
"""Of ``GET /v1/reports/measures``. Which there are is looked at in ``report_check``."""
ClockTime = Annotated[str, AfterValidator(_clock_time)]
"""HH:MM"""

Amount = Annotated[
    Decimal,
    BeforeValidator(_amount, json_schema_input_type=float),
    Field(ge=0, le=Decimal("1e12"), max_digits=18, decimal_places=6, allow_inf_nan=False),
]
"""Of money; six places after the point."""


ObjectPrefix = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}(/[a-z0-9][a-z0-9-]{0,62}){0,7}$", max_length=200)
]
"""``monthly/sales``: words as ids have them, with slashes between."""


class ReportTarget(Part):
    """Where a scheduled report goes: to an address by e-mail, into a folder of the installation's reports folder, or into its bucket."""

    email: Annotated[str, Field(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+$", max_length=254)] | None = (
        None
    )
    folder: Token | None = None
    """Below the tenant's own folder."""
    s3: ObjectPrefix | None = None
    """Below the tenant's own prefix. Bucket, server and credentials are the installation's."""

    @model_validator(mode="after")
    def _one(self) -> ReportTarget:
        if sum(target is not None for target in (self.email, self.folder, self.s3)) != 1:
            raise ValueError("expected exactly one of email, folder and s3")
        return self


class ScheduledReport(Part):
    """A report that is sent by itself: of the day, week or month before, on its first day, at a time of the center's zone."""

    name: Text
    measures: Annotated[list[CatalogueId], Field(min_length=1, max_length=40)]
    by: Annotated[list[CatalogueId], Field(max_length=4)] = Field(default_factory=list)
    interval: Literal["15m", "hour", "day", "week", "month"] | None = None
    """A row for each; without it one for the whole span."""
    queues: list[Token] = Field(default_factory=list)
    """Only of these; none: of all."""
    every: Literal["day", "week", "month"]
    at: ClockTime
    language: Literal["en", "fa"] = "en"
    format: Literal["xlsx", "csv", "parquet"] = "xlsx"
    """Of the attached file."""
    to: Annotated[list[ReportTarget], Field(min_length=1, max_length=50)]


class Reports(Part):
    """How reports count time, unless a reader asks for something else, and which are sent by themselves."""

    calendar: Literal["gregorian", "jalali"] = "gregorian"
    """Of months, quarters and years."""
    week_start: Literal["sat", "sun", "mon"] = "mon"
    fcr_days: Annotated[int, Field(ge=1, le=30)] = 7
    """A contact is resolved when the customer does not come again for so many days."""
    scheduled: dict[Token, ScheduledReport] = Field(default_factory=dict)


class Tariffs(Part):
    """What the center pays; a cost is the sum of all that are given. Amounts are in one currency."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    """As ISO 4217 writes it: IRR, EUR."""
    user_month: Amount = Decimal(0)
    """For each agent who was logged in at least once in a month (of the reports' calendar)."""
    line_month: Amount = Decimal(0)
    """For each line to the carriers and month."""
    lines: Annotated[int, Field(ge=0, le=100_000)] = 0
    """How many of them are paid for."""
    minute: Amount = Decimal(0)
    """For a minute of each leg of a call, from answer to end, by the millisecond."""
    contact: dict[Token, Amount] = Field(default_factory=dict)
    """For each contact, by its channel: ``voice``, or one of ``routing.channels``."""

    @model_validator(mode="after")
    def _lines(self) -> Tariffs:
        if bool(self.lines) != bool(self.line_month):
            raise ValueError("line_month and lines go together: a price for each line and how many there are")
        return self
