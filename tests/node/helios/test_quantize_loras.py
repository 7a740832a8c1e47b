"""LoRAs with a lossy profile: added to whole weights, which lose bits after it."""

import shutil
import warnings

import pytest
import torch
from diffusers import HeliosPyramidPipeline, HeliosTransformer3DModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from node_agent.models import write_manifest
from node_agent.render.helios import tiny
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.profiles import FAST
from node_agent.render.renderer import LoraUse
from tests.node.helios.small import SMALL
from tests.node.helios.test_helios_loras import TARGETS

CPU = torch.device("cpu")
USES = (LoraUse(name="noir", scale=0.7), LoraUse(name="toon", scale=-0.5))


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """A model of five blocks, and a directory with two LoRAs for it."""
    folder = tmp_path_factory.mktemp("five")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "_transformer", lambda: HeliosTransformer3DModel(**SMALL).eval())
        tiny.build_tiny(folder / "model")
    for seed, use in enumerate(USES):
        transformer = stock_of(folder / "model")
        torch.manual_seed(seed)
        config = LoraConfig(
            r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False, lora_bias=seed == 1
        )
        transformer.add_adapter(config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of biases, which have one dimension
            weights = get_peft_model_state_dict(transformer)
        HeliosPyramidPipeline.save_lora_weights(folder / "loras" / use.name, weights)
        write_manifest(folder / "loras" / use.name, name=use.name, revision=f"seed {seed}")
    return folder


def stock_of(directory, dtype=torch.float32):
    return HeliosTransformer3DModel.from_pretrained(directory, subfolder="transformer", dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("streamed", [False, True])
def test_weights_are_those_of_fusing_first_and_quantising_then(five, tmp_path, dtype, streamed):
    fused = stock_of(five / "model", dtype)
    for use in USES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the second one
            weights = HeliosPyramidPipeline.lora_state_dict(five / "loras" / use.name)
            fused.load_lora_adapter(weights, adapter_name=use.name)
    fused.set_adapters([use.name for use in USES], [use.scale for use in USES])
    fused.fuse_lora(adapter_names=[use.name for use in USES])
    fused.unload_lora()
    copy = tmp_path / "model"
    shutil.copytree(five / "model", copy)
    shutil.rmtree(copy / "transformer")
    fused.save_pretrained(copy / "transformer")
    write_manifest(copy, name="fused", revision="by diffusers")

    options = {"dtype": dtype, "profile": FAST, "vram_bytes": 6 << 30, "streamed": streamed}
    ours = HeliosModel(five / "model", CPU, loras=five / "loras", **options)
    ours.use(FAST, USES)
    theirs = HeliosModel(copy, CPU, **options)
    for mine, other in zip(*(weights_of(each) for each in (ours, theirs)), strict=True):
        assert mine[0] == other[0]
        assert torch.equal(mine[1], other[1]), mine[0]


def weights_of(model):
    """All of a model's weights and their parts, in order."""
    parted = Parted.of(model.transformer)
    named = [
        (f"{n}.{name}", t) for n, block in enumerate(parted.blocks) for name, t in block.items()
    ]
    named += [*parted.fixed.items(), *model.projections.named_parameters()]
    for name, tensor in named:
        if hasattr(tensor, "qdata"):
            yield f"{name}.qdata", tensor.qdata
            yield f"{name}.scale", tensor.scale
        else:
            yield name, tensor.data
