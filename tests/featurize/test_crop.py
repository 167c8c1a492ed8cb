"""Legend: F frames, H height, W width, C colours."""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featurize.crop import CropBox, CropPolicy, draw_box, resize

# vjepa2, configs/train/vitg16/droid-256px-8f.yaml
PUBLISHED_SCALE = 1.777
PUBLISHED_RATIO = (0.75, 1.35)

sizes_px = st.integers(16, 2000)


def draws(policy, height_px, width_px, num_draws=400):
    rng = np.random.default_rng(0)
    return [draw_box(policy, height_px, width_px, rng) for _ in range(num_draws)]


@pytest.mark.parametrize(
    ("height_px", "width_px", "box"),
    [
        (720, 1280, (0, 154, 720, 972)),
        (180, 320, (0, 38, 180, 243)),  # 243 = 180 x 1.35, 38 = (320 - 243) // 2
        (1280, 720, (160, 0, 960, 720)),
        (480, 640, (0, 0, 480, 640)),  # 4:3 lies within the published ratios: the whole frame
        (500, 500, (0, 0, 500, 500)),
    ],
)
def test_the_official_crop_is_one_centre_box(height_px, width_px, box):
    assert {astuple(drawn) for drawn in draws(CropPolicy.OFFICIAL, height_px, width_px, 20)} == {box}


@given(sizes_px, sizes_px, st.floats(*PUBLISHED_RATIO))
def test_no_try_of_the_published_numbers_fits_any_frame(height_px, width_px, ratio):
    area = height_px * width_px * PUBLISHED_SCALE
    width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    assert width > width_px or height > height_px


def test_the_official_crop_leaves_the_random_numbers_of_others_alone():
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    draw_box(CropPolicy.OFFICIAL, 720, 1280, rng)
    assert rng.random() == untouched.random()


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 9), st.sampled_from(CropPolicy))
def test_every_box_lies_inside_the_frame(height_px, width_px, seed, policy):
    box = draw_box(policy, height_px, width_px, np.random.default_rng(seed))
    assert min(box.top, box.left) >= 0
    assert min(box.height, box.width) >= 1
    assert box.top + box.height <= height_px
    assert box.left + box.width <= width_px


def test_random_boxes_keep_to_the_areas_and_ratios_of_the_paper():
    boxes = draws(CropPolicy.RANDOM, 720, 1280)
    shares = np.array([box.height * box.width / (720 * 1280) for box in boxes])
    ratios = np.array([box.width / box.height for box in boxes])
    assert shares.min() == pytest.approx(0.3, abs=0.01)
    assert shares.max() == pytest.approx(0.75, abs=0.02)  # a 4:3 box of full height has 0.75 of a 16:9 frame
    assert ratios.min() == pytest.approx(3 / 4, abs=0.02)
    assert ratios.max() == pytest.approx(4 / 3, abs=0.02)


def test_random_ratios_are_as_often_upright_as_lying_in_a_square_frame():
    boxes = [box for box in draws(CropPolicy.RANDOM, 500, 500) if box.height != box.width]
    assert np.mean([box.width > box.height for box in boxes]) == pytest.approx(0.5, abs=0.06)


def test_random_boxes_reach_every_side_of_the_frame():
    boxes = draws(CropPolicy.RANDOM, 720, 1280)
    assert min(box.top for box in boxes) < 10
    assert min(box.left for box in boxes) < 10
    assert max(box.top + box.height for box in boxes) > 710
    assert max(box.left + box.width for box in boxes) > 1270


@pytest.mark.parametrize(
    ("height_px", "width_px", "box"), [(100, 900, (0, 383, 100, 133)), (900, 90, (390, 0, 120, 90))]
)
def test_a_frame_too_long_for_any_try_falls_back_to_the_largest_centre_box(height_px, width_px, box):
    assert {astuple(drawn) for drawn in draws(CropPolicy.RANDOM, height_px, width_px, 20)} == {box}


def test_the_same_generator_draws_the_same_box():
    assert draws(CropPolicy.RANDOM, 720, 1280, 5) == draws(CropPolicy.RANDOM, 720, 1280, 5)


def crop_and_resize(frames_FHWC: torch.Tensor, box: CropBox, image_size: int) -> torch.Tensor:
    return resize(frames_FHWC[:, *box.slices], image_size)


@pytest.mark.parametrize("image_size", [16, 90, 256])
def test_crop_and_resize_equals_the_reference_resize(image_size):
    frames_FHWC = torch.randint(0, 256, (3, 90, 160, 3), dtype=torch.uint8)
    box = CropBox(top=7, left=20, height=70, width=121)
    reference_FCHW = torch.nn.functional.interpolate(
        frames_FHWC.permute(0, 3, 1, 2).float()[:, :, 7:77, 20:141],
        size=(image_size, image_size),
        mode="bilinear",
        align_corners=False,
        antialias=False,
    )
    resized_FCSS = crop_and_resize(frames_FHWC, box, image_size)
    assert resized_FCSS.dtype == torch.float32
    torch.testing.assert_close(resized_FCSS, reference_FCHW, rtol=0, atol=1e-3)


def test_each_frame_is_resized_by_itself():
    frames_FHWC = torch.randint(0, 256, (4, 36, 64, 3), dtype=torch.uint8)
    box = draw_box(CropPolicy.RANDOM, 36, 64, np.random.default_rng(0))
    together = crop_and_resize(frames_FHWC, box, 32)
    assert torch.equal(together[2:3], crop_and_resize(frames_FHWC[2:3], box, 32))
