"""What a clip asks for, as one word: equal words render equal pixels on one model and stack."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from farm.domain.inputs import object_key
from farm.domain.names import is_input_key
from farm.domain.spec import ClipSpec


def digest_of(spec: ClipSpec) -> str:
    """SHA-256 over all that decides a clip's pixels, in lower-case hex.

    Empty, and so equal to nothing, where it names something that may change under its name: a
    file on the nodes, an object that is not named by its content, a LoRA.
    """
    for place in (spec.image, spec.video):
        if place and not is_input_key(object_key(place) or ""):
            return ""
    if spec.loras:
        return ""
    text = json.dumps(asdict(spec), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
