"""What a quality means is one thing: at submission, on a node, and in what users read."""

import pytest

from farm.cli.submit import submit
from farm.domain.quality import STAGES, STEPS, presets
from farm.domain.rows import RowChecker
from farm.domain.values import QUALITIES, Limits
from node_agent.models import ModelInfo
from node_agent.render.helios.recipe import preset_steps

DISTILLED = Limits(stages=3, presets=presets("distilled", 3))


def info(variant: str) -> ModelInfo:
    return ModelInfo(
        variant=variant, layers=2, heads=2, head_dim=12, ffn_dim=48, text_dim=32, max_tokens=512,
        default_steps=presets(variant, STAGES[variant])["standard"], default_guidance_scale=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("variant", STEPS)
@pytest.mark.parametrize("quality", QUALITIES)
def test_farm_and_node_take_the_same_steps(variant, quality):
    ours = presets(variant, STAGES[variant])
    assert ours.keys() == set(QUALITIES)
    assert preset_steps(quality, info(variant)) == ours[quality]


def test_the_help_of_submit_states_each():
    text = submit.__doc__ or ""
    for variant, steps in STEPS.items():
        for quality in ("draft", "standard"):
            assert ",".join([str(steps[quality])] * STAGES[variant]) in text
    assert all(quality in text for quality in QUALITIES)


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({}, (2, 2, 2)),
        ({"quality": "draft"}, (1, 1, 1)),
        ({"quality": "exact"}, (2, 2, 2)),
        ({"quality": "draft", "steps": "3,2,1"}, (3, 2, 1)),
    ],
)
def test_a_row_without_steps_gets_those_of_its_quality(fields, steps):
    checker = RowChecker(batch_name="b", limits=DISTILLED)
    [clip] = checker.check([(1, {"prompt": "A fox", **fields})])
    assert clip.spec.steps == steps


def test_without_a_known_model_steps_stay_the_card_s_affair():
    [clip] = RowChecker(batch_name="b").check([(1, {"prompt": "A fox", "quality": "draft"})])
    assert clip.spec.steps == ()
