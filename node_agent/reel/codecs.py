"""The encodings that a film can be decoded into, by name: what commands offer."""

from __future__ import annotations

from enum import StrEnum


class CodecName(StrEnum):
    """Encodings."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    PRORES = "prores"
    FFV1 = "ffv1"
