"""How fast this device multiplies matrices: the limit of encoder and predictor."""

import torch

from featurize.estimate import counted
from pipeline.bench.rows import Row
from train.step_rate import matmul_rate


class MatrixProducts:
    """Rows of large square products, one a dtype and number of threads, measured when first asked for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._rows: dict[str, Row] = {}

    def row(self, dtype: torch.dtype) -> Row:
        """In `dtype`, and on a CPU with as many threads as torch has at this moment."""
        name = f"products, {str(dtype).removeprefix('torch.')}"
        if self.device.type == "cpu":
            name += f", {counted(torch.get_num_threads(), 'thread')}"
        if name not in self._rows:
            rate = matmul_rate(self.device, dtype)
            self._rows[name] = Row.measured(
                name, rate, "FLOP/s", note="the fastest large square torch.matmul"
            )
        return self._rows[name]

    @property
    def rows(self) -> list[Row]:
        """Those that were asked for."""
        return list(self._rows.values())
