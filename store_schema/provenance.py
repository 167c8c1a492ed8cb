"""Which code and which libraries made something: written into every store and every checkpoint."""

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

RECORDED_LIBRARIES: Final = ("av", "decord", "numcodecs", "numpy", "permafrost", "timm", "torch", "zarr")


@cache
def code_version(*packages: ModuleType) -> str:
    """Version of the product, and 12 digits of a hash over the sources of these packages."""
    digest = hashlib.sha256()
    for package in packages:
        root = Path(package.__path__[0])
        for source in sorted(root.rglob("*.py")):
            name = f"{package.__name__}/{source.relative_to(root).as_posix()}"
            digest.update(f"{name}\0".encode() + source.read_bytes())
    return f"{importlib.metadata.version('permafrost')}+{digest.hexdigest()[:12]}"


def library_versions() -> dict[str, str]:
    """Versions of those of `RECORDED_LIBRARIES` that are installed, by name."""
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in RECORDED_LIBRARIES if name in installed}
