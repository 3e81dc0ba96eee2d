"""Scripts that put no whitespace between words."""

from collections.abc import Iterable
from functools import cache


# Code points, first and last, of scripts without spaces between words: Thai and Lao, Myanmar, Khmer, kana, Han.
UNSPACED_SCRIPTS = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)


@cache
def is_unspaced(character: str) -> bool:
    """Whether a character is of a scripts without spaces between words."""
    return is_among(character, UNSPACED_SCRIPTS)


def is_among(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a character lies in one of some ranges of code points, first and last."""
    return any(first <= ord(character) <= last for first, last in ranges)
