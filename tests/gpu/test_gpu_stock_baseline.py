"""The baseline's script works, so that a machine that is lent for minutes is not spent on it."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu" / "stock_baseline.py"


def test_it_measures_a_tiny_model_on_a_cpu(tmp_path):
    out = tmp_path / "stock.json"
    words = ["--tiny", "--steps", "1,1,1", "--chunks", "1", "--out", str(out)]
    subprocess.run([sys.executable, SCRIPT, *words], check=True, capture_output=True)
    record = json.loads(out.read_text())
    [case] = record["cases"]
    assert (case["placement"], case["steps"]) == ("resident", [1, 1, 1])
    assert case["seconds_per_chunk"]["count"] == 2
    assert case["bytes_rss_peak"] > 0
    assert record["versions"]["diffusers"]
