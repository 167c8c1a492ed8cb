"""Ways to damage a trajectory.h5: its bytes, its structure, and what it claims about itself."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.featurize.droid_files import DroidFolder, capture_key
from tests.sweeps.damaged_bytes import BYTE_DAMAGES, Damage, change_bytes, flip_bytes

POSE_KEY = "observation/robot_state/cartesian_position"
GRIPPER_KEY = "observation/robot_state/gripper_position"
EXTRINSICS_KEY = "observation/camera_extrinsics/23404442_left"
KEYS = (POSE_KEY, GRIPPER_KEY, EXTRINSICS_KEY, capture_key())
ODD_VALUES = (np.nan, np.inf, -np.inf, 1e300, -1e300, 3e38, 1e39, 2.0**63, -(2.0**63), 1e18, 1e-320, -1e3)
ODD_DTYPES = ("f2", ">f8", "longdouble", "u8", "i1", "bool", "S3", "c16", "V5", "(3,)f4", "i4,f8")
HUGE_ROWS = (10**7, 2**31, 2**32 + 1, 10**12, 2**60)


def random_key(rng: np.random.Generator) -> str:
    return KEYS[rng.integers(len(KEYS))]


def of_file(damage: Callable[[Path, np.random.Generator], None]) -> Damage:
    """A damage of the h5 file's bytes."""

    def do(folder: DroidFolder, rng: np.random.Generator) -> None:
        damage(folder.rows, rng)

    do.__name__ = f"h5_{damage.__name__}"
    return do


def replaced(create: Callable[[h5py.File, str, np.random.Generator], None]) -> Damage:
    """Take one data set away and let `create` put something else into its place."""

    def do(folder: DroidFolder, rng: np.random.Generator) -> None:
        key = random_key(rng)
        with h5py.File(folder.rows, "r+") as file:
            file.attrs["rows"] = len(file[key])
            del file[key]
            create(file, key, rng)

    do.__name__ = f"h5_{create.__name__}"
    return do


def flips_at_the_start(path: Path, rng: np.random.Generator) -> None:
    """Super block, symbol tables and object headers lie there."""
    flip_bytes(path, rng, last=2048)


def flips_beside_a_name(path: Path, rng: np.random.Generator) -> None:
    """Shape, type, layout and filters follow the names of data sets closely."""
    places = [
        match.start() for match in re.finditer(rb"TREE|HEAP|SNOD|OHDR|FADB|BTHD|deflate", path.read_bytes())
    ]
    start = int(rng.choice(places or [0]))
    flip_bytes(path, rng, first=start, last=start + 600)


def sparse_gigabytes(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, int(rng.integers(2**31, 2**36)))


def odd_values(folder: DroidFolder, rng: np.random.Generator) -> None:
    """One value or all of them, as float64."""
    key, value = random_key(rng), ODD_VALUES[rng.integers(len(ODD_VALUES))]
    values = folder.read_rows(key).astype(np.float64)
    where = slice(None) if rng.random() < 0.3 else rng.integers(len(values))
    values[where] = value
    folder.replace_rows(key, values)


def odd_dtype(folder: DroidFolder, rng: np.random.Generator) -> None:
    key, dtype = random_key(rng), np.dtype(ODD_DTYPES[rng.integers(len(ODD_DTYPES))])
    folder.replace_rows(key, np.zeros(len(folder.read_rows(key)), dtype=dtype))


def same_values_in_another_type(folder: DroidFolder, rng: np.random.Generator) -> None:
    key = random_key(rng)
    with np.errstate(over="ignore", invalid="ignore"):
        values = folder.read_rows(key).astype(rng.choice(["f2", ">f4", "f4", "i8", ">i4", "longdouble"]))
    folder.replace_rows(key, values)


def other_length(folder: DroidFolder, rng: np.random.Generator) -> None:
    for key in KEYS if rng.random() < 0.5 else (random_key(rng),):
        values = folder.read_rows(key)
        rows = int(rng.choice([0, 1, len(values) - 1, len(values) + 1, 3 * len(values)]))
        folder.replace_rows(key, np.resize(values, (rows, *values.shape[1:])))


def other_rank(folder: DroidFolder, rng: np.random.Generator) -> None:
    key = random_key(rng)
    values = folder.read_rows(key)
    folder.replace_rows(key, [values[..., None], values.ravel(), values[:0].sum(), values.T][rng.integers(4)])


def shuffled_times(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.edit_rows(capture_key(), lambda times: rng.shuffle(times[rng.integers(len(times)) :]))


def huge_shape(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    """Claims terabytes and holds none of them."""
    rows = HUGE_ROWS[rng.integers(len(HUGE_ROWS))]
    width = (6,) if key in (POSE_KEY, EXTRINSICS_KEY) else ()
    file.create_dataset(key, (rows, *width), "f8", chunks=(16, *width), maxshape=(None, *width))


def huge_everywhere(folder: DroidFolder, rng: np.random.Generator) -> None:
    rows = HUGE_ROWS[rng.integers(len(HUGE_ROWS))]
    with h5py.File(folder.rows, "r+") as file:
        for key in KEYS:
            width = file[key].shape[1:]
            del file[key]
            file.create_dataset(key, (rows, *width), "f8", chunks=(16, *width))


def missing(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    pass


def text(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    words = ["0.5", "", "NaN", "\u2603", "x" * 10_000]
    file.create_dataset(
        key, data=[words[rng.integers(len(words))]] * file.attrs["rows"], dtype=h5py.string_dtype()
    )


def references(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    target = file["observation"].ref
    file.create_dataset(key, data=[target] * file.attrs["rows"], dtype=h5py.ref_dtype)


def ragged(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file.create_dataset(key, (file.attrs["rows"],), dtype=h5py.vlen_dtype(np.float64))


def enumeration(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file.create_dataset(key, (file.attrs["rows"],), dtype=h5py.enum_dtype({"open": 0, "closed": 1}))


def a_group(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file.create_group(key)


def a_named_type(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file[key] = np.dtype("f8")


def nothing_inside(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file[key] = h5py.Empty("f8")


def link_outside(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    """Into the trajectory of the neighbour, which lies outside the episode; or to nowhere, or to a device."""
    neighbour = next(Path(file.filename).parent.parent.glob("clean-*/trajectory.h5"), Path("nowhere.h5"))
    names = (
        str(neighbour),
        f"../{neighbour.parent.name}/trajectory.h5",
        "nowhere.h5",
        "/dev/zero",
        "trajectory.h5",
    )
    file[key] = h5py.ExternalLink(names[rng.integers(len(names))], f"/{key}")


def link_in_a_circle(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file[key] = h5py.SoftLink("/circle")
    file["circle"] = h5py.SoftLink(f"/{key}")


def link_to_another(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    file[key] = h5py.SoftLink(f"/{random_key(rng)}")


def storage_outside(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    """Raw values that lie in any file of this machine."""
    shape = (file.attrs["rows"], 6) if key in (POSE_KEY, EXTRINSICS_KEY) else (file.attrs["rows"],)
    size_bytes = int(np.prod(shape)) * 8
    name = rng.choice(["/dev/zero", "nowhere.raw", "metadata.raw"])
    file.create_dataset(key, shape, "f8", external=[(str(name), 0, size_bytes)])


def a_view_of_outside(file: h5py.File, key: str, rng: np.random.Generator) -> None:
    neighbour = next(Path(file.filename).parent.parent.glob("clean-*/trajectory.h5"), Path("nowhere.h5"))
    shape = (file.attrs["rows"], 6) if key in (POSE_KEY, EXTRINSICS_KEY) else (file.attrs["rows"],)
    layout = h5py.VirtualLayout(shape, "f8")
    layout[:] = h5py.VirtualSource(str(neighbour), key, shape)
    file.create_virtual_dataset(key, layout)


def groups_in_a_circle(folder: DroidFolder, rng: np.random.Generator) -> None:
    with h5py.File(folder.rows, "r+") as file:
        file["observation/robot_state/again"] = file["observation"]
        file.move("observation/robot_state", "observation/robot_state/again/robot_state_2")


def broken_blocks(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Values in compressed blocks with a checksum, one of which is changed."""
    key = random_key(rng)
    values = folder.read_rows(key)
    with h5py.File(folder.rows, "r+") as file:
        del file[key]
        options: dict[str, Any] = {"compression": "gzip"} if rng.random() < 0.5 else {"fletcher32": True}
        dataset = file.create_dataset(key, data=values, chunks=(16, *values.shape[1:]), **options)
        block = dataset.id.get_chunk_info(int(rng.integers(dataset.id.get_num_chunks())))
    flip_bytes(folder.rows, rng, first=block.byte_offset, last=block.byte_offset + block.size)


def unknown_filter(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Rename gzip, whose number 1 stands before its name, to a filter that nobody has."""
    key = random_key(rng)
    values = folder.read_rows(key)
    with h5py.File(folder.rows, "r+") as file:
        del file[key]
        file.create_dataset(key, data=values, chunks=values.shape, compression="gzip")

    def rename(data: bytearray) -> None:
        place = data.rfind(b"deflate\0")
        data[place - 8 : place - 6] = int(rng.choice([0, 307, 32000, 65535])).to_bytes(2, "little")

    change_bytes(folder.rows, rename)


def attributes_by_the_thousand(folder: DroidFolder, rng: np.random.Generator) -> None:
    with h5py.File(folder.rows, "r+", libver="latest") as file:
        for number in range(2000):
            file.attrs[f"attribute {number} \u2603"] = "x" * int(rng.integers(100))


def groups_by_the_thousand(folder: DroidFolder, rng: np.random.Generator) -> None:
    with h5py.File(folder.rows, "r+") as file:
        inside = file.create_group("deep")
        for _ in range(1000):
            inside = inside.create_group("d")
        for number in range(1000):
            file.create_group(f"observation/{number}")


def an_empty_h5(folder: DroidFolder, rng: np.random.Generator) -> None:
    h5py.File(folder.rows, "w", userblock_size=512).close()


H5_DAMAGES: tuple[Damage, ...] = (
    *(
        of_file(damage)
        for damage in (*BYTE_DAMAGES, flips_at_the_start, flips_beside_a_name, sparse_gigabytes)
    ),
    *(of_file(damage) for damage in (flips_at_the_start, flips_beside_a_name)),
    *(
        replaced(create)
        for create in (
            *(huge_shape, missing, text, references, ragged, enumeration, a_group, a_named_type),
            *(nothing_inside, link_outside, link_in_a_circle, link_to_another, storage_outside),
            a_view_of_outside,
        )
    ),
    *(odd_values, odd_values, odd_dtype, same_values_in_another_type, other_length, other_rank),
    *(shuffled_times, huge_everywhere, groups_in_a_circle, broken_blocks, unknown_filter),
    *(attributes_by_the_thousand, groups_by_the_thousand, an_empty_h5),
)
