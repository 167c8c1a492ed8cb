"""A trained predictor, an untrained one, and one trained with the actions of other clips."""

from dataclasses import replace

import pytest
import torch

from store_schema.store import Store
from tests.train.foreign_actions import with_foreign_actions
from tests.train.moving_store import write_moving_store
from train.assembly import UnsealedStoreError, predictor_config
from train.checkpoint import Checkpoint
from train.evaluation import evaluate, read_evaluation
from train.measures.assess_run import assess_run
from train.measures.assessment import Assessment
from train.measures.measure_trees import as_json, by_name
from train.planning.search import Cem
from train.predictor import Predictor
from train.recipe_defaults import recipe_for
from train.run_folder import RunFolder
from train.trainer import train
from train.view import View

CPU = torch.device("cpu")
FEW = Cem(samples=64, rounds=4, elites=6)
RECIPE = {"steps": 200, "batch_clips": 16, "micro_batch_clips": 16, "clip_frames": 4, "lr_peak": 5e-4,
          "validate_every": 200, "checkpoint_every": 200}  # fmt: skip


@pytest.fixture(scope="module")
def moving_store(tmp_path_factory):
    lengths = [(24, "train")] * 30 + [(20, "validation")] * 8
    return write_moving_store(tmp_path_factory.mktemp("assessed") / "store.zarr", lengths)


@pytest.fixture(scope="module")
def measures(moving_store, tmp_path_factory):
    """Of the three, measured alike."""
    folder, store = tmp_path_factory.mktemp("runs"), Store.open(moving_store)
    recipe, view = recipe_for("demo", **RECIPE), View.of_store(store, CPU)
    predictors = {"untrained": Predictor(predictor_config(recipe, view))}
    for name, view_of in (("trained", View.of_store), ("foreign", with_foreign_actions)):
        train(recipe, moving_store, folder / name, device="cpu", view_of=view_of)
        predictors[name] = Predictor(predictor_config(recipe, view))
        predictors[name].load_state_dict(Checkpoint.load(folder / name / "checkpoint.pt").model)
    return {
        name: Assessment(
            predictor=predictor.eval(), view=view, device=CPU, num_starts=12, search=FEW
        ).measures()
        for name, predictor in predictors.items()
    }


@pytest.fixture(scope="module")
def assessments(measures):
    """The same as it is shown."""
    return {name: as_json(of_run) for name, of_run in measures.items()}


@pytest.fixture(scope="module")
def beyond_trained(measures):
    """`beyond_trained(run, measure)` is the interval of what the run has more of it than the trained one."""
    sums = {name: by_name(of_run) for name, of_run in measures.items()}
    return lambda run, measure: sums[run][measure].minus(sums["trained"][measure])


# What 200 updates on clips of 4 frames are enough for; `tests/benchmarks/told_apart.py` tells by the others.
LOWER_IS_BETTER = [
    "prediction/teacher_forced_l1",
    "prediction/l1/0",
    "prediction/l1/1",
    "prediction/ratio_to/copy_last_frame/0",
    "prediction/ratio_to/zero_action/0",
    "prediction/ratio_to/shuffled_action/0",
    "prediction/ratio_to/linear_dynamics/0",
    "energy/rank",
    "energy/minimum_centimetres",
    "probe/predicted_centimetres/0",
    "probe/predicted_centimetres/1",
]
HIGHER_IS_BETTER = ["retrieval/other_hit_at_1", "retrieval/other_hit_at_5"]


@pytest.mark.parametrize("run", ["untrained", "foreign"])
@pytest.mark.parametrize("measure", LOWER_IS_BETTER)
def test_the_trained_one_has_less_of_it(beyond_trained, run, measure):
    assert beyond_trained(run, measure).low > 0.0


@pytest.mark.parametrize("run", ["untrained", "foreign"])
@pytest.mark.parametrize("measure", HIGHER_IS_BETTER)
def test_the_trained_one_has_more_of_it(beyond_trained, run, measure):
    assert beyond_trained(run, measure).high < 0.0


def test_prediction_tells_the_trained_one(assessments):
    ratio = {name: of["prediction"]["ratio_to"] for name, of in assessments.items()}
    assert ratio["trained"]["copy_last_frame"][0]["high"] < 0.9
    assert ratio["untrained"]["copy_last_frame"][0]["mean"] == pytest.approx(1.0, abs=0.02)
    assert ratio["trained"]["shuffled_action"][0]["high"] < 0.9
    assert ratio["foreign"]["shuffled_action"][0]["mean"] > 0.97


def test_planning_tells_the_trained_one_from_the_misled(assessments):
    """An untrained residual predictor finds every action alike, so its plan is about no movement at all."""
    off = {name: of["planning"]["1"]["xyz_centimetres"]["mean"] for name, of in assessments.items()}
    assert off["trained"] < off["foreign"]
    idle = assessments["untrained"]["planning"]["1"]["idle_centimetres"]["mean"]
    assert off["untrained"] == pytest.approx(idle, rel=0.4)


def test_the_energy_landscape_tells_the_trained_one(assessments):
    rank = {name: of["energy"]["rank"] for name, of in assessments.items()}
    assert rank["trained"]["high"] < 0.2
    assert rank["untrained"]["mean"] == pytest.approx(0.5)
    assert rank["foreign"]["mean"] > 0.3
    gripper_sign = {name: of["energy"]["gripper_sign"]["mean"] for name, of in assessments.items()}
    assert gripper_sign["trained"] > 0.75
    assert gripper_sign["untrained"] == pytest.approx(0.5)


def test_retrieval_is_chance_where_actions_are_ignored(assessments):
    hits = {name: of["retrieval"]["other_hit_at_5"]["mean"] for name, of in assessments.items()}
    assert hits["trained"] > 0.6
    assert hits["untrained"] == pytest.approx(0.25)


def test_the_probe_tells_the_trained_one(assessments):
    """Two frames ahead. An untrained residual predictor keeps the first frame, in which nothing has moved."""
    probes = {name: of["probe"] for name, of in assessments.items()}
    predicted = {name: of["predicted_centimetres"][1]["mean"] for name, of in probes.items()}
    kept = probes["trained"]["copy_last_frame_centimetres"][1]["mean"]
    assert probes["trained"]["encoded_centimetres"][1]["mean"] < 0.7 * kept
    assert predicted["trained"] < kept
    assert predicted["untrained"] == pytest.approx(kept, rel=0.02)


def test_a_run_keeps_what_was_measured(moving_store, tiny_recipe, tmp_path):
    train(tiny_recipe(), moving_store, tmp_path / "run", device="cpu")
    measured = assess_run(tmp_path / "run", moving_store, search=FEW, num_starts=2, device="cpu")
    kept = read_evaluation(RunFolder(tmp_path / "run"), step=6)
    assert kept == measured
    assert kept["assessment"]["trust"]["num_trajectories"] == 8
    alone = evaluate(tmp_path / "run", moving_store, device="cpu")
    assert kept["l1"] == pytest.approx(alone["l1"], rel=1e-5)
    for name, errors in alone["baselines"].items():
        assert kept["baselines"][name] == pytest.approx(errors, rel=1e-5)
    assert kept["assessment"]["trust"]["num_planned_starts"] == 2


def test_a_store_without_statistics_is_refused(make_store, tmp_path):
    store = make_store(tmp_path / "s.zarr", trajectories=[(20, "train"), (20, "validation")], sealed=False)
    recipe = recipe_for("demo", **{**RECIPE, "steps": 2, "warmup_steps": 1, "decay_steps": 1})

    def with_statistics(opened, device):
        nothing = {"mean": (0.0,) * 7, "std": (1.0,) * 7}
        from store_schema.attributes import DimensionStatistics

        told = DimensionStatistics(**nothing)
        return replace(View.of_store(opened, device), state_statistics=told, action_statistics=told)

    train(recipe, store, tmp_path / "run", device="cpu", view_of=with_statistics)
    with pytest.raises(UnsealedStoreError, match="not sealed and lacks the statistics that bound actions"):
        assess_run(tmp_path / "run", store, search=FEW, num_starts=2)
