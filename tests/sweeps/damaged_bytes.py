"""Damage to the bytes of any file, whatever its format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.featurize.droid_files import DroidFolder

Damage = Callable[[DroidFolder, np.random.Generator], None]
"""Changes one episode, with every choice drawn from the generator."""
ODD_WORDS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x00010000, 0x7F)


def change_bytes(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def flip_bytes(path: Path, rng: np.random.Generator, *, first: int = 0, last: int | None = None) -> None:
    """Give up to 20 bytes in [first, last) other values."""

    def change(data: bytearray) -> None:
        end = min(last or len(data), len(data))
        for place in rng.integers(min(first, end - 1), end, size=int(rng.integers(1, 21))):
            data[place] ^= int(rng.integers(1, 256))

    change_bytes(path, change)


def flips(path: Path, rng: np.random.Generator) -> None:
    flip_bytes(path, rng)


def one_flipped_bit(path: Path, rng: np.random.Generator) -> None:
    def change(data: bytearray) -> None:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))

    change_bytes(path, change)


def cut_off(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.integers(len(data))])


def zeros(path: Path, rng: np.random.Generator) -> None:
    def change(data: bytearray) -> None:
        start, end = sorted(rng.integers(len(data), size=2).tolist())
        data[start:end] = bytes([rng.choice([0, 255])]) * (end - start)

    change_bytes(path, change)


def a_few_zeros(path: Path, rng: np.random.Generator) -> None:
    def change(data: bytearray) -> None:
        start = int(rng.integers(len(data)))
        data[start : start + 64] = bytes(len(data[start : start + 64]))

    change_bytes(path, change)


def odd_words(path: Path, rng: np.random.Generator) -> None:
    """Four bytes that, read as a size or an offset, lead astray."""

    def change(data: bytearray) -> None:
        for place in rng.integers(0, len(data) - 4, size=int(rng.integers(1, 6))):
            word = ODD_WORDS[rng.integers(len(ODD_WORDS))]
            data[place : place + 4] = word.to_bytes(4, "big" if rng.random() < 0.5 else "little")

    change_bytes(path, change)


def inserted(path: Path, rng: np.random.Generator) -> None:
    def change(data: bytearray) -> None:
        place = int(rng.integers(len(data)))
        data[place:place] = rng.bytes(int(rng.integers(1, 300)))

    change_bytes(path, change)


def removed(path: Path, rng: np.random.Generator) -> None:
    def change(data: bytearray) -> None:
        place = int(rng.integers(len(data)))
        del data[place : place + int(rng.integers(1, 300))]

    change_bytes(path, change)


def appended(path: Path, rng: np.random.Generator) -> None:
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 5000))))


def repeated(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data * int(rng.integers(2, 4)))


def emptied(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(b"")


def noise(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(int(rng.integers(1, 20_000))))


def some_text(path: Path, rng: np.random.Generator) -> None:
    texts = ("<html>not found</html>", "version https://git-lfs.github.com/spec/v1\n", "\n", "\0" * 4096)
    path.write_text(texts[rng.integers(len(texts))])


BYTE_DAMAGES = (
    *(flips, one_flipped_bit, cut_off, zeros, a_few_zeros, odd_words, inserted, removed, appended, repeated),
    *(emptied, noise, some_text),
)
