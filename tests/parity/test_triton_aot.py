"""Every Triton kernel compiles ahead of time for A100 (sm_80) and H100 (sm_90), with no GPU.

What a launch would pass is written down here: pointers by what they point to, None as constant.
"""

import os

import pytest

triton = pytest.importorskip("triton", reason="Triton is not installed (attune[gpu])")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from services.policy.engine.cuda.decode_attention import (  # noqa: E402
    attend_part_kernel,
    combine_parts_kernel,
)
from services.policy.engine.cuda.residual_norm import add_rms_norm_kernel  # noqa: E402
from services.policy.engine.cuda.rotation import rotate_and_store_kernel  # noqa: E402
from services.policy.engine.cuda.sampling import draw_kernel  # noqa: E402
from services.policy.engine.cuda.swiglu import swiglu_kernel  # noqa: E402

NUMBERS = {"BLOCK_D": 1024, "BLOCK_M": 1024, "BLOCK_V": 4096, "BLOCK_h": 64, "BLOCK_K": 128,
           "BLOCK_L": 32, "BLOCK_G": 16, "PAGE_TOKENS": 16, "PART_TOKENS": 256, "MAX_PARTS": 32,
           "num_heads": 8, "num_kv_heads": 2, "group": 4, "head_size": 128, "half": 64}  # fmt: skip
KERNELS = {
    "residual norm": (
        add_rms_norm_kernel,
        {"hidden_TD": "*x", "update_TD": "*x", "weight_D": "*x", "normed_TD": "*x",
         "width": "i32", "eps": "fp32"},
    ),
    "first norm": (
        add_rms_norm_kernel,
        {"hidden_TD": "*x", "update_TD": None, "weight_D": "*x", "normed_TD": "*x",
         "width": "i32", "eps": "fp32"},
    ),
    "swiglu": (swiglu_kernel, {"gate_up_T2M": "*x", "gated_TM": "*x", "mlp_width": "i32"}),
    "rotation": (
        rotate_and_store_kernel,
        {"heads_TAK": "*x", "cos_Lh": "*fp32", "sin_Lh": "*fp32", "positions_T": "*i32",
         "table_of_T": "*i32", "tables_SM": "*i32", "pages_per_table": "i32", "query_THK": "*x",
         "keys_NJPK": "*x", "values_NJPK": "*x"},
    ),
    "attention": (
        attend_part_kernel,
        {"query_RHK": "*x", "keys_NJPK": "*x", "values_NJPK": "*x", "tables_RM": "*i32",
         "pages_per_table": "i32", "lengths_R": "*i32", "mixed_RHCK": "*fp32",
         "weight_RHC2": "*fp32", "scale": "fp32"},
    ),
    "attention's parts": (
        combine_parts_kernel,
        {"mixed_RHCK": "*fp32", "weight_RHC2": "*fp32", "lengths_R": "*i32", "mixed_RHK": "*x",
         "num_parts": "i32"},
    ),
    "sampling": (
        draw_kernel,
        {"logits_RV": "*fp32", "blank_GV": None, "bias_BV": "*fp32", "is_allowed_CV": None,
         "settings_SR": "*fp64", "shares_RV": "*fp32", "outcomes_OR": "*fp64",
         "is_kept_RV": None, "logprobs_RV": None, "num_ids": "i32"},
    ),
    "sampling with everything": (
        draw_kernel,
        {"logits_RV": "*fp32", "blank_GV": "*fp32", "bias_BV": "*fp32", "is_allowed_CV": "*u8",
         "settings_SR": "*fp64", "shares_RV": "*fp32", "outcomes_OR": "*fp64",
         "is_kept_RV": "*u8", "logprobs_RV": "*fp32", "num_ids": "i32"},
    ),
}  # fmt: skip


def source_of(kernel, arguments, dtype):
    """`dtype` stands in for x."""
    assert set(kernel.arg_names) == arguments.keys() | (NUMBERS.keys() & set(kernel.arg_names))
    signature = {
        name: (arguments.get(name) or "constexpr").replace("x", dtype, 1)
        if arguments.get(name) == "*x"
        else arguments.get(name) or "constexpr"
        for name in kernel.arg_names
    }
    constants = {name: NUMBERS.get(name) for name, kind in signature.items() if kind == "constexpr"}
    return ASTSource(kernel, signature, constants)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_compile_ahead_of_time(name, capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, arguments = KERNELS[name]
    dtype = "bf16" if capability == 90 else "fp32"
    compiled = triton.compile(
        source_of(kernel, arguments, dtype), target=GPUTarget("cuda", capability, 32)
    )
    assert f".target sm_{capability}" in compiled.asm["ptx"]
    assert compiled.asm["cubin"][:4] == b"\x7fELF"
