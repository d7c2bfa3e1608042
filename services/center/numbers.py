"""Numbers as lists of prompts, in English and Persian, for any size. Pure; no audio is touched here.

Prompts are named as FreeSWITCH's own sound packs and its ``say`` modules name them (``digits/20``, ``digits/hundred``;
English: ``digits/h-3`` "third"; Persian: ``digits/20+`` "twenty and", ``digits/3om`` "third"), so a recorded pack can
replace the generated one.

Rules.
English: groups of three digits, largest first, each followed by its scale word; hundreds by the word "hundred"; no
"and". 1234 is "one thousand two hundred thirty four". An ordinal changes only the last word: file ``h-<word>``.
Persian: the same groups; all parts (hundreds, tens, units, groups) are joined by "o" (و), which is spoken with the word
before it: file ``<word>+``. 100 to 900 are words of their own. A lone thousand is "hezar", not "yek hezar"; a lone
million is "yek milion". An ordinal changes only the last word: file ``<word>om``. First, standing alone, is "avval".
Above 999 trillion both languages count trillions: the words before "trillion" are again a number.
"""

from __future__ import annotations

from collections.abc import Iterable

LANGUAGES = ("en", "fa")

_SCALES = (10**12, 10**9, 10**6, 10**3)
_EN_SCALES = {10**12: "trillion", 10**9: "billion", 10**6: "million", 10**3: "thousand"}
_EN_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_EN_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_EN_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_FA_WORDS = {
    0: "صفر", 1: "یک", 2: "دو", 3: "سه", 4: "چهار", 5: "پنج", 6: "شش", 7: "هفت", 8: "هشت", 9: "نه", 10: "ده",
    11: "یازده", 12: "دوازده", 13: "سیزده", 14: "چهارده", 15: "پانزده", 16: "شانزده", 17: "هفده", 18: "هجده",
    19: "نوزده", 20: "بیست", 30: "سی", 40: "چهل", 50: "پنجاه", 60: "شصت", 70: "هفتاد", 80: "هشتاد", 90: "نود",
    100: "صد", 200: "دویست", 300: "سیصد", 400: "چهارصد", 500: "پانصد", 600: "ششصد", 700: "هفتصد", 800: "هشتصد",
    900: "نهصد", 10**3: "هزار", 10**6: "میلیون", 10**9: "میلیارد", 10**12: "تریلیون",
}  # fmt: skip
# Where the ordinal is more than the word with -om: the vowel changes, or the spelling keeps the suffix apart.
_FA_ORDINALS = {2: "دوم", 3: "سوم", 30: "سی‌اُم"}
_KEYS = {"*": "star", "#": "pound"}


def cardinal(n: int, language: str) -> list[str]:
    """Return the prompts that say ``n`` (0 or more). Raises ValueError for a negative number or unknown language."""
    if n < 0:
        raise ValueError(f"a number of prompts must not be negative, found {n}")
    if language == "en":
        return [f"digits/{word}" for word in _english(n)]
    if language == "fa":
        return [f"digits/{word}" for word in _join(_persian(n))]
    raise ValueError(f'no numbers in language "{language}"; expected one of {", ".join(LANGUAGES)}')


def ordinal(n: int, language: str) -> list[str]:
    """Return the prompts that say ``n`` (1 or more) as third, twenty-first. Raises ValueError."""
    if n < 1:
        raise ValueError(f"ordinals start with 1, found {n}")
    if language == "en":
        *words, last = _english(n)
        return [f"digits/{word}" for word in (*words, f"h-{last}")]
    if language == "fa":
        return [f"digits/{word}" for word in _join(_persian(n), end="om")] if n > 1 else ["digits/first"]
    raise ValueError(f'no ordinals in language "{language}"; expected one of {", ".join(LANGUAGES)}')


def day_of_month(n: int, language: str) -> list[str]:
    """Return the prompts that say ``n`` (1 to 31) before a month: an ordinal, in Persian with the ezafe. Raises ValueError."""
    if language == "fa" and 1 <= n <= 31:
        return [f"digits/{word}" for word in _join(_persian(n), end="om-e")]
    return ordinal(n, language)


def digits(text: str, language: str) -> list[str]:
    """Return the prompts that read out each digit, star and pound of ``text``; other characters are silent.

    Raises ValueError for an unknown language.
    """
    if language not in LANGUAGES:
        raise ValueError(f'no digits in language "{language}"; expected one of {", ".join(LANGUAGES)}')
    return [f"digits/{_KEYS.get(key, key)}" for key in text if key in "0123456789*#"]


def file_string(files: Iterable[str]) -> str:
    """Return one FreeSWITCH argument that plays these files one after the other."""
    return "file_string://" + "!".join(files)


def number_prompts(language: str) -> dict[str, str]:
    """Return every prompt that this module can name in a language, with its text. Raises ValueError."""
    if language == "en":
        words = {str(i): word for i, word in enumerate(_EN_ONES)}
        words |= {str(n): word for n, word in zip(range(20, 100, 10), _EN_TENS, strict=True)}
        words |= {word: word for word in ("hundred", *_EN_SCALES.values())}
        words |= {f"h-{name}": _en_ordinal(word) for name, word in words.items() if name != "0"}
        words |= {"star": "star", "pound": "pound"}
    elif language == "fa":
        words = {str(n): word for n, word in _FA_WORDS.items()}
        # The vowel sign makes speech programs say "bist-o"; the letter alone they read as "va".
        words |= {f"{n}+": f"{word}ُ" for n, word in _FA_WORDS.items() if n >= 20}
        words |= {f"{n}om": _FA_ORDINALS.get(n, f"{word}م") for n, word in _FA_WORDS.items() if n}
        words |= {"first": "اول", "star": "ستاره", "pound": "مربع"}
    else:
        raise ValueError(f'no numbers in language "{language}"; expected one of {", ".join(LANGUAGES)}')
    return {f"digits/{name}": text for name, text in words.items()}


def day_prompts(language: str) -> dict[str, str]:
    """Return the prompts that ``day_of_month`` names beside those of ``number_prompts``."""
    if language != "fa":
        return {}
    ordinals = {n: _FA_ORDINALS.get(n, f"{_FA_WORDS[n]}م") for n in (*range(1, 21), 30)}
    return {f"digits/{n}om-e": f"{word}ِ" for n, word in ordinals.items()}


def _en_ordinal(word: str) -> str:
    return _EN_ORDINALS.get(word) or (f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th")


def _english(n: int) -> list[str]:
    for scale in _SCALES:
        if n >= scale:
            head, rest = divmod(n, scale)
            return [*_english(head), _EN_SCALES[scale], *(_english(rest) if rest else [])]
    if n >= 100:
        head, rest = divmod(n, 100)
        return [str(head), "hundred", *(_english(rest) if rest else [])]
    if n >= 20 and n % 10:
        return [str(n - n % 10), str(n % 10)]
    return [str(n)]


def _persian(n: int) -> list[list[str]]:
    """Return the parts of ``n`` between which "o" stands; words within a part follow each other directly."""
    for scale in _SCALES:
        if n >= scale:
            head, rest = divmod(n, scale)
            parts = [[]] if (head, scale) == (1, 1000) else _persian(head)
            parts[-1].append(str(scale))
            return parts + (_persian(rest) if rest else [])
    if n >= 100:
        return [[str(n - n % 100)], *(_persian(n % 100) if n % 100 else [])]
    if n >= 20 and n % 10:
        return [[str(n - n % 10)], [str(n % 10)]]
    return [[str(n)]]


def _join(parts: list[list[str]], end: str = "") -> list[str]:
    words: list[str] = []
    for i, part in enumerate(parts):
        suffix = end if i == len(parts) - 1 else "+"
        words += [*part[:-1], part[-1] + suffix]
    return words
