"""Tokenizer and text encoder of the caption language.

The encoder learns its captions before the transformer does: that "red" is the ground's colour in
one place and the shape's in another is hard to find out through noise, and easy by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

from node_agent.models import MAX_PROMPT_TOKENS
from node_agent.render.helios import tiny_tokenizer

from .captions import caption, corpus, training_scene
from .learner import Learner, numbers
from .plan import Plan
from .world import COLOURS, MOTIONS, SHAPES

STAGE = 4
"""Of the random numbers."""
TOKENS_MULTIPLE = 4
"""Captions are 9 to 12 tokens long: all batches have one shape, and are compiled once."""
ANSWERS = (SHAPES, tuple(COLOURS), tuple(COLOURS), MOTIONS)
"""What a content's shape, colour, ground and motion may be."""


def build_tokenizer() -> T5TokenizerFast:
    """A Unigram tokenizer whose pieces are the words of the captions, and single letters."""
    return T5TokenizerFast(
        tokenizer_object=tiny_tokenizer.train(corpus()),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_ids=0,
        model_max_length=MAX_PROMPT_TOKENS,
    )


def build_text_encoder(vocabulary: int, dim: int, layers: int) -> UMT5EncoderModel:
    """A UMT5 encoder of random weights."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=dim,
            d_kv=dim // 4,
            d_ff=2 * dim,
            num_layers=layers,
            num_heads=4,
            relative_attention_num_buckets=16,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


def build_heads(dim: int) -> nn.ModuleList:
    """What guesses a caption's content from any one of its tokens; for training alone."""
    return nn.ModuleList(nn.Linear(dim, len(answers)) for answers in ANSWERS)


def train_words(
    encoder: UMT5EncoderModel, heads: nn.ModuleList, tokenizer: Any, learner: Learner, plan: Plan
) -> float:
    """One step, after which tokens know more of their whole caption; the loss it began from."""
    rng, _ = numbers(plan.seed, STAGE, learner.step)
    contents = [training_scene(rng).content for _ in range(plan.captions)]
    told = [caption(content, rng) for content in contents]
    inputs = tokenizer(told, padding=True, return_tensors="pt")
    states = encoder(inputs.input_ids, inputs.attention_mask).last_hidden_state
    seen = inputs.attention_mask.bool()
    losses = []
    for head, answers, parts in zip(heads, ANSWERS, zip(*contents, strict=True), strict=True):
        right = torch.tensor([answers.index(part) for part in parts])
        each_token = right[:, None].expand(seen.shape)[seen]
        losses.append(cross_entropy(head(states[seen]), each_token))
    return learner.learn(torch.stack(losses).sum())


@dataclass(frozen=True, slots=True)
class Words:
    """Encoded captions of a batch, as cross-attention sees them.

    A prompt is padded with zeros to 512 tokens that nothing masks. All padding is alike, so one
    such token stands for all, with the logarithm of their number added to its attention: equal,
    and fifty times less work.
    """

    states: Tensor
    """(captions, longest + 1, dimension); zeros from a caption's end on."""
    bias: Tensor
    """(captions, 1, 1, longest + 1), added to the logits of attention."""


def encode_captions(encoder: UMT5EncoderModel, tokenizer: Any, captions: Sequence[str]) -> Words:
    """Encode a batch of captions, with gradients where they are on."""
    inputs = tokenizer(
        list(captions), padding=True, pad_to_multiple_of=TOKENS_MULTIPLE, return_tensors="pt"
    )
    mask = inputs.attention_mask
    states = encoder(inputs.input_ids, mask).last_hidden_state * mask[..., None]
    states = torch.nn.functional.pad(states, (0, 0, 0, 1))
    bias = torch.zeros(len(captions), states.shape[1])
    bias[:, :-1].masked_fill_(mask == 0, float("-inf"))
    bias[:, -1] = torch.log(MAX_PROMPT_TOKENS - mask.sum(1))
    return Words(states, bias[:, None, None])
