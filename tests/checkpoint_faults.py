"""Files in place of a checkpoint that no door may take: damaged, lying, hostile; each made of a valid one."""

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

BOMB_BYTES = 256 * 2**20


class RunsCode:
    """Unpickled, it makes the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.marker,))


def marker_of(path: Path) -> Path:
    return path.parent / "code-was-run"


def empty_file(valid: Path, path: Path) -> None:
    path.write_bytes(b"")


def text_file(valid: Path, path: Path) -> None:
    path.write_text("<html>not found</html>")


def folder(valid: Path, path: Path) -> None:
    path.mkdir()


def half_a_download(valid: Path, path: Path) -> None:
    path.write_bytes(valid.read_bytes()[: valid.stat().st_size // 2])


def one_byte_missing(valid: Path, path: Path) -> None:
    path.write_bytes(valid.read_bytes()[:-1])


def code_in_a_zip(valid: Path, path: Path) -> None:
    content = torch.load(valid, weights_only=True)
    torch.save({**content, "hook": RunsCode(marker_of(path))}, path, pickle_module=pickle)


def code_in_a_legacy_file(valid: Path, path: Path) -> None:
    content = {"hook": RunsCode(marker_of(path))}
    torch.save(content, path, pickle_module=pickle, _use_new_zipfile_serialization=False)


def code_in_a_plain_pickle(valid: Path, path: Path) -> None:
    path.write_bytes(pickle.dumps(RunsCode(marker_of(path)), protocol=2))


def code_in_a_tar(valid: Path, path: Path) -> None:
    """The oldest format of all, which torch still reads."""
    import io
    import tarfile

    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = pickle.dumps(RunsCode(marker_of(path)), protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def zip_without_tensors(valid: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def zip_bomb(valid: Path, path: Path) -> None:
    """A quarter of a megabyte that unpacks to a thousand times as much."""
    with zipfile.ZipFile(valid) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data + bytes(BOMB_BYTES) if name.endswith("data.pkl") else data)


def compressed_tensors(valid: Path, path: Path) -> None:
    with zipfile.ZipFile(valid) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))


def list_for_a_mapping(valid: Path, path: Path) -> None:
    torch.save([1, 2, 3], path)


def empty_mapping(valid: Path, path: Path) -> None:
    torch.save({}, path)


def numbers_for_names(valid: Path, path: Path) -> None:
    torch.save({number: torch.zeros(2) for number in range(3)}, path)


Fault = Callable[[Path, Path], None]
FAULTS: tuple[Fault, ...] = (
    *(empty_file, text_file, folder, half_a_download, one_byte_missing),
    *(code_in_a_zip, code_in_a_legacy_file, code_in_a_plain_pickle, code_in_a_tar),
    *(
        zip_without_tensors,
        zip_bomb,
        compressed_tensors,
        list_for_a_mapping,
        empty_mapping,
        numbers_for_names,
    ),
)


def lying_header(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the JSON header of a safetensors file, with its length as it then is."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = change(data[8 : 8 + length])
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])
