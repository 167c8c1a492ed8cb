"""What stays where it is in an episode: the light, the room and the two exterior cameras."""

from dataclasses import dataclass

import numpy as np

from featurize.demo_data.cameras import Camera, draw_exterior_camera
from featurize.demo_data.room import Light, Room, draw_light, draw_room

_TABLE_PIXELS_PER_METRE_AND_WIDTH = 400 / 320


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """Light and room, and the static cameras by name, "left" and "right", each with one pose."""

    light: Light
    room: Room
    exterior: dict[str, Camera]


def draw_surroundings(rng: np.random.Generator, *, site: int, width_px: int, height_px: int) -> Surroundings:
    """Draw what an episode at laboratory `site` has around it."""
    light = draw_light(rng)
    exterior = {
        name: draw_exterior_camera(rng, site=site, side=side, width_px=width_px, height_px=height_px)
        for name, side in (("left", 1), ("right", -1))
    }
    room = draw_room(rng, light, pixels_per_metre=_TABLE_PIXELS_PER_METRE_AND_WIDTH * width_px)
    return Surroundings(light=light, room=room, exterior=exterior)
