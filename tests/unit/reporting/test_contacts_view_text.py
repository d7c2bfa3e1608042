"""The view of contacts and what settling reads of the cards are one text."""

from __future__ import annotations

from pathlib import Path

from services.reporting import migrate
from services.reporting.core import contact_sql

MIGRATIONS = Path(migrate.__file__).parent / "migrations"
_CREATED = "VIEW ${database}.v_contacts_between ${on_cluster} AS\n"


def newest_view() -> str:
    """The last migration's text of the view."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*.sql"))]
    text = next(text for text in reversed(texts) if _CREATED in text)
    return text.split(_CREATED)[1].split(";\n")[0]


def test_settling_reads_cards_as_the_view_does() -> None:
    in_view = newest_view().replace("${database}.", "")
    of_settling = contact_sql.contacts("day BETWEEN {from_day:Date} AND {to_day:Date}")
    assert in_view.split() == of_settling.split()
