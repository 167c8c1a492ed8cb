"""A sealed store on object storage, and the folder that stands for it here.

The folder holds what the seal covers: tables, metadata and channel statistics, all small. It is opened,
trained on and resumed like any store, while frames come through tensorstore, checked by the same hashes.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import tensorstore

from store_schema.atomic import write_atomically
from store_schema.attributes import StoreAttributes
from store_schema.errors import DamagedStoreError, SchemaError, StoreNotFoundError
from store_schema.format import ROOT_FILE
from store_schema.layout import read_attributes
from store_schema.rules.seal import file_sha256, sealed_files

STAND_IN_FILE: Final = "object_store.json"
"""In a folder that stands for a store elsewhere: where that is, as tensorstore's `kvstore`."""
_MAX_RETRIES: Final = 5
_NO_ANSWER: Final = ("ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED",
                     "UNAUTHENTICATED")  # fmt: skip
"""What tensorstore's messages begin with where nothing was said of the object itself."""
KeyValueStore = Mapping[str, Any]


class ObjectStoreError(OSError):
    """The object storage did not answer, or refused."""


def s3_store(url: str) -> KeyValueStore:
    """Tensorstore's `kvstore` for s3://BUCKET/PREFIX.

    Credentials, region and endpoint are those of the AWS tools: AWS_ACCESS_KEY_ID or AWS_PROFILE, AWS_REGION,
    AWS_ENDPOINT_URL. Raises StoreNotFoundError for anything else than such a URL.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise StoreNotFoundError(
            "An s3:// address names a bucket, and no credentials: those are given by AWS_PROFILE, or by "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise StoreNotFoundError(f"Stores on object storage are named s3://BUCKET/PREFIX; got {url}.")
    named = {"endpoint": os.environ.get("AWS_ENDPOINT_URL"), "aws_region": os.environ.get("AWS_REGION")}
    return {
        "driver": "s3",
        "bucket": parts.netloc,
        "path": parts.path.strip("/") + "/",
        **{name: value for name, value in named.items() if value},
    }


def stand_in(url: str, folder: Path) -> Path:
    """Let `folder` stand for the sealed store at an S3 address, and return it for `Store.open`.

    Files that are there already as the seal has them are not fetched again. Raises StoreNotFoundError,
    SchemaError where the store is not sealed, DamagedStoreError for a file that is not as sealed, and
    ObjectStoreError.
    """
    kvstore = s3_store(url)
    opened = tensorstore.KvStore.open(with_few_retries(kvstore)).result()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / ROOT_FILE, _fetched(opened, ROOT_FILE, url))
    attributes = StoreAttributes.parse(read_attributes(folder))
    if not attributes.sealed or attributes.files is None:
        raise SchemaError(
            f"The store at {url} is not sealed with hashes; only such a store can be read there."
        )
    for name in sealed_files(attributes.fingerprint.specs):
        if not (folder / name).is_file() or file_sha256(folder / name) != attributes.files.get(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, _as_sealed(_fetched(opened, name, url), name, attributes, url))
    write_atomically(folder / STAND_IN_FILE, json.dumps(kvstore, indent=1).encode())
    return folder


def _as_sealed(content: bytes, name: str, attributes: StoreAttributes, url: str) -> bytes:
    assert attributes.files is not None, "checked by the caller"
    if hashlib.sha256(content).hexdigest() != attributes.files.get(name):
        raise DamagedStoreError(
            f"{url}/{name} is not what the seal says: damaged, or sealed anew while it was read. "
            "Run the same again; if it stays, upload the store anew."
        )
    return content


def stands_for(folder: Path) -> KeyValueStore | None:
    """Where the frames of the store in `folder` lie, None where they lie in the folder itself."""
    file = folder / STAND_IN_FILE
    if not file.is_file():
        return None
    kvstore: KeyValueStore = json.loads(file.read_bytes())
    return kvstore


def is_no_answer(error: ValueError) -> bool:
    """Whether an error of tensorstore's is the server's or the network's, not damage."""
    return str(error).startswith(_NO_ANSWER)


def with_few_retries(kvstore: KeyValueStore) -> KeyValueStore:
    """By itself tensorstore asks for minutes before it gives up."""
    return {**kvstore, "context": {"s3_request_retries": {"max_retries": _MAX_RETRIES}}}


def _fetched(opened: Any, name: str, url: str) -> bytes:
    try:
        found = opened.read(name).result()
    except ValueError as error:
        raise ObjectStoreError(f"{url}/{name} cannot be read: {error}") from error
    if found.state != "value":
        raise StoreNotFoundError(f"There is no {name} at {url}.")
    return bytes(found.value)
