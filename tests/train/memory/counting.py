"""Bytes of tensors on the CPU, counted while code runs: what autograd keeps, and the most that is alive."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Counted:
    num_bytes: int = 0


@contextmanager
def kept_for_backward(parameters: Iterable[torch.Tensor]) -> Iterator[Counted]:
    """Storages that autograd saves, each once, without the parameters' own."""
    known = {tensor.untyped_storage().data_ptr() for tensor in parameters}
    counted, alive = Counted(), []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            counted.num_bytes += storage.nbytes()
        # While it is kept, no other storage can take its address.
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield counted


class Alive(TorchDispatchMode):
    """Bytes of storages that operators have made and nobody has dropped; `peak` is the most there were."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._known = weakref.WeakSet()
        for tensor in tensors:
            self._add(tensor)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        num_bytes = storage.nbytes()
        self.now += num_bytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, num_bytes)

    def _drop(self, num_bytes: int) -> None:
        self.now -= num_bytes
