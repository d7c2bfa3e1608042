"""mod_cdr_csv's lines, and exports of call records with a header line, to the variables of a leg.

mod_cdr_csv writes what a template says, without any quoting of values: a caller's name may hold quotation marks and commas. So a line is
cut at the very text that stands between two variables of its template; surplus cuts belong to one of the free texts, and the one that
leaves numbers, times and ids where they belong is taken. A template is given (FreeSWITCH's own text, ``"${uuid}","${start_stamp}"``), or one
of those that FreeSWITCH ships is recognised by its first line, or the first line is a header with names of variables (FusionPBX's
table ``v_xml_cdr`` exported as CSV).

Times are local times of the switch without a zone. In the hour that came twice the reading is taken that agrees with the
duration and with the order of the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Final

import msgspec

from services.reporting.core.imports.clock import epoch_us, readings
from services.reporting.core.imports.records import BadLine
from services.reporting.core.legs import Leg, Profile, leg_of

TEMPLATES: Final[dict[str, str]] = {
    "example": '"${caller_id_name}","${caller_id_number}","${destination_number}","${context}","${start_stamp}","${answer_stamp}","${end_stamp}","${duration}","${billsec}","${hangup_cause}","${uuid}","${bleg_uuid}","${accountcode}","${read_codec}","${write_codec}"',
    "snom": '"${caller_id_name}","${caller_id_number}","${destination_number}","${context}","${start_stamp}","${answer_stamp}","${end_stamp}","${duration}","${billsec}","${hangup_cause}","${uuid}","${bleg_uuid}", "${accountcode}","${read_codec}","${write_codec}","${sip_user_agent}","${call_clientcode}","${sip_rtp_rxstat}","${sip_rtp_txstat}","${sofia_record_file}"',
    "linksys": '"${caller_id_name}","${caller_id_number}","${destination_number}","${context}","${start_stamp}","${answer_stamp}","${end_stamp}","${duration}","${billsec}","${hangup_cause}","${uuid}","${bleg_uuid}","${accountcode}","${read_codec}","${write_codec}","${sip_user_agent}","${sip_p_rtp_stat}"',
    "sql": 'INSERT INTO cdr VALUES ("${caller_id_name}","${caller_id_number}","${destination_number}","${context}","${start_stamp}","${answer_stamp}","${end_stamp}","${duration}","${billsec}","${hangup_cause}","${uuid}","${bleg_uuid}", "${accountcode}");',
    "asterisk": '"${accountcode}","${caller_id_number}","${destination_number}","${context}","${caller_id}","${channel_name}","${bridge_channel}","${last_app}","${last_arg}","${start_stamp}","${answer_stamp}","${end_stamp}","${duration}","${billsec}","${hangup_cause}","${amaflags}","${uuid}","${userfield}"',
}
"""Templates of FreeSWITCH's own configuration that name the leg and its times, by name."""

_PLACE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_STAMP: Final = re.compile(r"(?:\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*)?")
_NUMBER: Final = re.compile(r"-?\d*")
_CAUSE: Final = re.compile(r"[A-Z0-9_]*")
_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._@-]{0,127}")
_MOST_SURPLUS: Final = 64
_ZERO: Final = frozenset({"", "0", "1970-01-01 00:00:00"})


def _fits(name: str, value: str) -> bool:
    if name.endswith("_stamp"):
        return _STAMP.fullmatch(value) is not None
    if name.endswith(("epoch", "sec", "duration")):
        return _NUMBER.fullmatch(value) is not None
    if name == "uuid":
        return _ID.fullmatch(value) is not None
    return name != "hangup_cause" or _CAUSE.fullmatch(value) is not None


def _free(name: str) -> bool:
    """Whether a value may be any text that a caller or a dialplan chose."""
    return name in (
        "caller_id_name",
        "caller_id",
        "last_arg",
        "sip_user_agent",
        "userfield",
        "caller_id_number",
    )


class Template(msgspec.Struct, frozen=True):
    """The variables of a line and the texts around them (one more than variables)."""

    name: str
    variables: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, text: str, name: str = "given") -> Template:
        """Raises BadLine when it has no variable, or two with nothing between them, or not what a leg needs."""
        texts, variables = _PLACE.split(text.strip())[0::2], _PLACE.findall(text)
        if not variables or "" in texts[1:-1]:
            raise BadLine(f'expected a template such as "${{uuid}}","${{start_stamp}}", found {text[:80]!r}')
        need(variables)
        return cls(name, tuple(variables), tuple(texts))

    def read(self, line: str) -> dict[str, str]:
        """The values of a line. Raises BadLine."""
        first, *between, last = self.texts
        if not line.startswith(first) or not line.endswith(last) or len(line) < len(first) + len(last):
            raise BadLine(f"expected a line of the template {self.name!r}, which begins with {first!r}")
        pieces, rest = [], line[len(first) : len(line) - len(last) if last else None]
        if len(set(between)) == 1:
            pieces = rest.split(between[0])
        else:
            pieces = re.split("|".join(map(re.escape, sorted(set(between), key=len, reverse=True))), rest)
        surplus = len(pieces) - len(self.variables)
        if not 0 <= surplus <= _MOST_SURPLUS:
            raise BadLine(
                f"expected {len(self.variables)} values of the template {self.name!r}, found {len(pieces)}"
            )
        for at in [n for n, name in enumerate(self.variables) if _free(name)] if surplus else [0]:
            joined = between[0].join(pieces[at : at + surplus + 1])
            values = [*pieces[:at], joined, *pieces[at + surplus + 1 :]]
            found = dict(zip(self.variables, values, strict=True))
            if all(_fits(name, value) for name, value in found.items()):
                return found
        wrong = next((n for n, v in zip(self.variables, pieces, strict=False) if not _fits(n, v)), "uuid")
        raise BadLine(
            f"{wrong} of the template {self.name!r}: found {dict(zip(self.variables, pieces, strict=False)).get(wrong, '')[:40]!r}"
        )


def need(variables: Sequence[str]) -> None:
    """Raises BadLine when these variables cannot make a leg."""
    known = set(variables)
    if not known & {"uuid", "xml_cdr_uuid"}:
        raise BadLine("expected uuid (or xml_cdr_uuid) among the columns: without it a leg has no identity")
    if not known & {"start_stamp", "start_epoch", "start_uepoch"}:
        raise BadLine("expected start_stamp, start_epoch or start_uepoch among the columns")


class Header(msgspec.Struct, frozen=True):
    """A file whose first line names its columns."""

    variables: tuple[str, ...]
    delimiter: str

    def read(self, line: str) -> dict[str, str]:
        """The values of a line. Raises BadLine."""
        try:
            row = next(csv.reader([line], delimiter=self.delimiter, strict=True), [])
        except csv.Error as e:
            raise BadLine(f"no CSV: {e}") from None
        if len(row) != len(self.variables):
            raise BadLine(f"expected {len(self.variables)} columns as in the header, found {len(row)}")
        return dict(zip(self.variables, row, strict=True))


def form_of(first_line: str) -> Template | Header:
    """What a file holds, by its first line. Raises BadLine when it is none of what is known."""
    for delimiter in (",", ";", "\t"):
        names = [name.strip().strip('"').lower() for name in first_line.split(delimiter)]
        if len(names) > 2 and {"uuid", "xml_cdr_uuid"} & set(names):
            need(names)
            return Header(tuple(names), delimiter)
    for name, text in TEMPLATES.items():
        template = Template.of(text, name)
        try:
            template.read(first_line)
        except BadLine:
            continue
        return template
    raise BadLine(
        f"expected a header with names of variables, or a line of one of FreeSWITCH's templates ({', '.join(TEMPLATES)}); "
        "give yours with --template"
    )


class Clock:
    """Local times of one file in the order of its lines. ``doubtful`` counts times that could be read in two ways."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._last_end_us = 0
        self.doubtful = 0

    def complete(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables with ``start_uepoch``, ``answer_uepoch`` and ``end_uepoch``, which ``leg_of`` reads. Raises BadLine."""
        given = dict(variables)
        times: dict[str, tuple[int, ...]] = {}
        for what in ("start", "answer", "end"):
            if given.get(f"{what}_uepoch", "") not in _ZERO:
                continue
            if (seconds := given.get(f"{what}_epoch", "")) not in _ZERO:
                times[what] = (epoch_us(seconds),)
            elif (stamp := given.get(f"{what}_stamp", "")) not in _ZERO:
                times[what] = readings(stamp, self._zone)
        self.doubtful += any(len(moments) > 1 for moments in times.values())
        lasted_us = _number(given.get("duration", "")) * 1_000_000
        ends = times.get("end", (0,))
        # Lines are written when legs end, so ends grow; the early reading, unless it lies before what was written already.
        end = next((at for at in ends if at >= self._last_end_us - 60_000_000), ends[-1])
        starts = times.get("start", (0,))
        start = min(starts, key=lambda at: abs(end - at - lasted_us)) if end else starts[0]
        answers = [at for at in times.get("answer", (0,)) if start <= at <= end] or [
            *times.get("answer", (0,))
        ]
        if end:
            self._last_end_us = max(self._last_end_us, end)
        for what, at_us in (("start", start), ("answer", answers[0]), ("end", end)):
            if at_us:
                given[f"{what}_uepoch"] = str(at_us)
        if not given.get("start_uepoch"):
            raise BadLine("expected a time in start_stamp, start_epoch or start_uepoch")
        if "mduration" not in given and lasted_us:
            given["mduration"] = str(lasted_us // 1000)
        if "billmsec" not in given and (billed_s := _number(given.get("billsec", ""))):
            given["billmsec"] = str(billed_s * 1000)
        return given


def _number(text: str) -> int:
    return min(int(text), 10**9) if text.isascii() and text.isdigit() else 0


def leg_of_values(variables: Mapping[str, str]) -> Leg:
    """The leg of a line's variables after ``Clock.complete``. Raises BadLine."""
    leg_id = variables.get("uuid", "") or variables.get("xml_cdr_uuid", "")
    if not _ID.fullmatch(leg_id):
        raise BadLine(f"uuid: expected the id of a leg, found {leg_id[:40]!r}")
    direction = variables.get("direction", "")
    profile = Profile(
        leg_id=leg_id,
        direction=direction,
        ani=variables.get("caller_id_number", "") or variables.get("ani", ""),
        caller_name=variables.get("caller_id_name", ""),
        destination=variables.get("destination_number", ""),
    )
    bridged = dict(variables)
    if not bridged.get("bridge_uepoch") and bridged.get("bleg_uuid"):
        # The template has no time of the bridge; that there was one is worth more than its exact moment.
        bridged["bridge_uepoch"] = bridged.get("answer_uepoch", "")
    # FusionPBX's exports have one column for what a leg's direction is here and what the call's is to the company.
    if direction in ("inbound", "outbound", "local") and "xml_cdr_uuid" in variables:
        bridged.setdefault("call_direction", direction)
    return leg_of("import", profile, bridged)
