"""Expressions of skills: what they mean, and where they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.center.skills import ANYBODY, BadExpression, Requirement, all_of, parse, skills_in
from services.routing.core.requirement import in_words, satisfied

LEVELS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 5))


@pytest.mark.parametrize(
    ("text", "fits", "fits_not"),
    [
        ("billing", {"billing": 1}, {"billing": 0, "sales": 5}),
        ("billing>=3 and lang.fa", {"billing": 3, "lang.fa": 1}, {"billing": 2, "lang.fa": 5}),
        ("a or b and c", {"a": 1}, {"b": 1}),
        ("(a or b) and c", {"b": 1, "c": 1}, {"a": 1}),
        ("not a", {"b": 1}, {"a": 1}),
        ("not (a>=3 and b)", {"a": 2, "b": 5}, {"a": 3, "b": 1}),
        ("not not a", {"a": 1}, {}),
        ("a=2", {"a": 2}, {"a": 3}),
        ("a!=2", {"a": 3}, {"a": 2}),
        ("not a!=2", {"a": 2}, {"a": 1}),
        ("a<2", {}, {"a": 2}),
        ("a>1 and a<=3", {"a": 3}, {"a": 4}),
        ("a >= 1   and\tb", {"a": 1, "b": 1}, {"a": 1}),
    ],
)
def test_expression_means_what_it_says(text: str, fits: dict[str, int], fits_not: dict[str, int]) -> None:
    assert satisfied(fits, parse(text))
    assert not satisfied(fits_not, parse(text))


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "found the end"),
        ("a and", 6, "expected a skill; found the end"),
        ("a b", 3, 'expected and, or or the end; found "b"'),
        ("a >= ", 6, "expected a level"),
        ("a>=11", 4, "expected a level from 0 to 10"),
        ("a<0", 3, "no level is below 0"),
        ("(a or b", 8, 'expected ")" for the one opened in column 1'),
        ("a)", 2, 'found ")"'),
        ("and a", 1, 'found "and"'),
        ("a && b", 3, '"&" means nothing here'),
        ("A", 1, '"A" means nothing here'),
        ("3>=a", 1, 'expected a skill; found "3"'),
        ("(" * 20 + "a" + ")" * 20, 18, "nested deeper"),
        ("a or " * 70 + "a", 301, "longer than"),
    ],
)
def test_fault_has_its_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(BadExpression, match="column") as found:
        parse(text)
    assert found.value.column == column
    assert reason in str(found.value)


EXPRESSIONS = st.recursive(
    st.builds(
        lambda skill, sign, level: f"{skill}{sign}{level}" if sign else skill,
        st.sampled_from("abc"),
        st.sampled_from(("", ">=", "<=", "=", "!=", ">")),
        st.integers(0, 5),
    ),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=8,
)


def by_python(text: str, levels: dict[str, int]) -> bool:
    """The same expression as Python would have it, skills as numbers."""
    padded = text.replace("!=", "≠").replace(">=", "≥").replace("<=", "≤").replace("=", "==")
    padded = padded.replace("≠", "!=").replace("≥", ">=").replace("≤", "<=")
    return bool(eval(padded, {"__builtins__": {}}, {s: levels.get(s, 0) for s in "abc"}))


@given(EXPRESSIONS, LEVELS)
def test_expressions_agree_with_python(text: str, levels: dict[str, int]) -> None:
    if len(text) <= 300:
        assert satisfied(levels, parse(text)) == by_python(text, levels)


@given(EXPRESSIONS)
def test_equal_requirements_are_equal_values_and_can_be_said(text: str) -> None:
    if len(text) <= 140:
        requirement = parse(text)
        assert parse(f"({text}) and ({text})") == requirement
        assert all_of(requirement, ANYBODY) == requirement
        assert all(skill in text for skill in skills_in(requirement))
        assert isinstance(in_words(requirement), str)


def test_requirement_in_words() -> None:
    requirement: Requirement = parse("lang.fa>=3 and (billing or sales>=2) and not vip")
    assert in_words(requirement) == "(billing or sales>=2) and lang.fa>=3 and vip<=0" or (
        set(in_words(requirement).split(" and ")) == {"(billing or sales>=2)", "lang.fa>=3", "vip<=0"}
    )
