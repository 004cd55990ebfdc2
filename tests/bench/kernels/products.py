"""One product of a step by itself, once for each layer's weights, as a step streams them.

Legend: M rows, N outputs, K inputs.
"""

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from services.policy.engine.native.packed import Crew, PackedLinear, Precision
from tests.bench.kernels.shapes import DTYPES
from tests.bench.kernels.timing import Way


def product_ways(
    weights_NK: list[Tensor], num_rows: int, dtype: str, threads: int
) -> dict[str, Way]:
    """A call multiplies the same rows with each matrix. ONNX Runtime has no bfloat16 product."""
    rows_MK = torch.randn(num_rows, weights_NK[0].shape[1])
    ways = {
        "ours": _ours(weights_NK, rows_MK, dtype, threads),
        "torch": _torch(weights_NK, rows_MK, dtype, is_compiled=False),
        "compiled": _torch(weights_NK, rows_MK, dtype, is_compiled=True),
    }
    if dtype == "float32":
        ways["onnxruntime"] = _onnx(weights_NK, rows_MK, threads)
    return ways


def _ours(weights_NK: list[Tensor], rows_MK: Tensor, dtype: str, threads: int) -> Way:
    crew = Crew(threads)
    packed = [PackedLinear(weight, None, Precision[dtype.upper()]) for weight in weights_NK]
    return lambda: [linear(rows_MK, crew) for linear in packed]


class _Products(torch.nn.Module):
    def __init__(self, weights_NK: list[Tensor]) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(weights_NK)

    def forward(self, rows_MK: Tensor) -> list[Tensor]:
        return [functional.linear(rows_MK, weight_NK) for weight_NK in self.weights]


def _torch(weights_NK: list[Tensor], rows_MK: Tensor, dtype: str, is_compiled: bool) -> Way:
    """Compiled, the weights are constants, which inductor packs beforehand."""
    kind = DTYPES[dtype]
    module = _Products([weight.to(kind) for weight in weights_NK]).requires_grad_(False).eval()
    rows_MK = rows_MK.to(kind)
    run = (
        torch.compile(module, dynamic=False, options={"freezing": True}) if is_compiled else module
    )

    def call() -> object:
        with torch.no_grad():
            return run(rows_MK)

    return call


def _onnx(weights_NK: list[Tensor], rows_MK: Tensor, threads: int) -> Way:
    num_rows, width = rows_MK.shape
    names = [f"product_{i}" for i in range(len(weights_NK))]
    nodes = [helper.make_node("MatMul", ["rows", f"{name}_weight"], [name]) for name in names]
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(weight.numpy().T), f"{name}_weight")
        for name, weight in zip(names, weights_NK, strict=True)
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [num_rows, len(weight)])
        for name, weight in zip(names, weights_NK, strict=True)
    ]
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [num_rows, width])
    graph = helper.make_graph(nodes, "products", [rows], outputs, constants)
    session = session_of(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), threads
    )
    binding = session.io_binding()
    binding.bind_cpu_input("rows", rows_MK.numpy())
    for name in names:
        binding.bind_output(name)
    return lambda: session.run_with_iobinding(binding)


def session_of(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """With all of its graph's optimisations, which fold, fuse and pack."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between two calls
    model.ir_version = min(model.ir_version, 10)
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
