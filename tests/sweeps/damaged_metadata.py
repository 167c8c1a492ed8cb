"""Ways to damage the metadata of an episode: its JSON, and the paths that it names."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.featurize.droid_files import SERIALS, DroidFolder
from tests.sweeps.damaged_bytes import BYTE_DAMAGES, Damage

FIELDS = ("lab", "success", "current_task", "left_mp4_path", "wrist_mp4_path", "trajectory_length", "uuid")
ODD_JSON = (
    *(
        "null",
        "true",
        "-1",
        "1e999",
        "NaN",
        "9" * 5000,
        '""',
        "[]",
        "{}",
        '"\\u0000"',
        '"\\ud800"',
        '"\u2603"',
    ),
    *('"' + "x" * 300_000 + '"', "0.1", '"true"', '"Infinity"', "[" * 100_000, '{"a":' * 100_000),
)
LEFT = f"{SERIALS['left']}.mp4"
ODD_PATHS = (
    *("..", ".", "", "/", "\\", " ", "\n", "recordings/MP4/", "recordings/MP4/..", "recordings/MP4/.", "~"),
    *(f"../recordings/MP4/{LEFT}", f"recordings/MP4/../../{LEFT}", f"recordings/MP4/../MP4/{LEFT}"),
    *(
        f"/etc/recordings/MP4/{LEFT}",
        "/dev/zero",
        f"recordings/MP4/{LEFT}/",
        f"recordings/MP4/{LEFT}/../{LEFT}",
    ),
    *(f"a/recordings/MP4/recordings/MP4/{LEFT}", f"recordings//MP4//{LEFT}", f"recordings/MP4//{LEFT}"),
    *(
        "recordings/MP4/" + "x" * 300,
        "recordings/MP4/" + "x/" * 3000,
        "recordings/MP4/\u202e\u2603\u0301.mp4",
    ),
    *(f"file:recordings/MP4/{LEFT}", f"concat:{LEFT}", "http://127.0.0.1:9/recordings/MP4/x", "%2e%2e/x.mp4"),
    *(
        "recordings\\MP4\\x.mp4",
        f"RECORDINGS/mp4/{LEFT}",
        f"recordings/MP4/{LEFT}\n",
        "recordings/MP4/\x7f\x01",
    ),
)


def of_file(damage: Callable[[Path, np.random.Generator], None]) -> Damage:
    """A damage of the JSON's bytes."""

    def do(folder: DroidFolder, rng: np.random.Generator) -> None:
        damage(folder.metadata, rng)

    do.__name__ = f"json_{damage.__name__}"
    return do


def an_odd_value(folder: DroidFolder, rng: np.random.Generator) -> None:
    field, odd = FIELDS[rng.integers(len(FIELDS))], ODD_JSON[rng.integers(len(ODD_JSON))]
    fields = json.loads(folder.metadata.read_text()) | {field: "@"}
    folder.metadata.write_text(json.dumps(fields).replace('"@"', odd))


def a_missing_field(folder: DroidFolder, rng: np.random.Generator) -> None:
    fields = json.loads(folder.metadata.read_text())
    del fields[FIELDS[rng.integers(len(FIELDS))]]
    folder.metadata.write_text(json.dumps(fields))


def a_field_twice(folder: DroidFolder, rng: np.random.Generator) -> None:
    field, odd = FIELDS[rng.integers(len(FIELDS))], ODD_JSON[rng.integers(len(ODD_JSON))]
    text = folder.metadata.read_text()
    folder.metadata.write_text(f'{text[:-1]}, "{field}": {odd}}}')


def an_odd_path(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.edit_metadata(left_mp4_path=ODD_PATHS[rng.integers(len(ODD_PATHS))])


def no_object(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.metadata.write_text(ODD_JSON[rng.integers(len(ODD_JSON))])


def another_encoding(folder: DroidFolder, rng: np.random.Generator) -> None:
    text = folder.metadata.read_text()
    encodings = ("utf-8-sig", "utf-16", "utf-32", "utf-7")
    folder.metadata.write_bytes(text.encode(encodings[rng.integers(len(encodings))]))


def bytes_that_are_no_text(folder: DroidFolder, rng: np.random.Generator) -> None:
    bad = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\0")
    text = folder.metadata.read_bytes()
    folder.metadata.write_bytes(text.replace(b"marker", bad[rng.integers(len(bad))]))


def megabytes(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.edit_metadata(extra="x" * int(rng.integers(2**20, 2**24)))


JSON_DAMAGES: tuple[Damage, ...] = (
    *(of_file(damage) for damage in BYTE_DAMAGES),
    *(an_odd_value, an_odd_value, a_missing_field, a_field_twice, an_odd_path, an_odd_path, no_object),
    *(another_encoding, bytes_that_are_no_text, megabytes),
)
