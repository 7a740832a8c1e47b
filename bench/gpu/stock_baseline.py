"""Stock diffusers Helios on a GPU: the baseline that every claim of speed is held against.

    python bench/gpu/stock_baseline.py --out stock.json           # full size, random weights
    python bench/gpu/stock_baseline.py --tiny --out stock.json    # on a CPU: does the script work?

Nothing is downloaded: random weights of full size tell speed and memory, not quality. A steady
chunk (33 frames, VAE decode included) is the difference between a clip of one chunk and a longer
one, without amplification, so that all chunks cost the same; a first clip warms up and does not
count. Offloaded is diffusers' group offloading of the transformer, leaf by leaf with a stream; the
VAE stays on the card. The file is written anew after each case: what is measured is kept when a
machine is taken away.
"""

import argparse
import gc
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from diffusers import HeliosDMDScheduler, HeliosPyramidPipeline

from node_agent.files import write_atomic
from node_agent.models import ModelError
from node_agent.render.bench import about
from node_agent.render.bench.figures import REPEATS_MIN, Record, figure
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.bench.options import numbers
from node_agent.render.helios.group_offload import STREAMED_BYTES, Offload, pinned_bytes
from node_agent.render.helios.model import hide_progress_bars
from node_agent.render.helios.placement import WORKING_BYTES, Room, room
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.renderer import CHUNK_FRAMES

TINY = {"num_attention_heads": 2, "text_dim": 32, "ffn_dim": 64, "num_layers": 2}
TINY_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
STOCK_GAMMA = 0.3333
"""With the real 1/3 the stock code's factorisation may raise."""
PROMPT_TOKENS = 512


def main() -> int:
    """Measure each placement with each setting of steps."""
    options = _options()
    device = torch.device("cuda:0" if torch.cuda.is_available() and not options.tiny else "cpu")
    if device.type == "cpu" and not options.tiny:
        print(f"torch {torch.__version__} sees no CUDA device; --tiny runs on a CPU")
        return 1
    hide_progress_bars()
    record: Record = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.argv]),
        "card": about.card(device),
        "host": about.host(),
        "versions": about.versions(),
        "weights": "random weights, tiny" if options.tiny else "random weights, full size",
        "cases": [],
    }
    for placement in options.placements:
        try:
            pipeline = build(options, device, Offload(placement))
        except ModelError as error:
            print(f"{placement}: {error}", flush=True)
            continue
        for steps in options.steps:
            case = {"placement": placement, **measure(pipeline, device, steps, options)}
            print(json.dumps(case), flush=True)
            record["cases"].append(case)
            write_atomic(options.out, json.dumps(record, indent=2).encode() + b"\n")
        del pipeline
        gc.collect()
        torch.cuda.empty_cache()
    return 0 if record["cases"] else 1


def build(options: argparse.Namespace, device: torch.device, placement: Offload) -> Any:
    """The stock pipeline, without a text encoder. Raises `ModelError` where it does not fit."""
    dtype = torch.float32 if options.tiny else torch.bfloat16
    parts = RandomWeights(TINY, TINY_VAE) if options.tiny else RandomWeights()
    if device.type == "cuda":
        check_room(parts.transformer_bytes(dtype), room(device), placement)
    home = device if placement is Offload.RESIDENT else torch.device("cpu")
    pipeline = HeliosPyramidPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=parts.vae().to(device, getattr(torch, options.vae)).eval(),
        transformer=parts.transformer(dtype, home).eval(),
        scheduler=HeliosDMDScheduler(use_dynamic_shifting=True, gamma=STOCK_GAMMA),
        is_distilled=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    if placement is not Offload.RESIDENT:
        pipeline.transformer.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=device.type == "cuda",
            record_stream=device.type == "cuda",
            low_cpu_mem_usage=placement is Offload.PAGEABLE,
        )
    return pipeline


def check_room(size: int, free: Room, placement: Offload) -> None:
    """Raise `ModelError`, with numbers, where the transformer does not fit in this placement."""
    if placement is Offload.RESIDENT:
        vram, ram = size, 0  # made there
    else:
        vram, ram = STREAMED_BYTES, pinned_bytes(size)
    if vram + WORKING_BYTES > free.vram or ram > free.ram:
        raise ModelError(
            f"the transformer ({size / 1e9:.1f} GB) takes {(vram + WORKING_BYTES) / 1e9:.1f} GB of"
            f" the card's memory and {ram / 1e9:.1f} GB of the host's;"
            f" {free.vram / 1e9:.1f} and {free.ram / 1e9:.1f} GB are free"
        )


def measure(
    pipeline: Any, device: torch.device, steps: tuple[int, ...], options: argparse.Namespace
) -> Record:
    """One case."""
    clip_seconds(pipeline, device, steps, 1, options)
    with MemoryWatch(device) as memory:
        steady = [
            (
                clip_seconds(pipeline, device, steps, 1 + options.chunks, options)
                - clip_seconds(pipeline, device, steps, 1, options)
            )
            / options.chunks
            for _ in range(options.repeats)
        ]
    seconds = figure(steady)
    return {
        "steps": list(steps),
        "vae": options.vae,
        "seconds_per_chunk": seconds,
        "frames_per_second": CHUNK_FRAMES / seconds["median"],
        **memory.record(),
    }


def clip_seconds(
    pipeline: Any,
    device: torch.device,
    steps: tuple[int, ...],
    chunks: int,
    options: argparse.Namespace,
) -> float:
    """Wall time of a whole clip."""
    transformer = pipeline.transformer
    generator = torch.Generator("cpu").manual_seed(7)
    shape = (1, PROMPT_TOKENS, transformer.config.text_dim)
    embeddings = torch.randn(shape, generator=generator).to(device, transformer.dtype)
    width, height = (64, 64) if options.tiny else (640, 384)
    began = time.perf_counter()
    pipeline(
        prompt_embeds=embeddings,
        height=height,
        width=width,
        num_frames=CHUNK_FRAMES * chunks,
        guidance_scale=1.0,
        pyramid_num_inference_steps_list=list(steps),
        is_amplify_first_chunk=False,
        generator=generator,
        output_type="pt",
    )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure stock diffusers Helios.")
    parser.add_argument("--tiny", action="store_true", help="a small model, on a CPU")
    parser.add_argument("--steps", type=numbers, action="append", help="default: 1,1,1 and 2,2,2")
    parser.add_argument("--placements", type=lambda text: text.split(","))
    parser.add_argument("--vae", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--chunks", type=int, default=3, help="steady chunks of the longer clip")
    parser.add_argument("--repeats", type=int, default=REPEATS_MIN)
    parser.add_argument("--out", type=Path, default=Path("stock.json"))
    options = parser.parse_args()
    options.steps = options.steps or [(1, 1, 1), (2, 2, 2)]
    everywhere = ["resident"] if options.tiny else ["resident", "pinned"]
    options.placements = options.placements or everywhere
    return options


if __name__ == "__main__":
    sys.exit(main())
