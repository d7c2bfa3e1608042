"""How numbers are written in English and Persian, decimal digit by digit: an oracle that shares nothing with the composer.

Held against num2words 0.5 for 0 to 9999 (English cardinals and ordinals, Persian cardinals: no difference but its "and", hyphens and
commas); its Persian ordinals are not used, because its 30th is «سیم».
"""

from __future__ import annotations

EN = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
EN_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
EN_TH = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth", "forty": "fortieth", "fifty": "fiftieth",
    "sixty": "sixtieth", "seventy": "seventieth", "eighty": "eightieth", "ninety": "ninetieth",
}  # fmt: skip
FA = [
    "صفر",
    "یک",
    "دو",
    "سه",
    "چهار",
    "پنج",
    "شش",
    "هفت",
    "هشت",
    "نه",
    "ده",
    "یازده",
    "دوازده",
    "سیزده",
    "چهارده",
    "پانزده",
    "شانزده",
    "هفده",
    "هجده",
    "نوزده",
]
FA_TENS = ["-", "-", "بیست", "سی", "چهل", "پنجاه", "شصت", "هفتاد", "هشتاد", "نود"]
FA_HUNDREDS = ["-", "صد", "دویست", "سیصد", "چهارصد", "پانصد", "ششصد", "هفتصد", "هشتصد", "نهصد"]


def english(n: int) -> str:
    """For example "one thousand two hundred thirty four"; up to 9999."""
    thousands, hundreds, rest = n // 1000, n // 100 % 10, n % 100
    words = []
    if thousands:
        words += [EN[thousands], "thousand"]
    if hundreds:
        words += [EN[hundreds], "hundred"]
    if rest >= 20:
        words.append(EN_TENS[rest // 10])
        rest %= 10
    if rest or not words:
        words.append(EN[rest])
    return " ".join(words)


def english_ordinal(n: int) -> str:
    """For example "twenty first"."""
    *words, last = english(n).split()
    return " ".join([*words, EN_TH.get(last, last + "th")])


def persian(n: int) -> str:
    """For example «هزار و دویست و سی و چهار»; up to 9999."""
    thousands, hundreds, rest = n // 1000, n // 100 % 10, n % 100
    words = []
    if thousands:
        words.append("هزار" if thousands == 1 else f"{FA[thousands]} هزار")
    if hundreds:
        words.append(FA_HUNDREDS[hundreds])
    if rest >= 20:
        words.append(FA_TENS[rest // 10])
        rest %= 10
    if rest or not words:
        words.append(FA[rest])
    return " و ".join(words)


def persian_ordinal(n: int) -> str:
    """For example «بیست و یکم»: the first alone is «اول»; after the vowels of دو, سه and سی the suffix changes."""
    if n == 1:
        return "اول"
    text = persian(n)
    for ending, changed in (("سه", "سوم"), ("سی", "سی\u200cام"), ("دو", "دوم")):
        if text == ending or text.endswith(f" {ending}"):
            return text.removesuffix(ending) + changed
    return text + "م"
