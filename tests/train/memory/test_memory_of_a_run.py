"""A run within a memory budget: cut otherwise, with the same losses, and resumed as it was begun."""

import pytest

from train.memory_budget import GIB, MemoryBudgetError, MemoryPlan
from train.metrics import read_metrics
from train.trainer import train


def losses(run) -> list[float]:
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]


@pytest.fixture
def planned(monkeypatch):
    """`planned(clips, blocks)`: what the budget comes to; the list returned holds how it was asked."""

    def plan(micro_batch_clips: int, checkpointed_blocks: int) -> list[dict]:
        asked = []

        def fit(*_arguments, **chosen):
            asked.append(chosen)
            return MemoryPlan(
                micro_batch_clips=micro_batch_clips, checkpointed_blocks=checkpointed_blocks, peak_bytes=0
            )

        monkeypatch.setattr("train.trainer.fit_update", fit)
        return asked

    return plan


def test_a_budget_decides_the_micro_batch_of_a_new_run(tiny_store, tiny_recipe, tmp_path, planned):
    asked = planned(1, 0)
    train(tiny_recipe(), tiny_store, tmp_path / "run", device="cpu", memory_budget_bytes=GIB)
    assert (asked[0]["budget_bytes"], asked[0]["fixed"], asked[0]["share_clips"]) == (GIB, False, 4)
    assert '"micro_batch_clips": 1' in (tmp_path / "run/recipe.json").read_text()


def test_checkpointed_blocks_change_no_bit_of_a_run(tiny_store, tiny_recipe, tmp_path, planned):
    train(tiny_recipe(), tiny_store, tmp_path / "plain", device="cpu")
    planned(2, 3)
    train(tiny_recipe(), tiny_store, tmp_path / "checkpointed", device="cpu")
    assert losses(tmp_path / "checkpointed") == losses(tmp_path / "plain")


def test_a_run_that_is_resumed_keeps_its_micro_batch_whatever_the_budget(
    tiny_store, tiny_recipe, tmp_path, planned
):
    run = tmp_path / "run"
    train(tiny_recipe(micro_batch_clips=1), tiny_store, run, device="cpu", micro_batch_clips=1)
    asked = planned(4, 0)
    train(tiny_recipe(), tiny_store, run, device="cpu", memory_budget_bytes=64 * GIB)
    assert asked[0]["fixed"]
    assert '"micro_batch_clips": 1' in (run / "recipe.json").read_text()


def test_a_micro_batch_that_is_given_wins(tiny_store, tiny_recipe, tmp_path, planned):
    asked = planned(4, 0)
    recipe = tiny_recipe(micro_batch_clips=2)
    train(recipe, tiny_store, tmp_path / "run", device="cpu", micro_batch_clips=2, memory_budget_bytes=GIB)
    assert asked[0]["fixed"]
    assert '"micro_batch_clips": 2' in (tmp_path / "run/recipe.json").read_text()


def test_a_run_that_does_not_fit_leaves_no_folder(tiny_store, tiny_recipe, tmp_path):
    with pytest.raises(MemoryBudgetError, match=r"the budget is 0\.00 GiB"):
        train(tiny_recipe(), tiny_store, tmp_path / "run", device="cpu", memory_budget_bytes=1_000)
    assert not (tmp_path / "run").exists()
