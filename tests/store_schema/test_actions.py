"""Legend: F frames, A state and action size (7)."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from store_schema.actions import actions_from_states

states = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(7)), elements=st.floats(-1.4, 1.4))


def test_position_and_gripper_are_subtracted():
    states_FA = np.array([[0.1, 0.2, 0.3, 0, 0, 0, 0.0], [0.4, 0.1, 0.3, 0, 0, 0, 0.75]])
    np.testing.assert_allclose(actions_from_states(states_FA)[0], [0.3, -0.1, 0, 0, 0, 0, 0.75], atol=1e-7)


def test_the_rotation_applies_in_the_base_frame():
    quarter = np.pi / 2
    states_FA = np.zeros((2, 7))
    states_FA[0, 3:6] = [quarter, 0, 0]
    # From a quarter turn about x to a quarter turn about x, then half of one about the base's z.
    states_FA[1, 3:6] = (Rotation.from_euler("z", quarter / 2) * Rotation.from_euler("x", quarter)).as_euler(
        "xyz"
    )
    np.testing.assert_allclose(actions_from_states(states_FA)[0, 3:6], [0, 0, quarter / 2], atol=1e-7)


def test_a_wrapped_angle_is_a_small_turn():
    states_FA = np.zeros((2, 7))
    states_FA[:, 5] = [np.pi - 0.01, -np.pi + 0.01]
    np.testing.assert_allclose(actions_from_states(states_FA)[0, 5], 0.02, atol=1e-6)


@given(states)
def test_an_action_turns_its_state_into_the_next(states_FA):
    actions_FA = actions_from_states(states_FA)[:-1]
    turned = Rotation.from_euler("xyz", actions_FA[:, 3:6]) * Rotation.from_euler("xyz", states_FA[:-1, 3:6])
    np.testing.assert_allclose(
        states_FA[:-1, [0, 1, 2, 6]] + actions_FA[:, [0, 1, 2, 6]], states_FA[1:, [0, 1, 2, 6]], atol=1e-6
    )
    difference = turned * Rotation.from_euler("xyz", states_FA[1:, 3:6]).inv()
    assert (difference.magnitude() < 1e-5).all()


@given(states)
def test_only_the_last_frame_has_no_action(states_FA):
    actions_FA = actions_from_states(states_FA)
    assert actions_FA.dtype == np.float32
    assert actions_FA.shape == states_FA.shape
    assert np.isfinite(actions_FA[:-1]).all()
    assert np.isnan(actions_FA[-1]).all()


def test_it_equals_the_public_loaders_differences():
    """`poses_to_diffs` of vjepa2, app/vjepa_droid/droid.py, worked out one frame at a time."""
    states_FA = np.random.default_rng(0).uniform(-1, 1, (9, 7))
    expected = []
    for now, after in pairwise(states_FA):
        turn = (
            Rotation.from_euler("xyz", after[3:6]).as_matrix()
            @ Rotation.from_euler("xyz", now[3:6]).as_matrix().T
        )
        expected.append(
            [*(after[:3] - now[:3]), *Rotation.from_matrix(turn).as_euler("xyz"), after[6] - now[6]]
        )
    np.testing.assert_allclose(actions_from_states(states_FA)[:-1], expected, atol=1e-6)
