"""The accounts of a store as people read them, a line a subject; what does not apply is left out."""

from collections.abc import Mapping
from typing import Any, Final

from rich.filesize import decimal

Account = Mapping[str, Any]

SHOWN_HASH_DIGITS: Final = 12
SECONDS_PER_MINUTE: Final = 60.0
# From this many of a unit on, the next larger one is named.
ENOUGH: Final = 100.0


def status_lines(account: Account) -> dict[str, str]:
    """For `status`."""
    lines = {
        "state": account["state"].replace("_", " "),
        "held by": account["held_by"] or "",
        "fault": "\n".join(account["faults"]),
        "usable": _usable(account),
        **{name: _done(account, name) for name in ("episodes", "trajectories", "frames")},
        "hours of video": _hours(account),
        "slots": _slots(account),
        "rate": _rate(account),
        "bytes": _bytes(account),
        "bytes per frame": _number(account["bytes_per_frame"]),
        "rejects": _rejects(account),
        "encoder": account["encoder"] or "",
        "clock": account["clock"] or "",
        "revision": _number(account["revision"]),
        "next": account["next_step"],
    }
    return {name: line for name, line in lines.items() if line}


def detail_lines(account: Account) -> dict[str, str]:
    """For `inspect`."""
    short = status_lines(account)
    next_step = short.pop("next")
    lines = {
        **short,
        **{f"{name} split": _split(split) for name, split in (account["splits"] or {}).items()},
        "encoder": _encoder(account),
        "clock": _clock(account),
        "quantisation": account["quantisation"] or "",
        "preprocessing": _listed(account["preprocessing"]),
        "source": _listed(account["source"]),
        "recipe": _listed(account["recipe"]),
        "library versions": _listed(account["library_versions"]),
        "code version": account["code_version"] or "",
        "uuid": account["uuid"] or "",
        "fingerprint": account["fingerprint"] or "",
        "picture": account.get("picture", ""),
        "next": next_step,
    }
    return {name: line for name, line in lines.items() if line}


def duration(seconds: float) -> str:
    """In the unit that people would take: 45 s, 12 min, 30 h, 6 days."""
    minutes = seconds / SECONDS_PER_MINUTE
    hours = minutes / 60.0
    if seconds < ENOUGH:
        return f"{seconds:.0f} s"
    if minutes < ENOUGH:
        return f"{minutes:.0f} min"
    return f"{hours:.1f} h" if hours < ENOUGH else f"{hours / 24.0:.0f} days"


def _usable(account: Account) -> str:
    if account["usable_episodes"] is None:
        return ""
    return f"{account['usable_episodes']:,} episodes, {account['usable_streams']:,} camera streams"


def _done(account: Account, name: str) -> str:
    done, planned = account[name], account[f"planned_{name}"]
    if done is None:
        return "" if planned is None else f"{planned:,} planned"
    return f"{done:,}" if planned in (None, done) else f"{done:,} of {planned:,}"


def _slots(account: Account) -> str:
    done, planned = account["slots_done"], account["slots"]
    if done is None or planned is None:
        return _number(planned)
    return f"{done:,} of {planned:,} ({done / planned:.0%})"


def _hours(account: Account) -> str:
    done, planned = account["hours"], account["planned_hours"]
    if done is None:
        return ""
    return f"{done:.3g}" if done == planned else f"{done:.3g} of {planned:.3g}"


def _rate(account: Account) -> str:
    rate, idle_seconds = account["frames_per_second"], account["idle_seconds"]
    if rate:
        return f"{rate:.3g} frames per second, {duration(account['seconds_left'])} left"
    return "" if idle_seconds is None else f"no slot finished for {duration(idle_seconds)}"


def _bytes(account: Account) -> str:
    done, planned = account["bytes"], account["planned_bytes"]
    if done is None:
        return ""
    return decimal(done) if done == planned else f"{decimal(done)} of {decimal(planned)}"


def _rejects(account: Account) -> str:
    if account["rejects"] is None:
        return ""
    return "\n".join(f"{reason}: {count:,}" for reason, count in account["rejects"].items()) or "none"


def _split(split: Account) -> str:
    counted = ", ".join(f"{split[name]:,} {name}" for name in ("episodes", "trajectories", "frames"))
    return f"{counted}, {split['hours']:.3g} hours"


def _encoder(account: Account) -> str:
    details = account["encoder_details"]
    if details is None:
        return account["encoder"] or ""
    return (
        f"{account['encoder']}, weights {details['weights_sha256'][:SHOWN_HASH_DIGITS]}, "
        f"{details['image_size_px']} px, {details['grid_height']} x {details['grid_width']} tokens of "
        f"{details['width']}, {details['compute_dtype']}"
    )


def _clock(account: Account) -> str:
    rate_hz = account["frame_rate_hz"]
    return f"{account['clock']}, {rate_hz:g} Hz" if rate_hz else account["clock"] or ""


def _listed(values: Account | None) -> str:
    return "\n".join(f"{name}: {_plain(value)}" for name, value in (values or {}).items() if value != "")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
