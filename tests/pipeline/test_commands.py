"""What programs read and what people read: one JSON object on stdout, one message on stderr, an exit code."""

import json

import pytest

from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    build = build_at(tmp_path_factory.mktemp("commands") / "finished.zarr", source)
    build_store(build)
    return build


@pytest.mark.parametrize(
    ("name", "parameters", "keys"),
    [
        ("vjepa2-vitg", 1_012_173_952, {"flops_per_frame", "shapes"}),
        ("vjepa2-ac", 305_220_992, {"flops_per_step", "shapes"}),
    ],
)
def test_describe_counts_encoders_and_predictors(permafrost, name, parameters, keys):
    code, out, err = permafrost("describe", name, "--json")
    facts = json.loads(out)
    assert (code, err, facts["parameters"]) == (0, "", parameters)
    assert keys <= facts.keys()


def test_demo_data_writes_episodes_of_the_size_asked_for(permafrost, tmp_path):
    out = tmp_path / "demo"
    code, stdout, err = permafrost("demo-data", out, "--episodes", 1, "--size", "64x64")
    assert (code, stdout, err) == (0, "", f"Wrote 1 episodes to {out}\n")
    assert len(list(out.rglob("metadata_*.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["status", "nowhere.zarr"],
            "nowhere.zarr does not exist; `permafrost featurize --source ... --store nowhere.zarr` makes",
        ),
        (
            ["verify", "nowhere.zarr"],
            "There is no feature store at nowhere.zarr; `permafrost featurize` makes one.",
        ),
        (["describe", "vjepa2-vitx"], "There is no encoder 'vjepa2-vitx'. Did you mean"),
        (
            ["demo-data", "out", "--size", "1280"],
            "--size is WIDTHxHEIGHT in pixels, such as 1280x720; got '1280'.",
        ),
        (["demo-data", "out", "--episodes", "0"], "Number of episodes is 0, expected at least 1."),
    ],
)
def test_what_a_user_mistypes_is_one_message_and_exit_code_1(permafrost, arguments, message):
    assert_refused(permafrost(*arguments), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slots", "3,7"], "--slots goes with --step encode."),
        (
            ["--step", "encode", "--slots", "3-7"],
            "--slots takes numbers with commas between, such as 3,7; got '3-7'.",
        ),
        (["--encoder", "vit-tiny"], "There is no encoder 'vit-tiny'. Did you mean 'vit-tiny-random'?"),
        (["--num-views", "0"], "num_views: Input should be greater than or equal to 1, got 0"),
        (["--cameras", "left,top"], "cameras.1: Input should be 'left', 'right' or 'wrist', got 'top'"),
        (["--max-rejects", "20"], "max_rejects: Input should be less than or equal to 1, got 20.0"),
        (["--workers", "0"], "num_workers: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_wrong_options_are_told_before_a_server_is_started(
    permafrost, monkeypatch, tmp_path, options, message
):
    monkeypatch.setattr("pipeline.prefect_server.prefect_server", lambda: pytest.fail("a server was started"))
    featurize = ["featurize", "--source", tmp_path, "--store", tmp_path / "store.zarr"]
    assert_refused(permafrost(*featurize, *options), message)
    assert list(tmp_path.iterdir()) == []


def assert_refused(outcome, message):
    code, out, err = outcome
    assert (code, out) == (1, "")
    assert err.startswith("permafrost: ")
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_a_slip_of_ours_keeps_its_traceback(permafrost, finished, monkeypatch):
    def slip(_):
        raise KeyError("ours")

    monkeypatch.setattr("pipeline.store_accounts.store_facts", slip)
    with pytest.raises(KeyError, match="ours"):
        permafrost("status", finished.store)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/data/x"), OSError(28, "No space left")]
)
def test_errors_of_the_operating_system_are_told_in_one_line(permafrost, finished, monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr("pipeline.store_accounts.store_facts", fail)
    code, _, err = permafrost("status", finished.store)
    assert (code, error.strerror in err, len(err.splitlines())) == (1, True, 1)


def test_help_lists_every_command_with_an_example(permafrost):
    code, out, _ = permafrost("--help")
    assert code == 0
    for command in ("demo-data", "describe", "featurize", "status", "verify", "train", "evaluate", "plan"):
        assert command in out
        assert f"Example: permafrost {command}" in " ".join(permafrost(command, "--help")[1].split())


@pytest.mark.usefixtures("prefect_api")
class TestOneStepAlone:
    """`--step` calls the flow of one step, in this process and with a server that is there."""

    def run(self, permafrost, store, source, *options):
        return permafrost("featurize", "--source", source, "--store", store, "--json", *options)

    def test_steps_one_after_the_other(self, permafrost, source, tmp_path, monkeypatch):
        # Before the patch: flows look their parameters' types up once.
        import pipeline.featurize_flow  # noqa: F401

        from .conftest import Threads

        monkeypatch.setattr("pipeline.workers.Workers", Threads)
        store = tmp_path / "store.zarr"
        code, out, err = self.run(permafrost, store, source, "--step", "encode", "--slots", "3,5")
        assert (code, out) == (1, "")
        assert "permafrost featurize --step plan" in err.splitlines()[-1]
        code, out, _ = self.run(permafrost, store, source, "--step", "index")
        assert (code, json.loads(out)) == (0, {"num_usable": 6, "num_rejected": 0, "rejects": {}})
        assert self.run(permafrost, store, source, "--step", "plan")[0] == 0
        assert self.run(permafrost, store, source, "--step", "calibrate")[0] == 0
        code, out, _ = self.run(permafrost, store, source, "--step", "encode", "--slots", "3,5")
        assert (code, json.loads(out)["slots_done"]) == (0, 2)
        assert sorted(Store.open(store).ledger) == [3, 5]
        code, _, err = self.run(permafrost, store, source, "--step", "encode", "--slots", "7")
        assert (code, err.splitlines()[-1]) == (
            1, "permafrost: Slots [7] do not exist; the plan has slots 0 to 6.")  # fmt: skip
        code, _, err = self.run(permafrost, store, source, "--step", "finalise")
        assert (code, "5 of 7 slots are missing" in err) == (1, True)
        code, _, err = self.run(permafrost, store, source, "--crop", "official")
        assert code == 1
        assert "crop: store has random, asked for official" in err.splitlines()[-1]
        assert self.run(permafrost, store, source, "--step", "encode")[0] == 0
        code, out, _ = self.run(permafrost, store, source, "--step", "finalise")
        assert (code, json.loads(out)["sealed"]) == (0, True)
