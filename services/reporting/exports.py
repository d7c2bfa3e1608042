"""Answers as files: CSV for programs, XLSX for people, Parquet for analysts. All rows, with totals where a person reads them.

* CSV is RFC 4180 in UTF-8. Text that a spreadsheet would run as a formula (a caller chooses the own name) gets an apostrophe.
* XLSX has numbers as numbers, shares as per cent and the definitions on a second sheet; in Persian its sheets run from right to left.
* Parquet has ids as names of columns, times as UTC instants, and no totals.

With an earlier span each figure has a second column for it; rows belong together by place of their interval and dimensions.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import arro3.io
import msgspec
import xlsxwriter
from arro3.core import Array, DataType, Table

from services.reporting.core.kpi.answer import Column, Line
from services.reporting.core.kpi.measures import MEASURES
from services.reporting.core.kpi.persian import in_words
from services.reporting.questions import Answer

Language = Literal["en", "fa"]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_BEFORE: Final = {"en": "{} (before)", "fa": "{} (پیشین)"}
_TOTAL: Final = {"en": "Total", "fa": "جمع"}
_DEFINITIONS: Final = {"en": "Definitions", "fa": "تعریف‌ها"}
_REPORT: Final = {"en": "Report", "fa": "گزارش"}
_DEFINITION_HEADS: Final = {
    "en": ("Measure", "Formula", "Unit", "Defined by"),
    "fa": ("سنجه", "فرمول", "یکا", "مأخذ"),
}
_SPAN: Final = {"en": "Span", "fa": "بازه‌ی زمانی"}
# What a spreadsheet takes for a formula (OWASP, CSV injection). A number with its plus sign is just a number.
_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_PHONE: Final = re.compile(r"\+\d+", re.ASCII)
_EXCEL_FORMATS: Final = {
    "share": "0.0%",
    "seconds": "0.0",
    "milliseconds": "0",
    "mos": "0.00",
    "points": "0.0",
    "money": "#,##0.00",
}
_MAX_WIDTH: Final = 40


class Cell(msgspec.Struct, frozen=True):
    """A column of a file."""

    column: Column
    before: bool = False
    """Of the earlier span."""

    @property
    def id(self) -> str:
        return f"{self.column.id}_before" if self.before else self.column.id

    def heading(self, language: Language) -> str:
        """The column's name."""
        name = self.column.name[language]
        return _BEFORE[language].format(name) if self.before else name


def cells(answer: Answer, then: Answer | None) -> list[Cell]:
    """The columns of a file, in order; figures of the earlier span beside those of the asked one."""
    found = []
    for column in answer.columns:
        found.append(Cell(column))
        if then is not None and column.kind in ("measure", "count"):
            found.append(Cell(column, before=True))
    return found


def _place(answer: Answer, line: Line, numbers: dict[int, int]) -> tuple[Any, ...]:
    return (numbers[line.from_us], *line.dimensions.values())


def _numbers(answer: Answer) -> dict[int, int]:
    return {border: place for place, border in enumerate(answer.question.borders()[:-1])}


def _values(answer: Answer, then: Answer | None) -> Iterator[list[Any]]:
    """A row each, in the order of ``cells``: text, numbers, None, and instants for times."""
    own = _numbers(answer)
    before: dict[tuple[Any, ...], Line] = {}
    if then is not None:
        numbers = _numbers(then)
        before = {_place(then, line, numbers): line for line in then.lines}
    for line in answer.lines:
        other = before.get(_place(answer, line, own))
        yield [_value(cell, line, other) for cell in cells(answer, then)]


def _value(cell: Cell, line: Line, other: Line | None) -> Any:
    match cell.column.kind:
        case "interval":
            return line.label
        case "time":
            at_us = line.from_us if cell.column.id == "from" else line.to_us
            return _EPOCH + dt.timedelta(microseconds=at_us)
        case "dimension":
            return line.dimensions[cell.column.id]
    if cell.before:
        return other.figures[cell.column.id] if other is not None else None
    return line.figures[cell.column.id]


def _totals(answer: Answer, then: Answer | None, language: Language) -> list[Any]:
    found: list[Any] = []
    for cell in cells(answer, then):
        if cell.column.kind not in ("measure", "count"):
            found.append("" if found else _TOTAL[language])
        elif cell.before and then is not None:
            found.append(then.totals[cell.column.id])
        else:
            found.append(answer.totals[cell.column.id])
    return found


def to_csv(answer: Answer, then: Answer | None, language: Language | None) -> bytes:
    """RFC 4180. Headings are ids, or names in a language; then with the mark by which Excel knows UTF-8, and a row of totals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    zone = ZoneInfo(answer.question.calendar.zone)

    def written(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            return value.astimezone(zone).isoformat()
        return harmless(value) if isinstance(value, str) else value

    writer.writerow([cell.heading(language) if language else cell.id for cell in cells(answer, then)])
    for row in _values(answer, then):
        writer.writerow([written(value) for value in row])
    if language and answer.lines:
        writer.writerow([written(value) for value in _totals(answer, then, language)])
    return text.getvalue().encode("utf-8-sig" if language else "utf-8")


def harmless(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _PHONE.fullmatch(text) else text


def to_xlsx(answer: Answer, then: Answer | None, language: Language) -> bytes:
    """A workbook with the report and, on a second sheet, what its measures mean."""
    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(out, options)
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
    times = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    formats = {unit: book.add_format({"num_format": shape}) for unit, shape in _EXCEL_FORMATS.items()}
    strong = {
        unit: book.add_format({"num_format": shape, "bold": True, "top": 1})
        for unit, shape in (*_EXCEL_FORMATS.items(), ("", "General"))
    }
    zone = ZoneInfo(answer.question.calendar.zone)
    sheet = book.add_worksheet(_REPORT[language])
    shown = cells(answer, then)
    widths = [len(cell.heading(language)) for cell in shown]

    def write(row: int, place: int, value: Any, shape: Any) -> None:
        if isinstance(value, dt.datetime):
            # Excel knows no zones: the wall clock of the report's.
            sheet.write_datetime(row, place, value.astimezone(zone).replace(tzinfo=None), times)
        elif isinstance(value, str):
            sheet.write_string(row, place, value, shape)
        elif value is not None:
            sheet.write_number(row, place, value, shape)
        widths[place] = max(
            widths[place], 17 if isinstance(value, dt.datetime) else len(str(value)[:_MAX_WIDTH])
        )

    for place, cell in enumerate(shown):
        sheet.write_string(0, place, cell.heading(language), bold)
    number = 0
    for number, row in enumerate(_values(answer, then), 1):
        for place, (cell, value) in enumerate(zip(shown, row, strict=True)):
            write(number, place, value, formats.get(cell.column.unit))
    for place, (cell, value) in enumerate(zip(shown, _totals(answer, then, language), strict=True)):
        write(number + 1, place, value, strong.get(cell.column.unit, strong[""]))
    for place, width in enumerate(widths):
        sheet.set_column(place, place, min(max(width, 8), _MAX_WIDTH) + 2)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, number, len(shown) - 1)
    _definitions(book, answer, language, bold)
    if language == "fa":
        for one in book.worksheets():
            one.right_to_left()
    book.close()
    return out.getvalue()


def _definitions(book: xlsxwriter.Workbook, answer: Answer, language: Language, bold: Any) -> None:
    sheet = book.add_worksheet(_DEFINITIONS[language])
    rows: list[Sequence[str]] = [_DEFINITION_HEADS[language]]
    for name in answer.question.measures:
        measure = MEASURES[name]
        rows.append((measure.name[language], in_words(measure)[language], measure.unit, measure.origin))
    span, calendar = answer.question.span, answer.question.calendar
    ends = " – ".join(calendar.local(at).isoformat() for at in (span.from_us, span.to_us))
    rows.append((_SPAN[language], f"{ends} ({calendar.zone}, {calendar.months})"))
    for number, row in enumerate(rows):
        for place, text in enumerate(row):
            sheet.write_string(number, place, text, None if number else bold)
    sheet.set_column(0, 0, _MAX_WIDTH)
    sheet.set_column(1, 1, 2 * _MAX_WIDTH)
    sheet.set_column(2, 3, _MAX_WIDTH)


def to_parquet(answer: Answer, then: Answer | None) -> bytes:
    """One row group; text as strings, counts as 64-bit integers, measures as doubles, times as UTC instants in microseconds."""
    shown = cells(answer, then)
    columns: list[list[Any]] = [[] for _ in shown]
    for row in _values(answer, then):
        for values, value in zip(columns, row, strict=True):
            values.append(value)
    table = Table.from_pydict(
        {cell.id: _array(cell.column, values) for cell, values in zip(shown, columns, strict=True)}
    )
    out = io.BytesIO()
    arro3.io.write_parquet(table, out, compression="zstd(3)")
    return out.getvalue()


def _array(column: Column, values: list[Any]) -> Array:
    match column.kind:
        case "time":
            micros = [(value - _EPOCH) // dt.timedelta(microseconds=1) for value in values]
            instants: Array = Array(micros, DataType.int64()).cast(DataType.timestamp("us", tz="UTC"))
            return instants
        case "count" if column.unit != "months":
            return Array(values, DataType.int64())
        case "count" | "measure":
            return Array([None if value is None else float(value) for value in values], DataType.float64())
    return Array([str(value) for value in values], DataType.string())
