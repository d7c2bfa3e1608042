"""Text on its way into FreeSWITCH: whole commands, channel variables, untrusted words. Theory of operation.

FreeSWITCH has no one syntax for arguments. A command goes through several string splitters in turn, each of which
removes its own share of quotes and backslashes, and a value must be written so that it comes out whole at the end:

* ``bgapi originate {a=b,c=d}sofia/x &park()`` is split three times: at blanks (the API's arguments), at commas (the
  variables), at the first ``=`` (``originate_function`` in mod_commands.c, ``switch_event_create_brackets`` in
  switch_event.c). The often seen ``c='d,e'`` does not survive: the first split takes the quotes away and the second
  one finds the comma bare. So `channel_vars` escapes once for each splitter, innermost first.
* ``uuid_setvar_multi u a=b;c=d`` is split once, at semicolons (`setvar_multi`).
* the application ``multiset ^^;a=b;c=d`` is split once, and then every value is expanded: twice (`multiset`).

`separate` is the splitter itself (``switch_separate_string`` in switch_utils.c, read at git a88d069), for those who must
read what others wrote: the simulated switch, and the tests that prove that every value comes out as it went in.

`command` is the only way bytes get to a socket, and what it lets through arrives as one command with just these headers,
or it raises. What ``read_packet`` and ``parse_command`` in mod_event_socket.c and ``switch_event_base_add_header`` in
switch_event.c (git a88d069) would make something else of, and so is refused:

* CR and LF (end the line), NUL (C ends there, in a body too);
* a second ``content-length`` (it would swallow the next command), a head of more than 10 MB (the rest would be a command);
* an empty value (removes the header), one that starts with a blank (loses it) or with ``ARRAY::`` (becomes a list);
* the two word pairs that are looked for anywhere in the head, headers included, in order to reload the module, which
  drops every connection of everybody;
* ``getvar``, whose answer comes raw: a value with a blank line in it is two answers, and all later ones go astray.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.common.errors import UnsafeCommandError

_NO_HEADERS: Mapping[str, str] = {}
_LINE_BREAKERS = re.compile(r"[\r\n\0]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]*")
# A first "-" or "/" would be a negative filter or a regular expression where ids are filtered by.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@+\-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ARRAY = re.compile("ARRAY:{2,}")
_MODULE = re.compile("mod_event_socket", re.IGNORECASE)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
# At 10 MB read_packet() takes what it has for a command, and what follows for the next one.
MAX_HEAD_BYTES = 10_485_759
# What refuses an id repeats it in a reply that is cut at 511 bytes, its end included.
_ID_MAX = 128
# bgapi copies the Job-UUID into a buffer of this size: the job of a longer one would never be found again.
_JOB_ID_MAX = 36
# The array that uuid_setvar_multi splits into; the 64th element would take all the rest, delimiters included.
_SETVAR_MULTI_MAX = 64
# switch_event_create_brackets splits into an array of this size.
_BRACKETS_MAX = 1024


def command(line: str, headers: Mapping[str, str] = _NO_HEADERS, body: bytes | None = None) -> bytes:
    """Return the bytes of one command, to be written with one write.

    ``headers`` follow the line (``sendmsg``, ``sendevent``, ``bgapi``); ``body`` gets its ``content-length`` and may hold
    any bytes but NUL. Raises UnsafeCommandError, which names the line or the header.
    """
    if not line or line[0] == " ":
        raise UnsafeCommandError("an empty command, or one that starts with a blank, gets no answer")
    if line.lower().startswith("getvar"):
        raise UnsafeCommandError(f"{line[:80]!r}: getvar answers without any form; use api uuid_getvar")
    if _LINE_BREAKERS.search(line):
        raise UnsafeCommandError(f"CR, LF or NUL in {line[:80]!r}: it would end the line")
    parts = [line]
    seen = set()
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise UnsafeCommandError(f"not a header name: {name!r}")
        if name.lower() == "content-length" or name.lower() in seen:
            raise UnsafeCommandError(f"a second header {name!r}")
        seen.add(name.lower())
        if _LINE_BREAKERS.search(value):
            raise UnsafeCommandError(
                f"CR, LF or NUL in the header {name}={value[:80]!r}: it would end the line"
            )
        if not value or value[0] == " " or value.startswith("ARRAY::"):
            raise UnsafeCommandError(
                f"the header {name}={value[:80]!r} is empty, or starts with a blank or ARRAY::, and would not arrive so"
            )
        parts.append(f"{name}: {value}")
    if body is not None:
        if b"\0" in body:
            raise UnsafeCommandError(f"NUL in the body of {line[:80]!r}: it would end there")
        parts.append(f"content-length: {len(body)}")
    text = "\n".join(parts)
    lowered = text.lower()
    # "reload" would also be found in the name "reloadxml", and so does FreeSWITCH.
    if "mod_event_socket" in lowered and ("reload" in lowered or "unload" in lowered):
        raise UnsafeCommandError(
            f"{line[:80]!r}: names mod_event_socket and reload or unload, which drops all connections"
        )
    head = encoded(text, f"the command {line[:80]!r}") + b"\n\n"
    if len(head) > MAX_HEAD_BYTES:
        raise UnsafeCommandError(f"{line[:80]!r}: {len(head)} bytes, more than {MAX_HEAD_BYTES}")
    return head if body is None else head + body


def encoded(text: str, what: str) -> bytes:
    """Return the bytes of ``text``. Raises UnsafeCommandError, which names ``what``, for half a surrogate pair."""
    try:
        # surrogateescape gives back the very bytes of a value that came from the operating system, such as a file name
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise UnsafeCommandError(f"{text[e.start : e.end]!r} in {what} is no character") from None


def checked_id(text: str, what: str) -> str:
    """Return ``text`` if it may stand for a channel. Raises UnsafeCommandError, which names ``what``, otherwise."""
    if not _ID.fullmatch(text) or len(text) > _ID_MAX:
        raise UnsafeCommandError(
            f"{what} must be 1 to {_ID_MAX} letters, digits and _.:@+-, not {text[:80]!r}"
        )
    return text


def checked_job_id(text: str) -> str:
    """Return ``text`` if FreeSWITCH would give it back as a Job-UUID, whole. Raises UnsafeCommandError otherwise."""
    if not _ID.fullmatch(text) or len(text) > _JOB_ID_MAX:
        raise UnsafeCommandError(
            f"a job's id must be 1 to {_JOB_ID_MAX} letters, digits and _.:@+-, not {text[:80]!r}"
        )
    return text


def neutralise(text: str) -> str:
    """Return untrusted ``text`` as harmless words of an application argument.

    Arguments of applications are expanded (``${api(x)}`` runs ``api``), and ``set`` and ``multiset`` expand twice, so a
    backslash in front protects only once: every ``$`` goes. So do backslashes (they eat the next character), control
    characters (they end a command), the name by which mod_event_socket is reloaded, and the mark of a list
    (``ARRAY::``). Letters, digits, blanks and punctuation of all languages stay. What separates the arguments of one application (``,`` ``;`` ``|`` or blanks)
    is not touched: that is for whoever builds the argument.
    """
    text = _CONTROL.sub(" ", text).replace("$", "").replace("\\", "/")
    return _MODULE.sub("mod event socket", _ARRAY.sub("ARRAY:", text))


def channel_vars(vars: Mapping[str, str]) -> str:
    """Return ``{a=b,c=d}`` for the front of a dial string in ``originate``; nothing for no variables.

    Raises UnsafeCommandError for what no escaping can carry: line breaks, braces that do not pair (they are counted
    before anything is unescaped), ``:_:`` (starts another kind of originate) and names that are not plain words.
    """
    if len(vars) > _BRACKETS_MAX:
        raise UnsafeCommandError(f"more than {_BRACKETS_MAX} channel variables")
    pairs = []
    for name, value in vars.items():
        _check(name, value)
        if not _braces_pair(value):
            raise UnsafeCommandError(f"braces do not pair in {name}={value[:80]!r}")
        if ":_:" in value:
            raise UnsafeCommandError(f"':_:' separates dial strings, found in {name}={value[:80]!r}")
        pairs.append(f"{name}={_escape(value, '=')}")
    if not pairs:
        return ""
    # The braces have to be there while blanks are split, but they take no part in the escaping.
    return "{" + _escape(",".join(_escape(pair, ",") for pair in pairs), " ") + "}"


def setvar_multi(vars: Mapping[str, str]) -> str:
    """Return ``a=b;c=d`` for ``uuid_setvar_multi``, whose values are not expanded. An empty value unsets its variable.

    Raises UnsafeCommandError for a ``;``, line breaks, names that are not plain words, or more than 64 variables.
    """
    if len(vars) > _SETVAR_MULTI_MAX:
        raise UnsafeCommandError(f"uuid_setvar_multi takes {_SETVAR_MULTI_MAX} variables, not {len(vars)}")
    pairs = []
    for name, value in vars.items():
        _check(name, value)
        if ";" in value:
            raise UnsafeCommandError(f"';' separates variables, found in {name}={value[:80]!r}")
        pairs.append(_escape(f"{name}={value}", ";"))
    return ";".join(pairs)


def multiset(vars: Mapping[str, str]) -> str:
    """Return ``^^;a=b;c=d`` for the application ``multiset``. Values are expanded: `neutralise` the untrusted first.

    Raises UnsafeCommandError for what that splitter and the expansion would not leave alone: ``;``, ``$``, backslashes,
    line breaks, blanks at the ends, names that are not plain words.
    """
    for name, value in vars.items():
        _check(name, value)
        if found := re.search(r"[;$\\]", value):
            raise UnsafeCommandError(
                f"{found[0]!r} has a meaning to multiset, found in {name}={value[:80]!r}"
            )
        if value != value.strip(" "):
            raise UnsafeCommandError(f"blanks at an end are lost, found in {name}={value[:80]!r}")
    return "^^;" + ";".join(f"{name}={value}" for name, value in vars.items())


def separate(text: str, delimiter: str, limit: int | None = None) -> list[str]:
    """Split ``text`` as ``switch_separate_string`` does: outside single quotes and backslashes, then unescape each part.

    A backslash speaks only in front of a quote, the delimiter (unless that is the blank), another backslash or one of
    ``nrts``; a single quote without a partner is an ordinary character. The last of ``limit`` parts takes all the rest.
    """
    simple = limit is None or (limit > 0 and delimiter != " ")
    if simple and "\\" not in text and "'" not in text:  # nothing speaks: the common case by far
        found = text.split(delimiter, -1 if limit is None else limit - 1)
        if delimiter == " ":
            return [part for part in found if part] or ([""] if text else [])
        if not found[-1]:
            found.pop()
        return [part.strip(" ") for part in found]
    return _by_character(text, delimiter, limit)


def _by_character(text: str, delimiter: str, limit: int | None) -> list[str]:
    parts: list[str] = []
    start = 0
    while start < len(text) and (limit is None or len(parts) < limit):
        if delimiter == " ":
            while start < len(text) and text[start] == " ":
                start += 1
        last = limit is not None and len(parts) + 1 == limit
        at = len(text) if last else _find_delimiter(text, start, delimiter)
        parts.append(_unescape(text[start:at], "" if delimiter == " " else delimiter))
        start = at + 1
        if delimiter == " ":
            while start < len(text) and text[start] == " ":
                start += 1
    return parts


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise UnsafeCommandError(f"not a variable name: {name!r}")
    if _LINE_BREAKERS.search(value):
        raise UnsafeCommandError(f"CR, LF or NUL in {name}={value[:80]!r}")
    if value.startswith("ARRAY::"):
        raise UnsafeCommandError(f"{name}={value[:80]!r} would become a list")


def _escape(text: str, delimiter: str) -> str:
    """Write ``text`` so that one pass of `separate` at ``delimiter`` gives it back."""
    out = text.replace("\\", "\\\\").replace("'", "\\'")
    if delimiter == " ":
        return out.replace(" ", "\\s")
    out = out.replace(delimiter, "\\" + delimiter)
    inner = out.strip(" ")  # blanks at the ends would be trimmed
    if len(inner) == len(out):
        return out
    left = len(out) - len(out.lstrip(" "))
    right = 0 if left == len(out) else len(out) - len(out.rstrip(" "))
    return "\\s" * left + inner + "\\s" * right


def _unescape(part: str, delimiter: str) -> str:
    if "\\" not in part and "'" not in part:
        return part.strip(" ")
    out: list[str] = []
    end = -1  # length of the result without blanks that are trimmed; -1: nothing but blanks so far
    quoted = False
    i = 0
    part = part.lstrip(" ")
    while i < len(part):
        c = part[i]
        after = part[i + 1 : i + 2]
        if c == "\\" and after and (after in "'\"\\" or after == delimiter or after in _ESCAPED):
            out.append(after if after in "'\"\\" or after == delimiter else _ESCAPED[after])
            end = len(out)
            i += 2
            continue
        if c == "'" and (quoted or part.find("'", i + 1) >= 0):
            quoted = not quoted
            if quoted:
                end = len(out)
        else:
            out.append(c)
            if c != " " or quoted:
                end = len(out)
        i += 1
    return "".join(out if end < 0 else out[:end])


def _find_delimiter(text: str, start: int, delimiter: str) -> int:
    # At blanks a single quote opens even without a partner; at other delimiters it does not.
    quoted = False
    i = start
    while i < len(text):
        c = text[i]
        if c == "\\":
            i += 1
        elif c == "'" and (quoted or delimiter == " " or text.find("'", i + 1) >= 0):
            quoted = not quoted
        elif c == delimiter and not quoted:
            return i
        i += 1
    return len(text)


def _braces_pair(text: str) -> bool:
    depth = 0
    for c in text:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    return depth == 0
