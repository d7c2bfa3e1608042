"""What may be sent to FreeSWITCH, and how it comes out at the other end."""

from __future__ import annotations

import pytest

from services.common.errors import UnsafeCommandError
from services.common.esl.quoting import channel_vars, command, multiset, neutralise, separate, setvar_multi


def test_a_command_is_its_line_its_headers_and_its_body() -> None:
    assert command("api status") == b"api status\n\n"
    assert command("bgapi status", {"Job-UUID": "j"}) == b"bgapi status\nJob-UUID: j\n\n"
    assert (
        command("sendevent CUSTOM", {"A": "é"}, b"\n\n")
        == "sendevent CUSTOM\nA: é\ncontent-length: 2\n\n\n\n".encode()
    )


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("api status\n\nauth x", {}),
        ("api a\rb", {}),
        ("api a\0b", {}),
        ("", {}),
        (" api status", {}),
        ("sendmsg u", {"a\nb": "c"}),
        ("sendmsg u", {"a": "b\nc"}),
        ("sendmsg u", {"a": "b\r"}),
        ("sendmsg u", {"a: b": "c"}),
        ("api reload mod_event_socket", {}),
        ("api RELOADXML and Mod_Event_Socket", {}),
        ("sendmsg u", {"execute-app-arg": "cid=please reload my mod_event_socket thanks"}),
        ("sendmsg u", {"x-unload": "1", "y": "mod_event_socket"}),
    ],
)
def test_what_would_be_two_commands_or_drop_all_connections_is_refused(
    line: str, headers: dict[str, str]
) -> None:
    with pytest.raises(UnsafeCommandError):
        command(line, headers)


def test_the_words_alone_and_the_body_are_allowed() -> None:
    assert command("api reloadxml") == b"api reloadxml\n\n"
    assert command("api module_exists mod_event_socket").startswith(b"api module_exists")
    assert command("sendevent X", {}, b"reload mod_event_socket").endswith(b"reload mod_event_socket")


def test_neutralised_text_cannot_expand_end_a_line_or_reload() -> None:
    wild = "a${system(rm -rf /)}$${x}\\${y}\r\n\0reload Mod_Event_Socket é 100% سلام"
    tame = neutralise(wild)
    assert not set("$\\\r\n\0") & set(tame)
    assert tame.endswith("é 100% سلام")
    command(f"api uuid_setvar u name {tame}")
    assert neutralise("Sara, 12; 'quoted' | text") == "Sara, 12; 'quoted' | text"


def test_plain_channel_variables_stay_readable() -> None:
    assert channel_vars(
        {"origination_uuid": "a-1", "originate_timeout": "20", "ignore_early_media": "true"}
    ) == ("{origination_uuid=a-1,originate_timeout=20,ignore_early_media=true}")
    assert channel_vars({}) == ""


def test_channel_variables_are_escaped_once_for_each_split() -> None:
    assert channel_vars({"a": "x y", "b": "1,2"}) == "{a=x\\sy,b=1\\\\,2}"


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "{", "}{", "a:_:b", "\0"])
def test_values_that_no_escaping_carries_are_refused(value: str) -> None:
    with pytest.raises(UnsafeCommandError):
        channel_vars({"name": value})


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b", "a}", "é", "-a"])
def test_names_are_plain_words(name: str) -> None:
    for write in (channel_vars, setvar_multi, multiset):
        with pytest.raises(UnsafeCommandError):
            write({name: "v"})


def test_several_variables_of_a_channel_are_set_at_once() -> None:
    assert (
        setvar_multi({"cc_state": "talking", "empty": "", "q": "it's"}) == "cc_state=talking;empty=;q=it\\'s"
    )
    with pytest.raises(UnsafeCommandError):
        setvar_multi({"a": "b;c=d"})
    with pytest.raises(UnsafeCommandError):
        setvar_multi({"a": "b\nc"})
    with pytest.raises(UnsafeCommandError):
        setvar_multi({f"v{n}": "x" for n in range(65)})


def test_multiset_takes_what_neither_the_split_nor_the_expansion_touches() -> None:
    assert (
        multiset({"cc_state": "handover", "cc_skills": "billing:3 fa:1"})
        == "^^;cc_state=handover;cc_skills=billing:3 fa:1"
    )
    for value in ("a;b=c", "${x}", "a\\b", " a", "a ", "a\nb"):
        with pytest.raises(UnsafeCommandError):
            multiset({"v": value})


@pytest.mark.parametrize(
    ("text", "delimiter", "limit", "parts"),
    [
        ("a b  c", " ", None, ["a", "b", "c"]),
        ("'a b' c", " ", None, ["a b", "c"]),
        ("it's one", " ", None, ["it's one"]),
        ("it's,two", ",", None, ["it's", "two"]),
        ("c='d,e',f", ",", None, ["c=d,e", "f"]),
        (r"a\,b,c\\,d", ",", None, ["a,b", "c\\", "d"]),
        (r"a\sb \n", ",", None, ["a b \n"]),
        ("a=b=c", "=", 2, ["a", "b=c"]),
        ("a=", "=", 2, ["a"]),
        (" a , b ", ",", None, ["a", "b"]),
        ("'' ,x", ",", None, ["", "x"]),
    ],
)
def test_separate_splits_as_freeswitch_does(
    text: str, delimiter: str, limit: int | None, parts: list[str]
) -> None:
    # the expected parts were taken from switch_separate_string() itself
    assert separate(text, delimiter, limit) == parts
