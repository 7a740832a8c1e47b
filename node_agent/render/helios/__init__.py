"""Helios, rendered chunk by chunk.

diffusers supplies the classes, the weights' format and the noise schedules; the loop over chunks is
our own, because the stock pipelines can neither stream, resume, cancel, batch reproducibly nor trim
exactly. On the same machine it gives their pictures bit for bit. A chunk is made from top to bottom
by

    recipe           what a clip asks of its variant: quality, steps, guidance, precision
    inputs           pictures and videos to start from: checked, decoded within limits
    prompts          text to embeddings, with the text encoder there only while it works
    prompt_track     which prompt holds for which chunk: schedules, blends, changes on the way
    cross_attention  a prompt's keys and values in every block, once
    noise            every random number of a clip, from one CPU generator
    start            what an image or video puts before a clip
    history          what a chunk sees of the frames before it, and how a checkpoint brings it back
    transformer      the stock transformer with a leaner forward, equal to the last bit
    guidance         one denoising pass of some lanes, with and without their prompts
    stages           the passes of a chunk: a pyramid of sizes (Distilled, Mid) or one (Base)
    decode           latents to uint8 frames
    tiny_vae         a small decoder for previews
    clip             a clip's state between two chunks
    lanes            one chunk of one or several clips, in lockstep

and the model they work with by

    model            its parts in memory, on one device
    card             copies and clock of that device, for which neither it nor the host waits
    parts            where they come from: a verified directory
    placement        where its weights live: on the card, or in part on the host
    slabs            blocks that are streamed from the host
    group_offload    diffusers' own way of streaming, for the text encoder
    loras            small changes of its weights
    quantize         weights in fewer bits: which they are, their places and numbers
    low_bits         torchao's tensors of such weights, and the products with them
    device           whether a device can render
    offer            which profiles it offers of a model
    survey           what each profile needs, and what it gets on this machine
    text_encoder     its largest guest, for the time of a `with` block
    embeddings       what the text encoder gave, as files
    renderer         all of it behind the interface that the render child knows
    tiny             a complete small model of random weights, built on the spot
    random_weights   the parts of a full-size model without files: true speed, no picture
    convert          a stock download cast to the farm's own, shard by shard
"""

import logging
import os

# That torchao is here for our own use makes others look for kernels and classes that we do not use.
for _name in ("torchao", "diffusers.quantizers.torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)

# Models are local, verified directories: nothing here may ask a hub. Read at import by the library.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
