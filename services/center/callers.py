"""Whose number it is, however it is written."""

from __future__ import annotations


def normal(number: str, country: str) -> str:
    """A number as customers are found by it: digits with the country's code, however it was written.

    ``+98 912…``, ``0098912…`` and, where ``country`` is ``98``, ``0912…`` are the same.
    """
    digits = "".join(c for c in number if c.isascii() and c.isdigit())
    if number.strip().startswith("+"):
        return digits
    if digits.startswith("00"):
        return digits[2:]
    return country + digits[1:] if country and digits.startswith("0") else digits
