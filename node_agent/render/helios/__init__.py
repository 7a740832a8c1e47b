"""Helios, rendered chunk by chunk.

diffusers supplies the transformer, the VAE and the noise schedules; the loop over chunks is our
own, because the stock pipelines can neither stream, resume, cancel nor trim exactly. On the same
machine it gives their pictures bit for bit. A chunk is made from top to bottom by

    recipe    what a clip asks of its variant: steps per stage, guidance, a doubled first chunk
    prompts   text to embeddings, once per clip
    noise     every random number of a clip, from one CPU generator
    history   what a chunk sees of the frames before it
    guidance  one denoising pass: the transformer, with and without the prompt
    stages    the passes of a chunk: a pyramid of sizes (Distilled, Mid) or one size (Base)
    decode    latents to uint8 frames
    clip      the loop that puts these together, and its resume
    model     the parts in memory, on one device
    parts     where they come from: a verified directory
    renderer  a model on a device, serving clip after clip
    tiny      a complete model of random weights, built on the spot
    random_weights  the parts of a full-size model without files: true speed, no picture
"""

import os

# Models are local, verified directories: nothing here may ask a hub. Read at import by the library.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
