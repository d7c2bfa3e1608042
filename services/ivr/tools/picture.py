"""A flow as an SVG picture: one box a node, one line an edge, words in the language of whoever reads it."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from services.center import flow as document
from services.center import flow_edges
from services.center.flow_speech import FaqNode, ListenNode, SpeakNode
from services.center.flow_survey import CommentNode, RateNode, SurveyNode
from services.center.flow_web import HttpNode, LookupNode
from services.center.model import Center
from services.ivr.tools.layout import Edge, Layout, Placed, Route, place

_WORDS = {
    "play": "پخش", "say": "خواندن", "speak": "گفتن", "listen": "شنیدن", "faq": "پرسش و پاسخ", "menu": "منو", "ask": "دریافت رقم", "confirm": "بله یا خیر", "language": "زبان",
    "hours": "ساعت کاری", "branch": "شرط", "look": "وضعیت صف", "split": "تقسیم", "set": "مقداردهی",
    "record": "ضبط پیغام", "queue": "صف", "callback": "تماس برگشتی", "transfer": "انتقال", "flow": "ادامه در",
    "call": "اجرای", "return": "بازگشت", "hangup": "پایان تماس", "otherwise": "در غیر این صورت", "yes": "بله",
    "no": "خیر", "open": "باز", "closed": "بسته", "emergency": "اضطراری", "entered": "وارد شد", "start": "شروع",
    "person": "کارشناس", "done": "پرسش دیگری نیست", "recorded": "ضبط شد", "http": "پرسش از سرویس", "lookup": "شناسایی مشتری", "rate": "امتیاز", "comment": "نظر",
    "survey": "نظرسنجی", "agent": "کارشناس", "answer": "پاسخ به تماس", "busy": "مشغول", "away": "نیست", "no answer": "بی‌پاسخ", "voicemail": "پیغام", "answered": "پاسخ داد", "known": "شناخته شد", "none": "هیچ", "holds": "برقرار", "version": "نسخه",
}  # fmt: skip
_FILLS = {
    "play": "#eaf2fb", "say": "#eaf2fb", "speak": "#eaf2fb", "listen": "#fff4d6", "faq": "#fff4d6", "menu": "#fff4d6", "ask": "#fff4d6", "confirm": "#fff4d6", "language": "#fff4d6",
    "hours": "#efe9f7", "branch": "#efe9f7", "look": "#efe9f7", "split": "#efe9f7", "set": "#f1f3f5",
    "http": "#fdeede", "lookup": "#fdeede", "rate": "#fff4d6", "comment": "#e3f4ee", "survey": "#f1f3f5",
    "record": "#e3f4ee", "queue": "#d9f2df", "agent": "#d9f2df", "answer": "#f1f3f5", "callback": "#d9f2df", "transfer": "#d9f2df", "hangup": "#f6e0e0",
    "flow": "#f1f3f5", "call": "#f1f3f5", "return": "#f6e0e0",
}  # fmt: skip
_FONT = "Vazirmatn, 'DejaVu Sans', 'Segoe UI', sans-serif"
_LINE_PX, _PAD_PX, _LABEL_PX = 17.0, 12.0, 26.0
_MARGIN_PX = 24.0
_MOST_LETTERS = 42


@dataclass(frozen=True)
class _Box:
    lines: tuple[str, ...]
    kind: str

    @property
    def width(self) -> float:
        return max(_width(line, bold=i == 0) for i, line in enumerate(self.lines)) + 2 * _PAD_PX

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE_PX + 2 * _PAD_PX - 4


def draw(center: Center, name: str, language: str) -> str:
    """Return the SVG of a flow; words and prompts are in ``language`` (``fa`` from right to left). Raises KeyError."""
    flow = center.flows[name]
    boxes = {key: _box(center, key, node, language) for key, node in flow.nodes.items()}
    edges = []
    for key, node in flow.nodes.items():
        for target, labels in _edges(node, language).items():
            label = _shortened(_joined(labels, language))
            edges.append(Edge(key, target, label, _width(label) + 10))
    layout = place(flow.start, {key: box.width for key, box in boxes.items()}, edges)
    title = f"{name}, {_word('version', language)} {flow.version}"
    return _svg(layout, boxes, title, flow.start, language)


def _word(word: str, language: str) -> str:
    return _WORDS.get(word, word) if language == "fa" else word


def _joined(labels: list[str], language: str) -> str:
    return ("، " if language == "fa" else ", ").join(labels)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def _width(text: str, *, bold: bool = False) -> float:
    """About how wide a text is at 12 px; marks above and below letters take no room."""
    letters = sum(not unicodedata.combining(c) and unicodedata.category(c) != "Cf" for c in text)
    return letters * (7.9 if bold else 7.0)


def _box(center: Center, name: str, node: document.AnyNode, language: str) -> _Box:
    kind = document.kind_of(node)
    what = _what(node)
    # Isolated, so that a date or a range keeps its order beside a Persian word.
    lines = [
        name,
        _shortened(f"{_word(kind, language)} \u2068{what}\u2069" if what else _word(kind, language)),
    ]
    for _, prompt in flow_edges.prompts_of(node):
        if prompt in center.prompts:
            lines.append(_shortened(f"«{center.text(center.prompts[prompt], language)}»"))
            break
    if isinstance(node, document.AgentNode) and (way := node.no_answer) is not None:
        action, _, target = way.text.partition(":")
        said = f"\u2068{target}\u2069" if target else ""
        lines.append(_shortened(f"{_word('no answer', language)}: {_word(action, language)} {said}".strip()))
    if isinstance(node, SpeakNode):
        lines.append(_shortened(f"«{center.text(node.speak, language)}»"))
    if isinstance(node, FaqNode):
        lines += [
            _shortened(f"{answer.key}: \u2068{_spoken(center, answer.asked, language)}\u2069")
            for answer in node.answers.values()
        ]
    return _Box(tuple(lines), kind)


def _spoken(center: Center, phrases: Mapping[str, list[str]], language: str) -> str:
    """The first phrase in a language, in quotation marks."""
    found = phrases.get(language) or phrases.get(center.languages[0]) or [""]
    return f"«{found[0]}»"


def _what(node: document.AnyNode) -> str:
    """What a node is about, in a word or two."""
    match node:
        case document.PlayNode():
            return ", ".join(node.prompts)
        case document.SayNode():
            return f"{node.say} ({node.currency or node.as_})"
        case document.AskNode():
            digits = (
                f"{node.min_digits}-{node.max_digits}"
                if node.min_digits != node.max_digits
                else f"{node.max_digits}"
            )
            return f"{node.into} ({digits}{', secret' if node.secret else ''})"
        case document.SetNode():
            return ", ".join(f"{name}={value}" for name, value in node.set.items())
        case document.SplitNode() | document.LanguageNode() | document.MenuNode() | document.ConfirmNode():
            return ""
        case SpeakNode() | ListenNode() | FaqNode():
            return ""
        case document.HangupNode():
            return node.as_ or ""
        case document.ReturnNode():
            return node.return_
        case document.RecordNode():
            return node.queue
        case document.AgentNode():
            return f"{node.agent}, {node.to}"
        case HttpNode():
            return f"{node.http} {node.method} {node.path}"
        case RateNode():
            return f"{node.question} ({node.least}-{node.most})"
        case CommentNode():
            return node.question
        case SurveyNode():
            return node.survey or "none"
        case document.LookNode():
            limits = {
                "waiting >": node.waiting_over,
                "longest s >": node.longest_over_s,
                "ready <": node.ready_under,
            }
            return f"{node.look}: " + ", ".join(f"{k} {v}" for k, v in limits.items() if v is not None)
    return str(getattr(node, document.kind_of(node)))


def _edges(node: document.AnyNode, language: str) -> dict[str, list[str]]:
    """Labels of a node's edges by the node that they lead to."""
    found: dict[str, list[str]] = {}
    for way, target, _ in flow_edges.ways(node):
        found.setdefault(target, []).append(_label(node, way, language))
    # A line that is always taken has no condition to tell, whatever else leads the same way.
    return {target: [] if "" in labels else labels for target, labels in found.items()}


def _label(node: document.AnyNode, way: tuple[str | int, ...], language: str) -> str:
    match node, way[0]:
        case document.SplitNode(), _:
            return f"{node.split[str(way[1])]}%"
        case document.LanguageNode(), "then":
            return ", ".join(f"{key} {chosen}" for key, chosen in node.digits.items())
        case document.AskNode(), "then":
            return _word("entered", language)
        case ListenNode(), "hears":
            return f"«{(node.hears[str(way[1])].get(language) or [''])[0]}»"
        case FaqNode(), "person" | "done":
            key = node.person.key if way[0] == "person" else node.done.key
            return f"{key} {_word(str(way[0]), language)}"
        case document.RecordNode(), "then":
            return _word("recorded", language)
        case HttpNode(), "then":
            return _word("answered", language)
        case LookupNode(), "then":
            return _word("known", language)
        case document.LookNode(), "then":
            return _word("holds", language)
        case document.BranchNode(), kind if len(way) > 1:
            return {"is": f"= {way[1]}" if way[1] else "= ''", "begins": f"{way[1]}…"}.get(
                str(kind), str(way[1])
            )
        case _, "then" if len(way) == 1:
            return ""
        case document.ConfirmNode(), "yes" | "no":
            key = document.YES if way[0] == "yes" else document.NO
            return f"{key} {_word(str(way[0]), language)}"
    return str(way[1]) if len(way) > 1 else _word(str(way[0]), language)


# -- the drawing -------------------------------------------------------------------------------------------------------


def _svg(layout: Layout, boxes: dict[str, _Box], title: str, start: str, language: str) -> str:
    tops, height = _tops(layout, boxes)
    right_to_left = language == "fa"
    width = layout.width + 2 * _MARGIN_PX

    def x_of(box: Placed) -> float:
        # A reader of Persian begins at the right: the first choice of a menu is there.
        return width - _MARGIN_PX - box.x if right_to_left else _MARGIN_PX + box.x

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family={quoteattr(_FONT)} font-size="12" lang="{language}">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L10 5L0 10z" fill="#495057"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        _text(title, width / 2, 26, bold=True, size=15),
    ]
    parts += [_line(layout, boxes, route, tops, x_of) for route in layout.routes]
    parts += [_label_text(layout, route, tops, x_of) for route in layout.routes if route.edge.label]
    parts += [
        _box_shape(boxes[name], x_of(placed), tops[placed.layer], is_start=name == start)
        for name, placed in layout.boxes.items()
        if name in boxes
    ]
    return "\n".join([*parts, "</svg>\n"])


def _tops(layout: Layout, boxes: dict[str, _Box]) -> tuple[list[float], float]:
    """The upper edge of each layer, and the height of the picture."""
    tops, at = [], 48.0
    for layer in range(layout.layers):
        tops.append(at)
        high = [boxes[n].height for n, b in layout.boxes.items() if b.layer == layer and n in boxes]
        # Many edges side by side need a longer way down, else they are too flat to tell from each other.
        crowd = sum(b.layer == layer for b in layout.boxes.values())
        at += max(high, default=_LABEL_PX + 16.0) + (6.0 if layer % 2 == 0 else min(30.0, 2.0 * crowd))
    return tops, at + _MARGIN_PX


def _line(layout: Layout, boxes: dict[str, _Box], route: Route, tops: list[float], x_of: object) -> str:
    assert callable(x_of)
    points: list[tuple[float, float]] = []
    last = len(route.through) - 1
    for i, name in enumerate(route.through):
        placed = layout.boxes[name]
        top = tops[placed.layer]
        if name not in boxes:
            # Straight past the boxes of a layer, so that no line runs behind one of their corners.
            ends = [top + _LABEL_PX / 2 + 4] if placed.layer % 2 else [top, tops[placed.layer + 1] - 6]
            points += [(x_of(placed), y) for y in (reversed(ends) if route.back else ends)]
            continue
        # A line leaves at the lower edge and arrives at the upper one; one that leads upwards the other way round.
        lower = (i == 0) != route.back
        neighbour = layout.boxes[route.through[1 if i == 0 else last - 1]]
        reach = placed.width / 2 - 14
        x = placed.x + max(-reach, min(reach, (neighbour.x - placed.x) * 0.35))
        points.append((x_of(Placed(x, 0, 0)), top + (boxes[name].height if lower else 0)))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        path += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    style = ' stroke-dasharray="5 4"' if route.back else ""
    return (
        f'<path d="{path}" fill="none" stroke="#495057" stroke-width="1.2"{style} marker-end="url(#arrow)"/>'
    )


def _label_text(layout: Layout, route: Route, tops: list[float], x_of: object) -> str:
    assert callable(x_of)
    placed = layout.boxes[route.label_at]
    x, y = x_of(placed), tops[placed.layer] + _LABEL_PX / 2 + 4
    width = route.edge.label_width
    back = f'<rect x="{x - width / 2:.1f}" y="{y - 9:.1f}" width="{width:.1f}" height="18" rx="4" fill="#ffffff"/>'
    return back + _text(route.edge.label, x, y + 4, size=11, fill="#1864ab")


def _box_shape(box: _Box, x: float, top: float, *, is_start: bool) -> str:
    stroke, thick = ("#1864ab", 2.4) if is_start else ("#868e96", 1.1)
    shape = (
        f'<rect x="{x - box.width / 2:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8" '
        f'fill="{_FILLS[box.kind]}" stroke="{stroke}" stroke-width="{thick}"/>'
    )
    lines = [
        _text(line, x, top + _PAD_PX + 9 + i * _LINE_PX, bold=i == 0, fill="#212529" if i < 2 else "#5c636a")
        for i, line in enumerate(box.lines)
    ]
    return shape + "".join(lines)


def _text(text: str, x: float, y: float, *, bold: bool = False, size: int = 12, fill: str = "#212529") -> str:
    weight = ' font-weight="bold"' if bold else ""
    # Each text finds its own direction from its first letter, as people expect of a mixed picture.
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{size}" fill="{fill}"{weight} '
        f'style="unicode-bidi:plaintext">{escape(text)}</text>'
    )
