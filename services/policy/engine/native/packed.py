"""Weights packed for the kernels, and threads to run them. Legend: M rows, N outputs, K inputs."""

from ctypes import c_void_p
from enum import IntEnum
from functools import cached_property
from weakref import finalize

import torch
from torch import Tensor

from services.policy.engine.native.library import library


class Precision(IntEnum):
    """Of weights; sums are float32. int8 has a scale per output."""

    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2


class Crew:
    """Threads that share each kernel's work; they start when they first have some."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads

    @cached_property
    def handle(self) -> c_void_p:
        """What the kernels know them by."""
        handle = c_void_p(library().attune_crew_new(self.num_threads))
        finalize(self, library().attune_crew_free, handle)
        return handle

    def lend(self, num_threads: int) -> None:
        """Leaves the cores of so many threads to others, but for one; results are the same. Only
        while no kernel runs."""
        library().attune_crew_lend(self.handle, num_threads)


class PackedLinear:
    """y = x · weightᵀ (+ bias), each row's result independent of the others."""

    def __init__(self, weight_NK: Tensor, bias_N: Tensor | None, precision: Precision) -> None:
        weight_NK = weight_NK.detach().float().contiguous()
        self.num_outputs, self.num_inputs = weight_NK.shape
        if self.num_inputs % 16:
            raise ValueError(f"{self.num_inputs} inputs; the kernels take multiples of 16")
        self.bias_N = None if bias_N is None else bias_N.detach().float().contiguous()
        self.handle = c_void_p(
            library().attune_matrix_new(
                weight_NK.data_ptr(), self.num_outputs, self.num_inputs, precision
            )
        )
        finalize(self, library().attune_matrix_free, self.handle)

    def __call__(self, input_MK: Tensor, crew: Crew) -> Tensor:
        input_MK = input_MK.contiguous()
        output_MN = torch.empty(len(input_MK), self.num_outputs)
        bias = None if self.bias_N is None else self.bias_N.data_ptr()
        library().attune_linear(
            crew.handle, self.handle, bias, input_MK.data_ptr(), len(input_MK), output_MN.data_ptr()
        )
        return output_MN
