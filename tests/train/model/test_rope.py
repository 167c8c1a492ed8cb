import pytest
import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat

from train.rope import rotated_width, rotation_table

CPU = torch.device("cpu")


def angles(table: torch.Tensor) -> torch.Tensor:
    sines, cosines = table.chunk(2, dim=-1)
    return torch.atan2(sines, cosines)


@pytest.mark.parametrize(("head_dim", "expected"), [(64, 20), (80, 26), (32, 10), (24, 8), (6, 2), (4, 0)])
def test_each_axis_takes_an_even_third_of_a_head(head_dim, expected):
    assert rotated_width(head_dim) == expected


def test_frequencies_are_tiled_as_in_the_released_weights():
    column_one = angles(rotation_table(1, 1, 2, 32, CPU))[3]
    expected = torch.tensor([10_000.0 ** (-k / 5) for k in range(5)]).mul(0.5).repeat(2)
    torch.testing.assert_close(column_one[20:30], expected)


def test_the_channels_left_over_are_not_rotated():
    table = angles(rotation_table(4, 3, 3, 32, CPU))
    assert torch.count_nonzero(table[:, 30:]) == 0
    assert torch.count_nonzero(table[:, :30]) > 0


def test_action_and_state_turn_with_time_alone():
    table_TKH = angles(rotation_table(3, 2, 2, 24, CPU)).unflatten(0, (3, 6))
    assert torch.count_nonzero(table_TKH[:, :2, 8:]) == 0
    for token in range(1, 6):
        assert torch.equal(table_TKH[:, token, :8], table_TKH[:, 0, :8])
    assert torch.count_nonzero(table_TKH[1:, :2, :8]) > 0


def test_frame_tokens_run_row_by_row():
    table_KH = angles(rotation_table(1, 2, 2, 24, CPU))[2:]
    rows, columns = table_KH[:, 8], table_KH[:, 16]
    assert rows.tolist() == pytest.approx([0, 0, 1, 1])
    assert columns.tolist() == pytest.approx([0, 1, 0, 1])


def test_columns_are_rescaled_to_the_height_of_the_grid():
    columns = angles(rotation_table(1, 2, 4, 24, CPU))[2:6, 16]
    assert columns.tolist() == pytest.approx([0, 0.5, 1.0, 1.5])


def test_a_zero_position_leaves_a_token_as_it_is():
    tokens = torch.randn(1, 2, 3, 24)
    rotated = apply_rot_embed_cat(tokens, rotation_table(1, 1, 1, 24, CPU))
    assert torch.equal(rotated, tokens)


def test_later_frames_have_the_places_that_they_have_in_the_whole_clip():
    whole = rotation_table(5, 2, 3, 24, CPU)
    assert torch.equal(rotation_table(2, 2, 3, 24, CPU, first_frame=3), whole[3 * 8 :])
