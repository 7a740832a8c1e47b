"""A GPU's record has what only a GPU has, and its schema allows it."""

import json
from pathlib import Path

import jsonschema
import pytest

from node_agent.render.bench.__main__ import measure
from node_agent.render.bench.options import Options
from node_agent.render.helios.recipe import VAES
from tests.node.helios.stock import STOCK_GAMMA

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "bench.schema.json").read_text())


@pytest.mark.gpu
def test_the_record_of_a_gpu(card, model_directory):
    options = Options(
        model=model_directory("distilled", STOCK_GAMMA),
        device=str(card),
        width=64,
        height=64,
        steps=((1, 1, 1),),
        lanes=(1, 2),
        chunks=2,
        threads=1,
    )
    record = measure(options)
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    total = record["card"]["bytes_vram_total"]
    assert all(0 < case["bytes_vram_peak"] <= total for case in record["cases"])
    assert record["card"]["type"] not in ("", "cpu")
    assert [each["precision"] for each in record["decode"]] == list(VAES[:3])
    for case in record["cases"]:
        assert (case["arithmetic"], case["vae"]) == ("bfloat16", "bfloat16")
        # Events on the stream and the wall clock tell of the same passes.
        passes = sum(stage["seconds_per_pass"]["min"] for stage in case["stages"])
        assert 0 < passes < case["seconds_per_round"]["max"]
    assert set(record["copy"]) >= {"bytes_per_second_to_device_pinned", "bytes_copied"}
