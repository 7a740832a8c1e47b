"""Where a GPU's time goes, told from a trace as PyTorch writes it for CUDA; and slower links."""

from types import SimpleNamespace

import pytest
import torch

from bench.gpu.parts import breakdown, part_of, spans
from bench.gpu.scale import SMALL
from bench.gpu.slow_link import Link, group_offloading_over
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.slabs.streams import InTurn

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nvjet_hsh_256x128_64x4_1x2_h_bz_coopA_NTT", "matmul"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "matmul"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_i16832gemm_s8_256x128>", "matmul"),
        ("triton_tem_fused_mm_0", "matmul"),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<128>>", "attention"),
        ("fmha_cutlassF_bf16_aligned_64x128_rf_sm80", "attention"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16", "attention"),
        ("qk_int_sv_f8_attn_kernel", "attention"),
        (
            "void at::native::vectorized_elementwise_kernel<4, MulFunctor>",
            "elementwise",
        ),
        ("triton_poi_fused_addmm_mul_scaled_dot_product_attention_3", "elementwise"),
        ("Memcpy DtoD (Device -> Device)", "elementwise"),
        ("Memcpy HtoD (Pinned -> Device)", "copies"),
        ("Memcpy DtoH (Device -> Pageable)", "copies"),
        ("aten::linear", "matmul"),
        ("aten::scaled_dot_product_attention", "attention"),
        ("aten::add_", "elementwise"),
    ],
)
def test_kernels_are_told_apart_by_their_names(name, part):
    assert part_of(name) == part


def event(cat, name, ts, dur, tid=1, correlation=None):
    args = {} if correlation is None else {"correlation": correlation}
    return {
        "ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "pid": 0, "tid": tid,
        "args": args,
    }  # fmt: skip


SECOND = 1e6
"""Of a trace, in its microseconds."""
TRACE = [
    event("user_annotation", "vae", 2 * SECOND, SECOND, tid=9),
    event("cuda_runtime", "cudaLaunchKernel", 0, 10, tid=9, correlation=1),
    event("cuda_driver", "cuLaunchKernel", 2.5 * SECOND, 10, tid=9, correlation=2),
    event("cuda_runtime", "cudaLaunchKernel", 2.5 * SECOND, 10, tid=8, correlation=3),
    event("cuda_runtime", "cudaMemcpyAsync", 20, 10, tid=9, correlation=4),
    event("cpu_op", "aten::linear", 0, 9 * SECOND, tid=9),
    event("kernel", "nvjet_hsh", 1 * SECOND, 2 * SECOND, correlation=1),
    event("kernel", "implicit_convolve_sgemm", 5 * SECOND, 1 * SECOND, correlation=2),
    event("kernel", "triton_poi_fused_add", 5.5 * SECOND, 1 * SECOND, correlation=3),
    event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 2 * SECOND, 2 * SECOND, correlation=4),
    {"ph": "M", "name": "process_name"},
]


def test_a_chunks_time_is_told_by_what_was_at_work():
    assert breakdown(spans(TRACE), 10.0) == {
        "seconds": 10.0,
        "matmul_seconds": 2.0,
        "attention_seconds": 0.0,
        "elementwise_seconds": 1.0,  # launched by another thread, beside the decode
        "vae_seconds": 1.0,
        "copies_seconds": 2.0,
        "idle_share": pytest.approx(0.65),  # kernels at 1..3 and 5..6.5
        "waiting_share": pytest.approx(0.1),  # 3..4: the copy alone
    }


def test_without_a_gpu_operators_that_others_call_are_not_counted_twice():
    trace = [
        event("cpu_op", "aten::linear", 0, SECOND),
        event("cpu_op", "aten::addmm", 0.1 * SECOND, 0.5 * SECOND),
        event("cpu_op", "aten::mul", SECOND, SECOND),
    ]
    assert [span.part for span in spans(trace)] == ["matmul", "elementwise"]


def test_a_slow_link_repeats_the_copies_of_our_slots(monkeypatch):
    copied, link = [], Link()
    monkeypatch.setattr(InTurn, "copy", lambda _self, slot, *_: copied.append(slot))
    order = link.order_on(CPU, 2)
    with link.slowed(3):
        order.copy(0, torch.zeros(1), torch.zeros(1))
    order.copy(1, torch.zeros(1), torch.zeros(1))
    assert copied == [0, 0, 0, 1]


def test_a_model_is_streamed_over_the_link_that_it_is_given(monkeypatch):
    copied, link = [], Link()
    monkeypatch.setattr(InTurn, "copy", lambda _self, slot, *_: copied.append(slot))
    with link.slowed(3):
        cap = SMALL.cap_bytes("half", CPU)
        HeliosModel(SMALL.parts(), CPU, vram_bytes=cap, order_on=link.order_on)
    assert copied == [0, 0, 0, 1, 1, 1]  # the slots are filled at once


def test_a_slow_link_repeats_the_copies_of_group_offloading(monkeypatch):
    from diffusers.hooks.group_offloading import ModuleGroup

    made, link = [], Link()
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda t, **k: made.append(t) or empty_like(t, **k))
    group = SimpleNamespace(onload_device=CPU, non_blocking=False, record_stream=False)
    tensor, source = torch.zeros(3), torch.ones(3)
    with group_offloading_over(link), link.slowed(3):
        ModuleGroup._transfer_tensor_to_device(group, tensor, source, None)
    assert len(made) == 2  # and once as ever
    assert torch.equal(tensor, source)
    ModuleGroup._transfer_tensor_to_device(group, tensor, source, None)
    assert len(made) == 2
