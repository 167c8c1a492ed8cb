import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.planning.bounds import ROTATION, ActionBounds
from train.planning.search import Cem, Mppi, PlanningError

BOUNDS = ActionBounds(xyz_metres=0.02, gripper=0.5)
SEARCHES = [Cem(samples=200, rounds=12), Mppi(samples=400, rounds=12)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def towards(wanted_HA: torch.Tensor):
    """L1 to one sequence of actions, in units of the bounds."""
    scale_A = torch.tensor([0.02] * 3 + [1.0] * 3 + [0.5])
    return lambda actions_SHA: ((actions_SHA - wanted_HA) / scale_A).abs().mean(dim=(1, 2))


@pytest.mark.parametrize("search", SEARCHES)
def test_finds_the_actions_of_lowest_energy(search):
    wanted_HA = torch.tensor([[0.015, -0.01, 0.0, 0, 0, 0, 0.3], [-0.005, 0.02, 0.01, 0, 0, 0, -0.4]])
    found = search(towards(wanted_HA), 2, BOUNDS, seeded())
    torch.testing.assert_close(found.actions_HA[:, :3], wanted_HA[:, :3], rtol=0, atol=0.004)
    torch.testing.assert_close(found.actions_HA[:, 6], wanted_HA[:, 6], rtol=0, atol=0.1)
    assert found.lowest_energies[-1] < found.lowest_energies[0] / 2


@pytest.mark.parametrize("search", SEARCHES)
def test_a_goal_out_of_reach_is_approached_up_to_the_bounds(search):
    found = search(towards(torch.full((1, 7), 9.0)), 1, BOUNDS, seeded())
    expected = torch.tensor([[0.02] * 3 + [0.0] * 3 + [0.5]])
    torch.testing.assert_close(found.actions_HA, expected, rtol=0.05, atol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), horizon=st.integers(1, 3), search=st.sampled_from(SEARCHES))
def test_every_sample_keeps_to_the_bounds_and_never_rotates(seed, horizon, search):
    sampled = []

    def energy(actions_SHA):
        sampled.append(actions_SHA)
        return actions_SHA.sum(dim=(1, 2))

    found = search(energy, horizon, BOUNDS, seeded(seed))
    actions_XA = torch.cat([found.actions_HA[None], *sampled]).flatten(0, 1)
    assert actions_XA[:, :3].abs().max() <= 0.02
    assert actions_XA[:, 6].abs().max() <= 0.5
    assert actions_XA[:, ROTATION].eq(0).all()


@pytest.mark.parametrize("search", SEARCHES)
def test_a_seed_decides_the_plan(search):
    energy = towards(torch.zeros(1, 7))
    one, same, other = (search(energy, 1, BOUNDS, seeded(seed)).actions_HA for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_cem_asks_for_the_published_number_of_samples():
    asked = []

    def energy(actions_SHA):
        asked.append(len(actions_SHA))
        return actions_SHA.abs().sum(dim=(1, 2))

    Cem()(energy, 1, BOUNDS, seeded())
    assert asked == [800] * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cem(samples=0), "samples is 0; it must be at least 1"),
        (lambda: Cem(samples=5, elites=6), "elites is 6; choose from 2 to samples, 5"),
        (lambda: Cem(elites=1), "elites is 1; choose from 2"),
        (lambda: Cem(momentum=1.0), "momentum is 1.0; it must be at least 0 and below 1"),
        (lambda: Mppi(rounds=0), "rounds is 0"),
        (lambda: Mppi(temperature=0.0), "temperature is 0.0; it must be positive"),
        (lambda: Mppi(shrink=0.0), "shrink is 0.0; it must be above 0"),
    ],
)
def test_refuses_settings_that_cannot_search(make, message):
    with pytest.raises(PlanningError, match=message):
        make()


def test_the_published_bounds_belong_to_a_step_of_a_second():
    assert ActionBounds.published(1.0) == ActionBounds(xyz_metres=0.075, gripper=0.75)
    quarter = ActionBounds.published(0.25)
    assert (quarter.xyz_metres, quarter.gripper) == (0.01875, 0.1875)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [((0.0, 0.5), "xyz_metres is 0.0; a bound must be positive"), ((0.1, -0.1), "gripper is -0.1")],
)
def test_refuses_a_bound_that_is_none(bounds, message):
    with pytest.raises(ValueError, match=message):
        ActionBounds(xyz_metres=bounds[0], gripper=bounds[1])


def test_a_gripper_without_room_is_left_alone():
    bounds = ActionBounds(xyz_metres=0.1, gripper=0.0)
    found = Cem(samples=20, rounds=2)(
        lambda actions_SHA: -actions_SHA.sum((1, 2)), 2, bounds, torch.Generator().manual_seed(0)
    )
    assert found.actions_HA[:, 6].eq(0).all()
    assert found.actions_HA[:, :3].gt(0).all()
