"""The JSON Schema of a submission as a document, made of what reads it; editors complete by it.

Values may be numbers or texts, for YAML's scalars are taken as they are written. Rows may have
columns of their own, in any case; a batch has no others than those named here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from farm.client.batch_section import (
    BUDGETS,
    EVERY_MAX,
    NEEDS,
    PAUSE_AFTER_MAX,
    PRIORITY_MAX,
    SECTION_FIELDS,
)
from farm.client.head import PARTS
from farm.domain.columns import FIELDS
from farm.domain.schedule import BLEND_CHUNKS_MAX
from farm.domain.values import MODES, QUALITIES, SEED_MAX, Limits

SCHEMA_NAME: Final = "batch.schema.json"

_LIMITS: Final = Limits()
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_FLAG: Final = {"enum": [True, False, "yes", "no"]}
_NUMBER: Final = {"type": ["number", "string"]}


def schema() -> dict[str, Any]:
    """The schema, JSON Schema 2020-12."""
    parts = {
        "batch": _closed(_BATCH, "What is said of the batch as a whole, as by `farm submit`."),
        "defaults": {"$ref": "#/$defs/fields", "description": "Of all clips that say no other."},
        "templates": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/fields"},
            "description": "Named sets of fields; a clip takes one by `template: NAME`.",
        },
        "variables": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            "description": "What {name} stands for in prompts where the clip has no such column.",
        },
        "wedge": {"$ref": "#/$defs/wedge"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A batch of clips for Heliostat",
        "anyOf": [
            {"$ref": "#/$defs/clips"},
            {
                "type": "object",
                "properties": {**{part: parts[part] for part in PARTS}, "clips": _ref("clips")},
                "required": ["clips"],
                "additionalProperties": False,
            },
        ],
        "$defs": {
            "clips": {"type": "array", "items": {"$ref": "#/$defs/clip"}, "minItems": 1},
            "clip": {"type": "object", "properties": _row(_CLIP)},
            "fields": {"type": "object", "properties": _row(())},
            "wedge": {
                "anyOf": [
                    _TEXT,
                    {
                        "type": "object",
                        "additionalProperties": {
                            "anyOf": [_NUMBER, {"type": "array", "minItems": 1}],
                        },
                    },
                ],
                "description": "A clip for each combination: {seed: 1..4, guidance_scale: [4, 5]}.",
            },
        },
    }


def schema_text() -> str:
    """The same as the file that is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _row(more: tuple[str, ...]) -> dict[str, Any]:
    return {name: _FIELDS[name] for name in (*FIELDS, *more)}


def _closed(properties: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: properties[name] for name in SECTION_FIELDS},
        "additionalProperties": False,
        "description": description,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _whole(low: int, high: int, description: str) -> dict[str, Any]:
    number = {"type": "integer", "minimum": low, "maximum": high}
    texts = {"type": "string", "pattern": "^-?[0-9]+$"}
    return {"anyOf": [number, texts], "description": description}


def _said(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


_CLIP: Final = ("template", "wedge")

_SIDE: Final = _whole(64, _LIMITS.side_px_max, "Pixels, a multiple of 64.")
_NOISE: Final = _said(_NUMBER, "Sigma of the noise, LOWEST-HIGHEST or one number, 0 to 1.")

_FIELDS: Final[dict[str, Any]] = {
    "id": _said({"type": ["string", "integer"]}, "The clip's name, different in more than case."),
    "after": _said(_TEXTS, "Ids of other rows that have to be done before."),
    "prompt": _said(_TEXT, "What is to be seen."),
    "negative_prompt": _said(_TEXT, "What is not to be seen."),
    "frames": _whole(1, _LIMITS.frames_max, "Frames of the clip; 120 by default."),
    "size": _said({"type": "string", "pattern": "[xX\u00d7*]"}, "WIDTHxHEIGHT, as 640x384."),
    "width": _SIDE,
    "height": _SIDE,
    "fps": _whole(1, _LIMITS.fps_max, "Frames per second; 24 by default."),
    "seed": _whole(0, SEED_MAX, "By default from the names of batch and clip."),
    "steps": {
        "anyOf": [_NUMBER, {"type": "array", "items": {"type": "integer"}}],
        "description": "One number, or one for each pyramid stage: 2,2,2.",
    },
    "guidance_scale": _said(_NUMBER, "0 to 100; distilled models take none."),
    "quality": {"enum": list(QUALITIES), "description": "standard by default."},
    "mode": {"enum": list(MODES), "description": "By default what the row has."},
    "image": _said(_TEXT, "What the clip starts from."),
    "video": _said(_TEXT, "What the clip goes on from."),
    "schedule": {
        "anyOf": [
            _TEXT,
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "at": {"type": ["string", "integer"]},
                        "prompt": _TEXT,
                        "blend_chunks": _whole(1, BLEND_CHUNKS_MAX, "Chunks it takes over in."),
                    },
                    "required": ["at", "prompt"],
                    "additionalProperties": False,
                },
            },
        ],
        "description": "Prompts that follow, each from a chunk or a time on.",
    },
    "blend_chunks": _whole(1, BLEND_CHUNKS_MAX, "Chunks over which a new prompt takes over."),
    "lora": _said(_TEXTS, "NAME or NAME:SCALE, several apart by commas."),
    "skip_first_chunk": _said(_FLAG, "The anchor is the first frame of chunk 1."),
    "amplify_first_chunk": _said(_FLAG, "Twice the steps in chunk 0."),
    "image_noise": _NOISE,
    "video_noise": _NOISE,
    "template": _said(_TEXT, "A named set of fields of this file."),
    "wedge": _ref("wedge"),
}

_NEEDS: Final = {
    "card_type": _TEXTS,
    "vram": _said(_TEXT, "16G, 16GiB"),
    "tag": _TEXTS,
    "profile": _TEXT,
    "model": _TEXT,
}
_BATCH: Final[dict[str, Any]] = {
    "name": _said({"type": ["string", "integer"]}, "The file's by default."),
    "project": _said({"type": ["string", "integer"]}, "Whose work it is."),
    "priority": _whole(-PRIORITY_MAX, PRIORITY_MAX, "Higher goes first."),
    "deadline": _said(_TEXT, "09:00 (the next), 2026-11-25T09:00, or +8h."),
    "quality": {"enum": list(QUALITIES), "description": "Of all clips that say no other."},
    "first_look": _said(_FLAG, "Hold each clip after its first chunk, until it is approved."),
    "order": _said({"type": "string", "pattern": "^(longest|file|every:[0-9]+)$"}, "What first."),
    "every": _whole(1, EVERY_MAX, "The first, the last and every N-th clip first; 1 is in order."),
    "pause_after": _whole(0, PAUSE_AFTER_MAX, "Failed clips that pause it; 0 is never."),
    "after": _said(_TEXTS, "Batches that must have ended before."),
    "limits": _said(_TEXTS, "Limits that its clips count against."),
    "needs": {
        "type": "object",
        "properties": {name: _NEEDS[name] for name in NEEDS},
        "additionalProperties": False,
        "description": "What is asked of its cards.",
    },
    "budget": {
        "type": "object",
        "properties": {name: {"type": ["number", "string"]} for name in BUDGETS},
        "additionalProperties": False,
        "description": "What it may cost: it is paused at the first that is reached.",
    },
    "output": _said(_TEXT, "Template of its files' names, with {version}."),
    "webhook": _said({"type": "string", "pattern": "^https?://"}, "Notices are posted there."),
    "look": _said(_TEXT, "A saved look that it keeps to."),
    "deliver_to": _said(_TEXT, "Where the farm puts finished takes."),
    "fresh": _said(_FLAG, "Render also what the farm has a take of already."),
}
