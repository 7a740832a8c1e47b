"""Writes docs/batch.schema.json: `python tools/batch_schema.py`."""

from __future__ import annotations

from pathlib import Path

from farm.client.batch_schema import SCHEMA_NAME, schema_text

if __name__ == "__main__":
    (Path(__file__).parents[1] / "docs" / SCHEMA_NAME).write_text(schema_text(), encoding="utf-8")
