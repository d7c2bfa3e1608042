"""What the tenant's reports mean when nobody says otherwise, and what contacts cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from services.center.words import Part, Token


def _amount(value: object) -> object:
    # A document's 0.35 is meant as it is written, not as its nearest binary fraction.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount, json_schema_input_type=float),
    Field(ge=0, le=Decimal("1e12"), max_digits=18, decimal_places=6, allow_inf_nan=False),
]
"""Of money; six places after the point."""


class Reports(Part):
    """How reports count time, unless a reader asks for something else."""

    calendar: Literal["gregorian", "jalali"] = "gregorian"
    """Of months, quarters and years."""
    week_start: Literal["sat", "sun", "mon"] = "mon"
    fcr_days: Annotated[int, Field(ge=1, le=30)] = 7
    """A contact is resolved when the customer does not come again for so many days."""


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
