import dataclasses

import pytest

from deploy.dev.balance import Account, Balance, Books, Call, Contact, Recording, balance, percentile

CALLS = (Call("c1", "answered", "sara", 60.0), Call("c2", "abandoned"))
ACCOUNT = Account(calls=CALLS, legs=("c1", "c2", "a1"))
RECORDING = Recording("c1", 2000, (0.1, 0.2))
BOOKS = Books(
    contacts=(Contact("c1", "answered", "sara"), Contact("c2", "abandoned")),
    legs=("c1", "c2", "a1"),
    recordings=(RECORDING,),
    facts=("f1", "f2"),
)
FACTS = ("f1", "f2")


def check(books: Books) -> Balance:
    return balance(ACCOUNT, books, FACTS)


def test_books_that_agree() -> None:
    result = check(BOOKS)
    assert result.balanced, result.findings
    assert (result.calls_offered, result.answered, result.abandoned, result.other) == (2, 1, 1, {})
    assert (result.legs, result.cdr_rows, result.facts, result.recordings) == (3, 3, 2, 1)
    assert result.answer_latency_ms == {"p50": 60.0, "p99": 60.0}
    assert result.told_latency_ms == {"p50": None, "p99": None}


def test_what_is_said_to_the_agent_before_the_bridge_is_no_latency_of_the_switch() -> None:
    calls = (*CALLS, Call("c3", "answered", "ali", 2_100.0, told=True))
    result = balance(Account(calls=calls), BOOKS, FACTS)
    assert result.answer_latency_ms == {"p50": 60.0, "p99": 60.0}
    assert result.told_latency_ms == {"p50": 2_100.0, "p99": 2_100.0}


@pytest.mark.parametrize(
    ("change", "lost", "duplicated", "mismatched"),
    [
        ({"contacts": BOOKS.contacts[:1]}, 1, 0, 0),
        ({"contacts": (*BOOKS.contacts, BOOKS.contacts[0])}, 0, 1, 0),
        ({"contacts": (BOOKS.contacts[0], Contact("c2", "answered", "ali"))}, 0, 0, 1),
        ({"contacts": (Contact("c1", "answered", "ali"), BOOKS.contacts[1])}, 0, 0, 1),
        ({"contacts": (*BOOKS.contacts, Contact("c9", "abandoned"))}, 0, 0, 1),
        ({"contacts": (BOOKS.contacts[0], Contact("c2", "failed"))}, 0, 0, 1),
        ({"legs": ("c1", "c2")}, 1, 0, 0),
        ({"legs": ("c1", "c2", "a1", "a1")}, 0, 1, 0),
        ({"recordings": ()}, 1, 0, 0),
        ({"recordings": (Recording("c1", 2000, (0.1, 0.0)),)}, 0, 0, 1),
        ({"recordings": (Recording("c1", 2000, (0.1,)),)}, 0, 0, 1),
        ({"facts": ("f1",)}, 1, 0, 0),
        ({"facts": ("f1", "f2", "f2")}, 0, 1, 0),
    ],
)
def test_every_kind_of_disagreement_is_counted(
    change: dict[str, object], lost: int, duplicated: int, mismatched: int
) -> None:
    result = check(dataclasses.replace(BOOKS, **change))  # type: ignore[arg-type]
    assert (result.lost, result.duplicated, result.mismatched) == (lost, duplicated, mismatched), (
        result.findings
    )
    assert not result.balanced
    assert len(result.findings) == lost + duplicated + mismatched


def test_more_than_one_percent_of_other_ends_is_no_balance() -> None:
    account = Account(calls=(Call("c1", "other"),), legs=("c1",))
    books = Books(contacts=(Contact("c1", "outage"),), legs=("c1",))
    result = balance(account, books, ())
    assert result.other == {"outage": 1}
    assert not result.balanced


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentiles_by_nearest_rank(share: float, value: int) -> None:
    assert percentile(list(range(1, 101)), share) == value
