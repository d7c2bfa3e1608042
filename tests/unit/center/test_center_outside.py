"""Which trunk carries a call out, how its number is written, and what a document must not say about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.center import trunks as document
from services.center.outside import FULL, NO_ROUTE, Outside, Rewrite, Route, Trunk, Way, bridge_string, choose

A = Trunk(
    name="a", gateway="ga", channels=2, caller_id="0219", rewrite=(Rewrite(prefix="+98", strip=3, add="0"),)
)
B = Trunk(name="b", gateway="gb", channels=1)
WORLD = Trunk(name="world", gateway="gw", channels=0, shows_callers=False, caller_id="0218")
OUTSIDE = Outside(
    trunks=(A, B, WORLD),
    routes=(
        Route(prefix="0", trunks=("a", "b")),
        Route(prefix="00", trunks=("world",)),
        Route(prefix="+", trunks=("world", "a")),
    ),
)


def names(number: str, resting: set[str] | None = None, **used: int) -> list[str]:
    return [t.name for t in choose(OUTSIDE, number, lambda t: used.get(t, 0), resting or set()).trunks]


def test_the_longest_prefix_decides_and_its_order_holds() -> None:
    assert names("0211234") == ["a", "b"]
    assert names("0049301234") == ["world"]
    assert names("+49301234") == ["world", "a"]
    assert names("911") == []
    assert choose(OUTSIDE, "911", lambda _: 0).refusal == NO_ROUTE


def test_a_full_trunk_is_passed_over_and_told_of() -> None:
    choice = choose(OUTSIDE, "0211234", lambda t: {"a": 2}.get(t, 0))
    assert [t.name for t in choice.trunks] == ["b"]
    assert [(p.trunk, p.channels) for p in choice.full] == [("a", 2)]
    none_left = choose(OUTSIDE, "0211234", lambda t: {"a": 2, "b": 1}[t])
    assert (none_left.trunks, none_left.refusal, len(none_left.full)) == ((), FULL, 2)


def test_a_gateway_that_failed_is_tried_last_and_not_left_out() -> None:
    assert names("0211234", {"ga"}) == ["b", "a"]
    assert names("0211234", {"ga"}, b=1) == ["a"]


def test_a_trunk_that_this_call_has_tried_is_not_tried_again() -> None:
    assert [t.name for t in choose(OUTSIDE, "0211234", lambda _: 0, without=["a"]).trunks] == ["b"]
    assert choose(OUTSIDE, "0211234", lambda _: 0, without=["a", "b"]).trunks == ()


def test_a_number_is_written_as_the_carrier_wants_it() -> None:
    assert A.dialled("+98211234") == "0211234"
    assert A.dialled("0211234") == "0211234"
    assert B.dialled("+98211234") == "+98211234"


def test_whose_number_is_shown() -> None:
    assert A.shown("09121234567", ours=False) == "09121234567"
    assert A.shown("", ours=False) == "0219"
    assert WORLD.shown("09121234567", ours=False) == "0218", "the carrier refuses numbers that are not ours"
    assert WORLD.shown("02177", ours=True) == "02177"


def test_without_trunks_the_installations_own_dial_string_is_used() -> None:
    (trunk,) = choose(Outside(), "0211234", lambda _: 10_000).trunks
    assert (trunk.name, trunk.channels) == ("", 0)
    assert Way(number="0211234").dial("sofia/gateway/x/{number}") == "sofia/gateway/x/0211234"
    assert bridge_string([Way(number="0211234")], "x/{number}", "demo", "c1") == "x/0211234"


def test_the_argument_of_bridge_goes_on_only_after_the_ways_own_failures() -> None:
    ways = [
        Way(leg="l1", trunk="a", gateway="ga", number="0211", caller_id="0219"),
        Way(leg="l2", trunk="b", gateway="gb", number="0211"),
    ]
    text = bridge_string(ways, "x/{number}", "demo", "c1", ring_s=45)
    shared, _, rest = text.partition("}")
    assert shared.startswith("{originate_timeout=45,fail_on_single_reject=!GATEWAY_DOWN.")
    assert "USER_BUSY" not in shared
    assert "NO_ANSWER" not in shared
    first, second = rest.split("|")
    assert first.endswith("]sofia/gateway/ga/0211")
    assert second.endswith("]sofia/gateway/gb/0211")
    assert "cc_then=l2:b:gb" in first
    assert "cc_then" not in second
    for word in ("origination_uuid=l1", "cc_trunk=a", "cc_tenant=demo", "origination_caller_id_number=0219"):
        assert word in first


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=5),
    st.text("0+9", max_size=4),
    st.sampled_from(["", "0", "00", "+", "+9"]),
)
def test_never_a_full_trunk_and_always_an_answer(
    trunks: list[tuple[int, bool]], number: str, prefix: str
) -> None:
    made = tuple(Trunk(name=f"t{i}", gateway=f"g{i}", channels=n) for i, (n, _) in enumerate(trunks))
    used = {f"t{i}": n + (not free) for i, (n, free) in enumerate(trunks)}
    routes = (Route(prefix=prefix, trunks=tuple(t.name for t in made)),) if made else ()
    choice = choose(Outside(trunks=made, routes=routes), number, lambda t: used.get(t, 0))
    assert bool(choice.trunks) != bool(choice.refusal)
    for trunk in choice.trunks:
        assert not trunk.channels or used.get(trunk.name, 0) < trunk.channels


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"prefix": "0", "strip": 2}, "takes off more than the prefix"),
        ({"prefix": "+98", "add": "0"}, "before the plus sign"),
    ],
)
def test_rewrites_that_make_no_number_are_refused(part: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        document.Rewrite.model_validate(part)


def test_a_carrier_that_lets_no_callers_number_through_needs_one_of_ours() -> None:
    with pytest.raises(ValidationError, match="needs a caller_id"):
        document.Trunk.model_validate({"gateway": "g", "shows_callers": False})
