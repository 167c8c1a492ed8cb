"""The Prefect server that runs already: found in milliseconds, without importing prefect."""

import os
from pathlib import Path
from typing import Final

import httpx

UI_HOST: Final = "127.0.0.1"
UI_PORT: Final = 4200
HEALTH_TIMEOUT_SECONDS: Final = 1


def running_ui() -> str | None:
    """Address of the API of `make ui`, where it answers."""
    address = f"http://{UI_HOST}:{UI_PORT}/api"
    try:
        answer = httpx.get(f"{address}/health", timeout=HEALTH_TIMEOUT_SECONDS)
    except httpx.HTTPError:
        return None
    return address if answer.status_code == httpx.codes.OK else None


def may_have_server() -> bool:
    """Whether it is worth a second to import prefect and look for a server to report to.

    True where `PREFECT_API_URL` is set, a Prefect profile may set it, or the server of `make ui` answers.
    """
    return bool(os.environ.get("PREFECT_API_URL")) or _profiles().is_file() or running_ui() is not None


def _profiles() -> Path:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    return Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
