"""Builds of one small source, in every state; tests share them and change only copies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from featurize.encode import encode
from featurize.encoder.registry import FrozenEncoder
from featurize.encoders import encoder_of
from featurize.finalise import finalise
from featurize.recipe import Build

from .builds import build_at, copied, prepare, write_source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes in seven slots; the fourth one spans two. The second is held out."""
    return write_source(tmp_path_factory.mktemp("build") / "source")


@pytest.fixture(scope="session")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Indexed, planned and calibrated; not to be changed."""
    return prepare(build_at(tmp_path_factory.mktemp("build") / "prepared.zarr", source))


@pytest.fixture(scope="session")
def encoder(prepared: Build) -> FrozenEncoder:
    return encoder_of(prepared)


@pytest.fixture(scope="session")
def finished(prepared: Build, encoder: FrozenEncoder, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The same, encoded in one go and sealed; not to be changed."""
    build = copied(prepared, tmp_path_factory.mktemp("build") / "finished.zarr")
    encode(build, encoder)
    finalise(build)
    return build


@pytest.fixture
def make_prepared(prepared: Build, tmp_path: Path) -> Callable[..., Build]:
    """`make_prepared()` copies the prepared build; keyword arguments replace fields of it."""
    return lambda name="copy.zarr", **places: copied(prepared, tmp_path / name, **places)
