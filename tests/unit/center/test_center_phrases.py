"""What callers say is compared with phrases as people write them, Persian and English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.center.phrases import filled, match, normal, places_of, words

GRAMMAR = {
    "order": ["سفارش من کجاست", "پیگیری سفارش", "where is my order", "order"],
    "return": ["می‌خواهم پس بدهم", "return an order", "۱۲ روز"],
    "agent": ["کارشناس", "an agent"],
}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("سفارش من کجاست", "order"),
        ("سفارش من كجاست", "order"),  # Arabic kaf
        ("پيگيري سفارش", "order"),  # Arabic yeh
        ("پیگیری  سفارشِ", "order"),  # a mark below the last letter
        ("می خواهم پس بدهم", "return"),
        ("میخواهم پس بدهم", "return"),
        ("سلام می\u200cخواهم پس\u200cبدهم لطفا", "return"),
        ("تا 12 روز", "return"),
        ("١٢ روز", "return"),
        ("کارشناس!", "agent"),
        ("ﻛﺎﺭﺷﻨﺎﺱ", "agent"),  # presentation forms, as old systems send them
        ("Hello, WHERE IS MY ORDER?", "order"),
        ("I would like to return an order", "return"),
        ("an agents", None),  # in the middle of a word
        ("border", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_phrase_is_heard_however_it_is_written(said: str, found: str | None) -> None:
    result = match(said, GRAMMAR)
    assert (result[0] if result else None) == found


def test_two_phrases_that_are_as_long_are_none() -> None:
    assert match("left right", {"a": ["left"], "b": ["right", "left right"]}) == ("b", "left right")
    assert match("lefty right", {"a": ["right"], "b": ["lefty"]}) is None
    assert match("left left", {"a": ["left", "Left"]}) == ("a", "left")


@given(st.text(max_size=60))
def test_the_form_in_which_words_are_compared_is_its_own(text: str) -> None:
    once = " ".join(words(text))
    assert " ".join(words(once)) == once
    assert normal(text) == once.replace(" ", "")
    if normal(text):
        found = match(f"well {text} please", {"it": [text]})
        assert found == ("it", text)


def test_texts_have_the_values_of_their_variables() -> None:
    text = "Order {order} of {name} is {order}."
    assert places_of(text) == ["order", "name", "order"]
    assert filled(text, {"order": "7"}) == "Order 7 of  is 7."
