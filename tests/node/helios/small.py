"""A transformer and a VAE that are made in no time: arguments of the stock classes."""

from __future__ import annotations

from node_agent.render.helios.tiny import TEXT_DIM

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "rope_dim": (4, 4, 4),
    "text_dim": TEXT_DIM,
    "ffn_dim": 48,
    "num_layers": 5,
}
SMALL_VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
