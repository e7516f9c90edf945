"""Ways in which files get damaged: cut, flipped, grown, and with other numbers in their headers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

NUMBERS = (b"0", b"-1", b"1e308", b"nan", b"99999999999999999999", b"4294967296", b"none", b"")
EXTREMES = (b"\xff\xff\xff\x7f", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\xff" * 4, bytes(4))

# Where an element of an explicit DICOM file begins: group, element, and the letters of its type.
_ELEMENT = re.compile(
    rb"(?=[\x02-\xe0][\x00\x7f]..(?:CS|DS|FD|IS|LO|OB|OW|PN|SH|SQ|UI|US))", re.DOTALL
)

# Gets the whole file, a source of chance, and how many of its first bytes are its header.
Mutation = Callable[[bytes, random.Random, int], bytes]


def cut(raw: bytes, rng: random.Random, head: int) -> bytes:
    return raw[: rng.randrange(len(raw))]


def cut_near_an_end(raw: bytes, rng: random.Random, head: int) -> bytes:
    """Keep next to nothing, or all but the last few bytes, which a cut anywhere seldom does."""
    return raw[: rng.choice((rng.randrange(600), len(raw) - 1 - rng.randrange(20)))]


def element_places(raw: bytes) -> list[int]:
    """Find where the elements of an explicit DICOM file begin."""
    return [match.start() for match in _ELEMENT.finditer(raw, 132)]


def cut_before_an_element(raw: bytes, rng: random.Random, head: int) -> bytes:
    """Cut where a parser that reads element by element sees nothing wrong."""
    places = element_places(raw)
    return raw[: rng.choice(places)] if places else cut(raw, rng, head)


def hole(raw: bytes, rng: random.Random, head: int) -> bytes:
    """Lose a piece behind the header, as a broken copy does.

    What a text header loses with a whole line is not to be seen; DICOM says how long all is.
    """
    start = len(raw) // 2 if raw[128:132] == b"DICM" else min(head, len(raw) - 1)
    place = rng.randrange(start, len(raw))
    # MGH lets 20 bytes stand behind the voxels: of what is lost, more must count.
    return raw[:place] + raw[place + rng.randrange(21, 2000) :]


def flip_header(raw: bytes, rng: random.Random, head: int) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        changed[rng.randrange(min(head, len(raw)))] = rng.randrange(256)
    return bytes(changed)


def extreme_header(raw: bytes, rng: random.Random, head: int) -> bytes:
    place = rng.randrange(min(head, len(raw)))
    return raw[:place] + rng.choice(EXTREMES) + raw[place + 4 :]


def other_number(raw: bytes, rng: random.Random, head: int) -> bytes:
    """Change a word of a text header."""
    words = raw[:head].split(b" ")
    words[rng.randrange(len(words))] = rng.choice(NUMBERS)
    return b" ".join(words) + raw[head:]


def other_decimal(raw: bytes, rng: random.Random, head: int) -> bytes:
    r"""Change a DICOM decimal string, which ``\`` separates, without moving the rest."""
    places = [i for i in range(132, len(raw) - 2) if raw[i : i + 1] == b"\\"] or [200]
    place = rng.choice(places) + 1
    number = rng.choice(NUMBERS)
    return raw[:place] + number + raw[place + len(number) :]


def drop_line(raw: bytes, rng: random.Random, head: int) -> bytes:
    lines = raw[:head].split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines) + raw[head:]


def flip_body(raw: bytes, rng: random.Random, head: int) -> bytes:
    changed = bytearray(raw)
    changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def grow(raw: bytes, rng: random.Random, head: int) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + rng.randbytes(rng.randrange(1, 300)) + raw[place:]


# What opens after one of these must be the whole truth.
CUTS: tuple[Mutation, ...] = (cut, cut_near_an_end, cut_before_an_element, hole)
MUTATIONS: tuple[Mutation, ...] = (
    cut, flip_header, extreme_header, other_number, cut_near_an_end, drop_line, flip_body, hole,
    grow,
)  # fmt: skip
DICOM_MUTATIONS: tuple[Mutation, ...] = (
    cut, flip_header, extreme_header, cut_before_an_element, other_decimal, cut_near_an_end,
    flip_body, hole, grow,
)  # fmt: skip
