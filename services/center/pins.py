"""PINs of agents: kept as salted hashes (scrypt, RFC 7914), so that a document that leaks is not a list of PINs.

A PIN has few digits, so no hash makes it safe against somebody who has the document and time; what keeps people out is that routing takes
three wrong ones and then none for a while.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Annotated

from pydantic import Field, StringConstraints

from services.center.words import Part

LOG_N, R, P = 14, 8, 1
"""16 MB and some 50 ms a look."""
_SALT_BYTES, _HASH_BYTES = 16, 32
PIN = re.compile(r"[0-9]{4,12}")
FORM = r"^scrypt\$1[0-7]\$8\$1\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=$"

PinHash = Annotated[str, StringConstraints(pattern=FORM)]
"""What ``python -m services.center pin`` prints."""

PIN_PROMPTS = ("enter-pin", "wrong-pin")
"""What is heard after ``*23`` and an agent's number; needed as soon as an agent has a PIN."""


class Login(Part):
    """How agents log in at phones that are not theirs."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Wrong PINs in a row, at whatever phone, after which none is taken for ``lock_s``."""
    lock_s: Annotated[int, Field(ge=10, le=86_400)] = 900


def hashed(pin: str, *, salt: bytes | None = None) -> str:
    """Return the salted hash of a PIN. Raises ValueError when it is not 4 to 12 digits."""
    if not PIN.fullmatch(pin):
        raise ValueError("a PIN has 4 to 12 digits")
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return f"scrypt${LOG_N}${R}${P}${_text(salt)}${_text(_scrypt(pin, salt, LOG_N, R, P))}"


def matches(pin: str, pin_hash: str) -> bool:
    """Whether it is the PIN. Takes its time: call it in a thread."""
    _, log_n, r, p, salt, wanted = pin_hash.split("$")
    found = _scrypt(pin, base64.b64decode(salt), int(log_n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(wanted))


def _scrypt(pin: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    return hashlib.scrypt(pin.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=_HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
