"""Customers as a table (CSV), for whoever has them in another system: the whole table at once, beside the routes of each one."""

from __future__ import annotations

import csv
import io

from services.common.errors import Refused

COLUMNS = ("number", "customer", "name", "class", "agent", "language")
CSV_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "number,customer,name,class,agent,language\n+989121234567,4711,Sara Ahmadi,premium,,fa\n",
            }
        },
    }
}


def customers_of(body: bytes) -> dict[str, dict[str, str]]:
    """The table as the document has it; empty cells are left out. Raises Refused with the line of what is wrong."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise _invalid(1, f"expected UTF-8: {e.reason} at byte {e.start}") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: dict[str, dict[str, str]] = {}
    try:
        names = list(rows.fieldnames or ())
        if "number" not in names or len(set(names)) < len(names) or not set(names) <= set(COLUMNS):
            raise _invalid(1, f"expected columns among {', '.join(COLUMNS)}; found {', '.join(names)}")
        for row in rows:
            if None in row:
                raise _invalid(rows.line_num, "more cells than columns")
            cells = {name: (value or "").strip() for name, value in row.items()}
            number = cells.pop("number")
            if number in found:
                raise _invalid(rows.line_num, f"number {number!r} stands there twice")
            found[number] = {name: value for name, value in cells.items() if value}
    except csv.Error as e:
        raise _invalid(rows.line_num, str(e)) from None
    return found


def _invalid(line: int, message: str) -> Refused:
    return Refused("table-invalid", f"line {line}: {message}", status=422)
