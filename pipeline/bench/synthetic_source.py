"""How a store of drawn numbers is told from one of recordings."""

from pathlib import Path
from typing import Final

from store_schema.attributes import StoreAttributes
from store_schema.layout import read_attributes

SYNTHETIC_SOURCE: Final = "synthetic: random numbers, not for training"


def is_synthetic(store: Path) -> bool:
    """Whether `permafrost bench --synthetic` drew this store. Raises StoreNotFoundError, SchemaError."""
    return StoreAttributes.parse(read_attributes(store)).source.name == SYNTHETIC_SOURCE
