"""The rows of a batch are what the rows of its facts join to, for facts of every kind and in any order."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reporting.core import facts as f
from services.reporting.core.cards import rows_of_batch
from services.reporting.core.rows import rows_of
from services.reporting.core.sayings import ENTRY_OF, SPEECHES
from services.reporting.core.tables import CARDS, COLUMNS
from tests.reporting_stories import EPOCH_US, stories

_CARDS = {card.name: card for card in CARDS}
KINDS = sorted(
    {*SPEECHES, *ENTRY_OF, f.ContactHeld, f.EvaluationGiven, f.ReportSent, f.Unread},
    key=lambda kind: kind.__name__,
)
TEXTS = st.sampled_from(["", "a", "outbound", "timeout", "b"])
NUMBERS = st.sampled_from([0, 0, 1, 77, 2**31 - 1])
TIMES = st.sampled_from([0, EPOCH_US, EPOCH_US + 90_000_000_000, 2**53])


def _value(hint: Any, name: str) -> st.SearchStrategy[Any]:
    if name in ("contact_id", "offer_id", "recording_id"):
        return st.sampled_from(["", "one", "two"])
    if hint is str:
        return TEXTS
    if hint is bool:
        return st.booleans()
    if hint is int:
        return TIMES if name.endswith("_us") else NUMBERS
    if hint is float:
        return st.sampled_from([0.0, 0.25])
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(_value(args[0], ""), max_size=2).map(tuple)
    if type(None) in args:
        return st.none() | _value(args[0], "")
    assert issubclass(hint, msgspec.Struct), hint
    return _fact(hint)


def _fact(kind: Any) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: _value(hint, name) for name, hint in hints.items()})


@st.composite
def strange(draw: Any) -> list[f.Placed]:
    """Facts of any kind that say anything, in places that make no sense."""
    out = []
    for n in range(draw(st.integers(1, 12))):
        fact = draw(st.sampled_from(KINDS).flatmap(_fact))
        out.append(
            f.Placed(
                id=f"f{n}",
                stream="CC_EVENTS",
                seq=draw(st.sampled_from([1, 5, 2**50])),
                idx=draw(st.sampled_from([0, 1, 5000])),
                type="t",
                tenant=draw(st.sampled_from(["a", "b"])),
                contact_id=getattr(fact, "contact_id", ""),
                at_us=draw(st.sampled_from([0, EPOCH_US, EPOCH_US + 90_000_000_000])),
                fact=fact,
            )
        )
    return out


Joined = dict[tuple[Any, ...], dict[str, Any]]


def join(rows: typing.Iterable[tuple[str, Sequence[Any]]]) -> Joined:
    """What ClickHouse makes of rows: the greatest of each cell of a card of a day, one row an id of entries, the newest of a question."""
    out: Joined = {}
    for table, row in rows:
        values = dict(zip(COLUMNS[table], row, strict=True))
        card = _CARDS.get(table)
        if table == "evaluations":
            key = (table, *row[:4])
            newest = (values["version"], tuple(row))
            if key not in out or newest > out[key]["newest"]:
                out[key] = {"newest": newest}
            continue
        if card is None:
            out[table, values["tenant"], values["id"]] = values
            continue
        now = out.setdefault((table, values["tenant"], values["day"], values[card.id_column]), {})
        for name in card.cells:
            now[name] = max(now.get(name, values[name]), values[name])
    return out


@given(stories(), strange(), st.randoms(use_true_random=False), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_a_batch_is_what_its_facts_join_to(told: Any, odd: list[f.Placed], random: Any, size: int) -> None:
    placed = [p for story in told for p in story.placed] + odd
    truth = join((row.table, row.values) for p in placed for row in rows_of(p))
    again = placed + random.choices(placed, k=3)
    random.shuffle(again)
    batches = [rows_of_batch(again[n : n + size]) for n in range(0, len(again), size)]
    assert join((t, row) for groups in batches for t, rows in groups.items() for row in rows) == truth
    for groups in batches:
        assert list(groups)[-1] == "facts"
        for card in _CARDS.values():
            keys = [row[:3] for row in groups.get(card.name, [])]
            assert len(keys) == len(set(keys)), "one row a card and day"


def test_every_value_has_the_type_of_its_column() -> None:
    """A flag is a number there and a list is a list, whichever way the row was made."""
    stored = f.RecordingStored(recording_id="r", contact_id="c", repaired=True, rms=(0.5, 0.25), bytes=7)
    placed = f.Placed(
        id="i", stream="s", seq=1, idx=0, type="t", tenant="a", contact_id="c", at_us=5, fact=stored
    )
    (row,) = rows_of_batch([placed])["recordings"]
    cells = dict(zip(COLUMNS["recordings"], row, strict=True))
    assert cells["repaired"][1] == 1
    assert type(cells["repaired"][1]) is int
    assert cells["rms"][1] == [0.5, 0.25]
    assert type(cells["bytes"][1]) is int
