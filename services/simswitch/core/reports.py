"""Tables as ``show`` prints them: comma (or any) separated, JSON, XML; texts recorded from 1.10.12. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from services.simswitch.core.wire import to_json

Row = Mapping[str, str]

USAGE: Final = (
    "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|calls|"
    "detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|"
    "interface_types|tasks|limits|status\n"
)
_LIKE: Final = ("uuid", "name", "cid_name", "cid_num", "presence_data", "accountcode")


def like(rows: Sequence[Row], text: str) -> list[Row]:
    """The channels that ``show channels like`` finds; SQL's LIKE knows no case."""
    return [r for r in rows if any(text.lower() in r.get(n, "").lower() for n in _LIKE)]


def report(rows: Sequence[Row], words: Sequence[str], *, counts: bool) -> str:
    """``[count] [as json|xml|delim X]``; ``counts``: whether ``count`` means anything for this table."""
    lower = [w.lower() for w in words]
    form, delimiter = "", ","
    if "as" in lower[:-1]:
        at = lower.index("as")
        form = lower[at + 1]
        if form == "delim" and len(words) > at + 2:
            delimiter = words[at + 2]
    only_count = counts and lower[:1] == ["count"]
    if form == "json":
        if only_count:
            return to_json({"row_count": len(rows), "rows": []}).decode()
        if not rows:
            return '{"row_count": 0}\n'
        return to_json({"row_count": len(rows), "rows": rows}).decode("utf-8", "surrogateescape")
    if form == "xml":
        return _xml(rows, only_count)
    if only_count or not rows:
        return f"\n{len(rows)} total.\n"
    lines = [delimiter.join(rows[0]), *(delimiter.join(row.values()) for row in rows)]
    return "".join(line + "\n" for line in lines) + f"\n{len(rows)} total.\n"


def _xml(rows: Sequence[Row], only_count: bool) -> str:
    if only_count or not rows:
        return f'<result row_count="{len(rows)}"/>\n'
    out = [f'<result row_count="{len(rows)}">\n']
    for i, row in enumerate(rows, 1):
        out.append(f'  <row row_id="{i}">\n')
        out += [f"    <{name}>{escape(value)}</{name}>\n" for name, value in row.items()]
        out.append("  </row>\n")
    return "".join([*out, "</result>\n"])
