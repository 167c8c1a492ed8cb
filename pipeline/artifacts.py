"""Artifacts on the page of a flow run, and on the page of the run that it is a step of."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

Kind = Literal["progress", "table", "image", "markdown"]


class Shown:
    """One artifact, which may change; `key` in lower case with dashes.

    Not shared between threads. Everything raises httpx.HTTPError where the server does not answer.
    """

    def __init__(self, kind: Kind, key: str) -> None:
        self.kind = kind
        self.key = key
        self.ids: list[UUID] = []

    def put(self, data: str | float, description: str) -> None:
        """Show this, in place of what was shown before."""
        with get_client(sync_client=True) as client:
            for artifact_id in self.ids:
                client.update_artifact(artifact_id, ArtifactUpdate(data=data, description=description))
            for page in _pages() if not self.ids else ():
                wanted = ArtifactCreate(
                    type=self.kind, key=self.key, data=data, description=description, flow_run_id=page
                )
                self.ids.append(client.create_artifact(wanted).id)


def show_table(key: str, rows: Sequence[Mapping[str, str]], description: str) -> None:
    """A table, whose columns are named by its first row."""
    with not_worth_the_step(key):
        Shown("table", key).put(json.dumps(rows), description)


def show_markdown(key: str, text: str, description: str) -> None:
    """A text."""
    with not_worth_the_step(key):
        Shown("markdown", key).put(text, description)


def show_picture(path: Path, description: str) -> None:
    """A PNG file, within the artifact: no other place has to be reached to see it."""
    address = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    with not_worth_the_step(path.name):
        Shown("image", f"picture-{path.stem.lower().replace('_', '-')}").put(address, description)


@contextmanager
def not_worth_the_step(what: str) -> Iterator[None]:
    """What the server does not take is said in the log: what is done is done, and its files are written."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        get_run_logger().warning("Not shown in the Prefect UI: %s: %s", what, error)


def _pages() -> list[UUID]:
    """This flow run, and the one that it is a step of."""
    return [UUID(page) for page in (flow_run.id, flow_run.parent_flow_run_id) if page is not None]
