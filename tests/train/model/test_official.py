from dataclasses import replace

import pytest
import torch

from train.official import (
    OfficialCheckpointError,
    from_official,
    load_official_predictor,
    save_official_predictor,
    to_official,
)
from train.predictor import Predictor
from train.presets import preset


@pytest.fixture
def official_file(tmp_path, golden_weights):
    """A file as the reference saves it, its weights under DistributedDataParallel's prefix."""
    path = tmp_path / "vjepa2-ac-vitg.pt"
    weights = {f"module.{name}": tensor for name, tensor in golden_weights.items()}
    torch.save({"encoder": {}, "predictor": weights, "epoch": 315}, path)
    return path


def test_every_official_name_and_shape_is_accounted_for(golden_json):
    with torch.device("meta"):
        predictor = Predictor(preset("vjepa2-ac", 16, 16, 1408))
    ours = {name: list(tensor.shape) for name, tensor in predictor.state_dict().items()}
    expected = golden_json("official_shapes.json")
    assert ours == expected
    assert list(ours) == list(expected)


def test_an_official_file_gives_the_weights_it_holds(official_file, golden_config, golden_weights):
    loaded = load_official_predictor(official_file, golden_config)
    assert loaded.keys() == golden_weights.keys()
    assert all(torch.equal(loaded[name], golden_weights[name]) for name in golden_weights)
    Predictor(golden_config).load_state_dict(loaded, strict=True)


def test_a_round_trip_through_our_module_is_bit_equal(tmp_path, official_file, golden_config):
    predictor = Predictor(golden_config)
    predictor.load_state_dict(load_official_predictor(official_file, golden_config))
    save_official_predictor(tmp_path / "again.pt", predictor.state_dict(), golden_config)
    first = torch.load(official_file, weights_only=True)["predictor"]
    again = torch.load(tmp_path / "again.pt", weights_only=True)["predictor"]
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert all(again[name].dtype == first[name].dtype for name in first)


def test_nothing_but_the_file_is_left_after_saving(tmp_path, golden_config, golden_weights):
    save_official_predictor(tmp_path / "out.pt", golden_weights, golden_config)
    assert [path.name for path in tmp_path.iterdir()] == ["out.pt"]


def test_names_without_the_prefix_are_taken_too(golden_config, golden_weights):
    assert from_official(golden_weights, golden_config).keys() == golden_weights.keys()


def test_lists_every_missing_unexpected_and_misshapen_tensor(golden_config, golden_weights):
    official = to_official(golden_weights)
    del official["module.predictor_norm.bias"]
    official["module.predictor_pos_embed"] = torch.zeros(1, 3)
    official["module.predictor_proj.weight"] = torch.zeros(24, 63)
    official["module.predictor_proj.bias"] = torch.zeros(24, dtype=torch.float16)
    with pytest.raises(OfficialCheckpointError) as caught:
        from_official(official, golden_config)
    message = str(caught.value)
    assert message.startswith("4 tensors differ from a predictor of this configuration:\n")
    assert "predictor_norm.bias: missing, expected (64,) float32\n" in message
    assert "predictor_pos_embed: unexpected, got (1, 3) float32\n" in message
    assert "predictor_proj.weight: expected (24, 64) float32, got (24, 63) float32\n" in message
    assert "predictor_proj.bias: expected (24,) float32, got (24,) float16\n" in message
    assert message.endswith("Use the preset that this checkpoint was trained with.")


def test_refuses_to_save_weights_of_another_configuration(tmp_path, golden_config, golden_weights):
    with pytest.raises(OfficialCheckpointError, match=r"(?s)12 tensors differ .*predictor_blocks\.2"):
        save_official_predictor(tmp_path / "out.pt", golden_weights, replace(golden_config, depth=3))
    assert list(tmp_path.iterdir()) == []


def test_refuses_the_residual_head(official_file, golden_config):
    with pytest.raises(
        OfficialCheckpointError, match=r"head 'absolute'.*has head 'residual'.*Use the preset"
    ):
        load_official_predictor(official_file, replace(golden_config, head="residual"))


def test_names_what_a_file_without_a_predictor_holds(tmp_path, golden_config):
    torch.save({"encoder": {}, "target_encoder": {}}, tmp_path / "vitg.pt")
    with pytest.raises(
        OfficialCheckpointError, match=r"no key 'predictor'; it has 'encoder', 'target_encoder'\."
    ):
        load_official_predictor(tmp_path / "vitg.pt", golden_config)


def test_names_what_a_file_without_a_mapping_holds(tmp_path, golden_config):
    torch.save(torch.zeros(2), tmp_path / "tensor.pt")
    with pytest.raises(OfficialCheckpointError, match=r"tensor\.pt holds a Tensor; expected a mapping"):
        load_official_predictor(tmp_path / "tensor.pt", golden_config)


def test_refuses_a_file_that_torch_did_not_write(tmp_path, golden_config):
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    message = r"page\.pt cannot be read as tensors and plain values: it is no file of torch\.save"
    with pytest.raises(OfficialCheckpointError, match=message):
        load_official_predictor(tmp_path / "page.pt", golden_config)


class RunsOnLoad:
    def __reduce__(self):
        return (print, ("executed",))


def test_executes_nothing_in_a_file(tmp_path, golden_config, capsys):
    torch.save({"predictor": RunsOnLoad()}, tmp_path / "evil.pt")
    with pytest.raises(OfficialCheckpointError, match="objects that would run code when loaded"):
        load_official_predictor(tmp_path / "evil.pt", golden_config)
    assert capsys.readouterr().out == ""
