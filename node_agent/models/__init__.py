"""Models and LoRAs: local directories whose every file matches a manifest.

    info       a model's shape, read from its JSON configurations
    manifest   what a directory must hold; its digest is the model's identity
    verify     a directory held against its manifest
    stamps     hashes remembered, so that 80 GB are read once
    catalog    the models under one directory
    staging    a directory that is there whole or not at all
    sources    where pinned models are read from: a neighbour, any web server, S3
    fetch      a pinned model from a source, file by file, each verified
    hub        the files that a pipeline needs, from a commit of a model hub
    swarm      from node to node, piece by piece
    serve      a node's models, read-only, for its neighbours

What loads a model needs no more than the names below; the rest is imported where it is used.
"""

from node_agent.models.info import MAX_PROMPT_TOKENS, ModelError, ModelInfo, describe
from node_agent.models.manifest import (
    LORA,
    MANIFEST_NAME,
    MODEL,
    Manifest,
    ModelFile,
    load_manifest,
)
from node_agent.models.verify import (
    Problem,
    load_verified,
    load_verified_lora,
    verify,
    write_manifest,
)

__all__ = [
    "LORA",
    "MANIFEST_NAME",
    "MAX_PROMPT_TOKENS",
    "MODEL",
    "Manifest",
    "ModelError",
    "ModelFile",
    "ModelInfo",
    "Problem",
    "describe",
    "load_manifest",
    "load_verified",
    "load_verified_lora",
    "verify",
    "write_manifest",
]
