"""What callers say, compared with phrases that people wrote; and what is said to them, with what variables have. Pure.

The same words come in many spellings: a keyboard writes the Arabic ي and ك where Persian has ی and ک, one person leaves a half-space,
another a space or nothing («می‌خواهم», «می خواهم», «میخواهم»), recognisers leave out marks above and below letters. So both sides are put
into one form first, and where words begin and end is compared apart from the letters: a phrase is heard when its letters are said
in their order, from the beginning of a word to the end of one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

PLACE = re.compile(r"\{([^{}]*)\}")
"""A variable in a text: ``Order {order} is ready.``"""

_SAME = str.maketrans(
    {"ي": "ی", "ى": "ی", "ك": "ک", "ة": "ه", "ە": "ه", "ھ": "ه", "ـ": None, "'": None, "’": None}
)
_HALF_SPACE = "\u200c"


def places_of(text: str) -> list[str]:
    """The variables that a text has in braces."""
    return PLACE.findall(text)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with the values of its variables; nothing stands for one that is not set."""
    return PLACE.sub(lambda found: variables.get(found[1], ""), text)


def words(text: str) -> list[str]:
    """The words of a text in the form in which they are compared.

    Compatibility forms are one letter, small letters stand for capitals, every digit is an ASCII digit, marks above and below letters are
    left out (so آ is ا and أ is ا), half-spaces and punctuation end a word.
    """
    letters: list[str] = []
    # Twice: a capital may hide in a compatibility form, and a small letter may have one.
    small = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    for letter in small.translate(_SAME):
        kind = unicodedata.category(letter)
        if kind == "Nd":
            letters.append(str(unicodedata.digit(letter)))
        elif kind[0] == "L":
            letters.append(letter)
        elif letter == _HALF_SPACE or kind[0] not in "MC":
            letters.append(" ")
    return "".join(letters).split()


def normal(text: str) -> str:
    """The letters of a text without what separates words: equal for two spellings of the same."""
    return "".join(words(text))


def match(said: str, grammar: Mapping[str, Iterable[str]]) -> tuple[str, str] | None:
    """The name whose phrase is in what was said, with that phrase: the longest one. None for no phrase, and for two that are as long."""
    heard = words(said)
    spoken = "".join(heard)
    edges = {0}
    for word in heard:
        edges.add(max(edges) + len(word))
    best: tuple[str, str] | None = None
    longest = 0
    for name, phrases in grammar.items():
        for phrase in phrases:
            wanted = normal(phrase)
            if len(wanted) < longest or not wanted or not _is_in(wanted, spoken, edges):
                continue
            if len(wanted) > longest:
                best, longest = (name, phrase), len(wanted)
            elif best is not None and best[0] != name:
                best = None
    return best


def _is_in(wanted: str, spoken: str, edges: set[int]) -> bool:
    at = spoken.find(wanted)
    while at >= 0:
        if at in edges and at + len(wanted) in edges:
            return True
        at = spoken.find(wanted, at + 1)
    return False
