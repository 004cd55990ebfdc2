"""A decode step in ONNX Runtime, float32, with its fused operators of com.microsoft.

GroupQueryAttention (which rotates, keeps keys and values in place, and attends),
SkipSimplifiedLayerNormalization (sum and RMSNorm) and QuickGelu (SiLU at alpha 1).
Legend: B sequences, J key-value heads, K head size.
"""

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from models.decoder import Rotation
from models.omni import OmniModel
from tests.bench.kernels.products import session_of
from tests.bench.kernels.shapes import CACHED_TOKENS, LayerWeights, layer_weights
from tests.bench.kernels.timing import Way

_FUSED = "com.microsoft"


def onnx_step(model: OmniModel, ids_B: Tensor, threads: int) -> Way:
    """logits_BV after one more token each."""
    config, num_rows = model.config.decoder, len(ids_B)
    session = session_of(_Graph(model, num_rows).built(), threads)
    binding = session.io_binding()
    shape = (num_rows, config.num_kv_heads, CACHED_TOKENS + 1, config.head_size)
    for index in range(config.num_layers):
        for name in ("key", "value"):
            cache = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
            binding.bind_ortvalue_input(f"past_{name}_{index}", cache)
            binding.bind_ortvalue_output(f"present_{name}_{index}", cache)
    binding.bind_cpu_input("ids", ids_B[:, None].numpy())
    binding.bind_output("logits")

    def call() -> Tensor:
        session.run_with_iobinding(binding)
        return torch.from_numpy(binding.get_outputs()[-1].numpy())[:, 0]

    return call


class _Graph:
    def __init__(self, model: OmniModel, num_rows: int) -> None:
        self._model, self._config, self._num_rows = model, model.config.decoder, num_rows
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def built(self) -> onnx.ModelProto:
        """The whole step; `logits` is its last output."""
        model, config = self._model, self._config
        embedding = self._constant("embedding", model.language_model.embed_tokens.weight)
        self._add_positions()
        hidden = self._add("Gather", [embedding, "ids"])
        layers = layer_weights(model)
        normed = self._add(
            "SimplifiedLayerNormalization",
            [hidden, self._constant("first_norm", layers[0].input_norm)],
            epsilon=config.norm_eps,
            axis=-1,
        )
        following = [layer.input_norm for layer in layers[1:]] + [model.language_model.norm.weight]
        for index, (layer, norm) in enumerate(zip(layers, following, strict=True)):
            hidden, normed = self._add_layer(index, layer, norm, hidden, normed)
        head = self._constant("head", model.text_head_VD.T)
        self._nodes.append(helper.make_node("MatMul", [normed, head], ["logits"]))
        return self._finished()

    def _add_positions(self) -> None:
        rotation = Rotation(torch.arange(CACHED_TOKENS + 1)[None], self._config)
        half = self._config.head_size // 2
        self._constant("cos", rotation.cos_B1LK[0, 0, :, :half])
        self._constant("sin", rotation.sin_B1LK[0, 0, :, :half])
        self._constant("last_position", np.full(self._num_rows, CACHED_TOKENS, np.int32))
        self._constant("num_tokens", np.array(CACHED_TOKENS + 1, np.int32))

    def _add_layer(
        self, index: int, layer: LayerWeights, next_norm: Tensor, hidden: str, normed: str
    ) -> tuple[str, str]:
        """(hidden, what the next layer's norm makes of it)."""
        qkv = self._add_product(f"qkv_{index}", normed, layer.qkv)
        mixed = self._add_attention(index, qkv)
        added = self._add_product(f"output_{index}", mixed, layer.output)
        hidden, normed = self._add_norm(f"post_norm_{index}", hidden, added, layer.post_norm)
        fused = self._add_product(f"gate_up_{index}", normed, layer.gate_up)
        gate, up = f"gate_of_{index}", f"up_of_{index}"
        self._nodes.append(helper.make_node("Split", [fused], [gate, up], axis=-1, num_outputs=2))
        opened = self._add("QuickGelu", [gate], domain=_FUSED, alpha=1.0)
        let_through = self._add("Mul", [opened, up])
        added = self._add_product(f"down_{index}", let_through, layer.down)
        return self._add_norm(f"next_norm_{index}", hidden, added, next_norm)

    def _add_attention(self, index: int, qkv: str) -> str:
        past = [f"past_{name}_{index}" for name in ("key", "value")]
        present = [f"present_{name}_{index}" for name in ("key", "value")]
        mixed = f"mixed_{index}"
        node = helper.make_node(
            "GroupQueryAttention",
            [qkv, "", "", *past, "last_position", "num_tokens", "cos", "sin"],
            [mixed, *present],
            domain=_FUSED,
            num_heads=self._config.num_heads,
            kv_num_heads=self._config.num_kv_heads,
            do_rotary=1,
        )
        self._nodes.append(node)
        return mixed

    def _add_norm(self, name: str, hidden: str, added: str, weight: Tensor) -> tuple[str, str]:
        total, normed = f"{name}_total", f"{name}_normed"
        node = helper.make_node(
            "SkipSimplifiedLayerNormalization",
            [hidden, added, self._constant(name, weight)],
            [normed, "", "", total],
            domain=_FUSED,
            epsilon=self._config.norm_eps,
        )
        self._nodes.append(node)
        return total, normed

    def _add_product(self, name: str, rows: str, weight_NK: Tensor) -> str:
        return self._add("MatMul", [rows, self._constant(name, weight_NK.T)])

    def _add(self, kind: str, inputs: list[str], domain: str = "", **attributes: object) -> str:
        output = f"{kind}_{len(self._nodes)}"
        node = helper.make_node(kind, inputs, [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def _constant(self, name: str, values: Tensor | NDArray[np.generic]) -> str:
        array = np.ascontiguousarray(values) if isinstance(values, Tensor) else values
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def _finished(self) -> onnx.ModelProto:
        config, rows = self._config, self._num_rows
        caches = [f"{n}_{i}" for i in range(config.num_layers) for n in ("key", "value")]
        shape = [rows, config.num_kv_heads, CACHED_TOKENS + 1, config.head_size]
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [rows, 1])
        logits = helper.make_tensor_value_info(
            "logits", TensorProto.FLOAT, [rows, 1, config.vocab_size]
        )
        past, present = (
            [helper.make_tensor_value_info(f"{when}_{c}", TensorProto.FLOAT, shape) for c in caches]
            for when in ("past", "present")
        )
        graph = helper.make_graph(
            self._nodes, "step", [ids, *past], [*present, logits], self._constants
        )
        domains = [helper.make_opsetid("", 21), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=domains)
