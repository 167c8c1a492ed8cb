"""An S3-compatible server on loopback, for the tests of several packages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET: Final = "stores"
SECRET: Final = "secret-of-nobody"


def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedMotoServer]:
    """A fixture: an empty bucket, and the environment that leads to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    named = {"ENDPOINT_URL": f"http://{host}:{port}", "REGION": "us-east-1", "ACCESS_KEY_ID": SECRET,
             "SECRET_ACCESS_KEY": SECRET, "EC2_METADATA_DISABLED": "true"}  # fmt: skip
    for name, value in named.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    # Servers of one process share what they hold.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    client().create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


def client():
    """As the environment says."""
    return boto3.client("s3")


def upload(store: Path, bucket: str, prefix: str) -> None:
    """Every file of a store."""
    for file in store.rglob("*"):
        if file.is_file():
            client().upload_file(str(file), bucket, f"{prefix}/{file.relative_to(store).as_posix()}")
