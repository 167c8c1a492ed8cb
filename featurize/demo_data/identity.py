"""Who recorded an episode, where and when: made-up laboratories, each with its robot and cameras."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

LABS = ("DemoNorth", "DemoEast", "DemoSouth", "DemoWest")
_FIRST_EPISODE = datetime(2023, 3, 1, 9, 0, tzinfo=UTC)
_EPISODES_A_DAY = 24
_MINUTES_BETWEEN_EPISODES = 15


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Names and numbers of one episode; `site` is its laboratory. Serials are its cameras'."""

    site: int
    lab: str
    user: str
    user_id: str
    building: str
    scene_id: int
    robot_serial: str
    wrist_serial: str
    left_serial: str
    right_serial: str
    started: datetime

    @property
    def timestamp(self) -> str:
        """Start time as in the episode's id, for example 2023-03-01-09h-05m-12s."""
        return self.started.strftime("%Y-%m-%d-%Hh-%Mm-%Ss")

    @property
    def uuid(self) -> str:
        """Id of the episode: laboratory, collector and start time."""
        return f"{self.lab}+{self.user_id}+{self.timestamp}"

    @property
    def folder_time(self) -> str:
        """Start time as in the folder's name, for example Wed_Mar__1_09:05:12_2023."""
        return self.started.ctime().replace(" ", "_")

    @property
    def start_ms(self) -> int:
        """Start time in milliseconds since 1970."""
        return int(self.started.timestamp()) * 1000

    def serials(self) -> dict[str, str]:
        """Serial number of each camera by name, "left", "right" and "wrist"."""
        return {"left": self.left_serial, "right": self.right_serial, "wrist": self.wrist_serial}


def draw_identity(rng: np.random.Generator, episode: int) -> Identity:
    """Identity of the episode with this number; episodes take turns at the laboratories."""
    lab = episode % len(LABS)
    # Either exterior camera may have the smaller serial, which decides who is ext1 and who is ext2.
    exterior = [20_000_000 + 1_111 * lab, 30_000_000 + 2_222 * lab]
    left, right = rng.permutation(exterior)
    return Identity(
        site=lab,
        lab=LABS[lab],
        user=f"Demo Collector {lab + 1}",
        user_id=f"{0xD0E0_0000 + lab:08x}",
        building=f"Demo Building {lab + 1}",
        scene_id=int(rng.integers(10**9, 10**10)),
        robot_serial=f"panda-{295_000 + lab}-{1_320_000 + lab}",
        wrist_serial=str(10_000_000 + 3_333 * lab),
        left_serial=str(left),
        right_serial=str(right),
        started=_start_time(rng, episode),
    )


def _start_time(rng: np.random.Generator, episode: int) -> datetime:
    day, turn = divmod(episode, _EPISODES_A_DAY)
    seconds = int(rng.integers(0, 60 * _MINUTES_BETWEEN_EPISODES - 30))
    return _FIRST_EPISODE + timedelta(days=day, minutes=turn * _MINUTES_BETWEEN_EPISODES, seconds=seconds)
