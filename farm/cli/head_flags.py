"""The options of `farm up`, which `farm install` has as well."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from farm.cli.options import DataDir

Host = Annotated[str | None, typer.Option(help="Listen here. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(help="First of the farm's ports. [default: 8460]")]
CpuCards = Annotated[
    int | None, typer.Option(help="CPU slots that stand in for cards. [default: 0]")
]
GpuCards = Annotated[
    int | None, typer.Option(help="GPUs of this machine that are cards. [default: 0]")
]
Renderer = Annotated[str | None, typer.Option(help="helios, or testcard. [default: helios]")]
Model = Annotated[
    Path | None, typer.Option(help="Directory of the model; for CPU cards a small one is built.")
]
Pace = Annotated[float | None, typer.Option(help="The test card's pace. [default: 0]")]
Lanes = Annotated[
    int | None,
    typer.Option(
        help="Clips that a card renders in lockstep, 1 to 16. [default: as measured, or 1]"
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(help="exact, fast or fast-fp8, and no other. [default: all that fit]"),
]
Loras = Annotated[Path | None, typer.Option(help="Directory of pinned LoRAs, on every node.")]
Inputs = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Clips may start from files below it; may be repeated."),
]
Deliveries = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Takes may be delivered below it; may be repeated."),
]
Ledger = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://USER@HOST/DATABASE of the ledger. [default: a file in the data "
        "directory]",
    ),
]
S3Endpoint = Annotated[
    str | None, typer.Option(help="URL of the object store. [default: one is started here]")
]
S3Bucket = Annotated[str | None, typer.Option(help="Its bucket. [default: heliostat]")]
S3Region = Annotated[str | None, typer.Option(help="Its region. [default: us-east-1]")]
Redis = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Redis for Ray's own state. [default: none]"),
]
RayDashboard = Annotated[
    bool | None, typer.Option("--ray-dashboard", help="Start Ray's dashboard.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFlags:
    """What a farm's head is, as flags say it; None is not said."""

    data_dir: DataDir = None
    host: Host = None
    port: Port = None
    cpu_cards: CpuCards = None
    gpu_cards: GpuCards = None
    renderer: Renderer = None
    model: Model = None
    seconds_per_chunk: Pace = None
    lanes: Lanes = None
    profile: Profile = None
    loras: Loras = None
    inputs: Inputs = None
    deliveries: Deliveries = None
    ledger: Ledger = None
    s3_endpoint: S3Endpoint = None
    s3_bucket: S3Bucket = None
    s3_region: S3Region = None
    redis: Redis = None
    ray_dashboard: RayDashboard = None

    def said(self) -> dict[str, Any]:
        """As settings. Raises `ConfigError` for one that tells a secret."""
        _no_password(self.ledger)
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**said, "inputs": self.inputs or None, "deliveries": self.deliveries or None}


def _no_password(ledger: str | None) -> None:
    """Raise `ConfigError` for a flag that tells a secret to everybody on the machine."""
    from urllib.parse import urlsplit

    from farm.config import ConfigError

    if ledger and "@" in ledger and ":" in urlsplit(ledger).netloc.rpartition("@")[0]:
        why = "a command line is seen by everybody on this machine"
        raise ConfigError(
            [f"--ledger: {why}: set HELIOSTAT_LEDGER, or ledger in farm.toml, to a URL like this"]
        )
