"""A report as a page for e-mail: a table that reads from left to right in English and from right to left in Persian. Pure.

Styles stand in the elements, because mail programs throw style sheets away. Figures are written as people write them: shares per cent,
durations as minutes and seconds, Persian digits in Persian.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final, Literal

from services.reporting.core.kpi.answer import Column, Line

Language = Literal["en", "fa"]

MAX_ROWS: Final = 200
"""Of the page; the file that comes with it has all."""
_PERSIAN: Final = str.maketrans("0123456789.,%", "۰۱۲۳۴۵۶۷۸۹٫٬٪")
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "total": "Total",
        "more": "{n} further rows are in the file.",
        "repeated": "This report may have reached you before: how an earlier attempt to send it ended is not known.",
        "none": "Nothing happened in this time.",
    },
    "fa": {
        "total": "جمع",
        "more": "{n} ردیف دیگر در فایل پیوست است.",
        "repeated": "شاید این گزارش پیش‌تر به شما رسیده باشد: پایان تلاش پیشین برای فرستادن آن معلوم نیست.",
        "none": "در این زمان چیزی رخ نداده است.",
    },
}
_CELL: Final = "padding:6px 10px;border-bottom:1px solid #d8dce3"


def number(value: Any, unit: str, language: Language) -> str:
    """A figure of a unit as people write it; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if unit == "share":
        text = f"{100 * value:.1f}%"
    elif unit in ("seconds", "milliseconds"):
        seconds = round(value if unit == "seconds" else value / 1000)
        hours, rest = divmod(abs(seconds), 3600)
        sign = "-" if seconds < 0 else ""
        text = sign + (
            f"{hours:,}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
        )
    elif isinstance(value, int) or float(value).is_integer():
        text = f"{int(value):,}"
    else:
        text = f"{value:,.2f}"
    return text.translate(_PERSIAN) if language == "fa" else text


def page(
    title: str,
    when: str,
    columns: Sequence[Column],
    lines: Sequence[Line],
    totals: dict[str, Any],
    language: Language,
    *,
    repeated: bool = False,
) -> str:
    """The page. ``when`` says in words what span it is about; figures that others were made from are left to the file."""
    words = _WORDS[language]
    when = when.translate(_PERSIAN) if language == "fa" else when
    direction, start = ("rtl", "right") if language == "fa" else ("ltr", "left")
    shown = [column for column in columns if column.kind in ("interval", "dimension", "measure")]
    keys = [column for column in shown if column.kind != "measure"]
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:{start};background:#f2f4f7">{html.escape(column.name[language])}</th>'
        for column in shown
    )
    body = "".join(_row(shown, line, language, start) for line in lines[:MAX_ROWS])
    total = "".join(
        f'<td style="{_CELL};text-align:{start};font-weight:600">{_text(text)}</td>'
        for text in _total(shown, keys, totals, words["total"], language)
    )
    notes = [words["repeated"]] if repeated else []
    if len(lines) > MAX_ROWS:
        notes.append(words["more"].format(n=number(len(lines) - MAX_ROWS, "contacts", language)))
    if keys and not lines:
        notes.append(words["none"])
    said = "".join(f'<p style="margin:12px 0;color:#8a4b00">{html.escape(note)}</p>' for note in notes)
    return (
        f'<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
        f'<body dir="{direction}" style="margin:0;padding:16px;font-family:Vazirmatn,Tahoma,Segoe UI,Arial,sans-serif;color:#1b2330;text-align:{start}">'
        f'<h1 style="font-size:20px;margin:0 0 4px">{html.escape(title)}</h1><p style="margin:0 0 12px;color:#5b6676">{html.escape(when)}</p>{said}'
        f'<table dir="{direction}" style="border-collapse:collapse;font-size:14px"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody><tfoot><tr>{total}</tr></tfoot></table></body></html>"
    )


def _row(shown: Sequence[Column], line: Line, language: Language, start: str) -> str:
    cells = "".join(
        f'<td style="{_CELL};text-align:{start}">{_text(_value(column, line, language))}</td>'
        for column in shown
    )
    return f"<tr>{cells}</tr>"


def _value(column: Column, line: Line, language: Language) -> str:
    if column.kind == "interval":
        return line.label.translate(_PERSIAN) if language == "fa" else line.label
    if column.kind == "dimension":
        return str(line.dimensions[column.id])
    return number(line.figures[column.id], column.unit, language)


def _total(
    shown: Sequence[Column], keys: Sequence[Column], totals: dict[str, Any], word: str, language: Language
) -> list[str]:
    found = []
    for place, column in enumerate(shown):
        if column in keys:
            found.append(word if place == 0 else "")
        else:
            found.append(number(totals.get(column.id), column.unit, language))
    return found


def _text(text: str) -> str:
    # Names of queues and numbers may run the other way than the page: each is laid out by itself.
    return f"<bdi>{html.escape(text)}</bdi>" if text else ""
