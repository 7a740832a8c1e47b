"""`farm up`, `farm down`, `farm version`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm import __version__
from farm.cli import output
from farm.cli.options import ConfigFile, DataDir, Json, command, settings
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from farm.config import FarmConfig
    from farm.fleet_ray.settings import HeadSettings


Host = Annotated[str | None, typer.Option(help="Listen here. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(help="First of the farm's ports. [default: 8460]")]
CpuCards = Annotated[
    int | None, typer.Option(help="CPU slots that stand in for cards. [default: 0]")
]
GpuCards = Annotated[
    int | None, typer.Option(help="GPUs of this machine that are cards. [default: 0]")
]
Renderer = Annotated[str | None, typer.Option(help="helios, or testcard. [default: helios]")]
Model = Annotated[Path | None, typer.Option(help="Directory of the model to render with.")]
Pace = Annotated[float | None, typer.Option(help="The test card's pace. [default: 0]")]
S3Endpoint = Annotated[
    str | None, typer.Option(help="URL of the object store. [default: one is started here]")
]
S3Bucket = Annotated[str | None, typer.Option(help="Its bucket. [default: heliostat]")]
S3Region = Annotated[str | None, typer.Option(help="Its region. [default: us-east-1]")]
RayDashboard = Annotated[
    bool | None, typer.Option("--ray-dashboard", help="Start Ray's dashboard.")
]


@command
def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    cpu_cards: CpuCards = None,
    gpu_cards: GpuCards = None,
    renderer: Renderer = None,
    model: Model = None,
    seconds_per_chunk: Pace = None,
    s3_endpoint: S3Endpoint = None,
    s3_bucket: S3Bucket = None,
    s3_region: S3Region = None,
    ray_dashboard: RayDashboard = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Start a farm on this machine in the background, and wait until it serves."""
    from farm.config import ConfigError, start_problems

    found = settings(
        config,
        data_dir=data_dir,
        host=host,
        port=port,
        cpu_cards=cpu_cards,
        gpu_cards=gpu_cards,
        renderer=renderer,
        model=model,
        seconds_per_chunk=seconds_per_chunk,
        s3_endpoint=s3_endpoint,
        s3_bucket=s3_bucket,
        s3_region=s3_region,
        ray_dashboard=ray_dashboard,
    )
    if problems := start_problems(found):
        raise ConfigError(problems)
    from dataclasses import asdict

    _require_head()
    from farm.fleet_ray.head import up as start
    from farm.fleet_ray.settings import ensure_secrets

    head = _head_settings(found)
    ensure_secrets(
        head,
        **{
            name: secret.get_secret_value()
            for name in ("api_token", "ray_token", "s3_access_key", "s3_secret_key")
            if (secret := getattr(found, name))
        },
    )
    state = start(head, on_stage=lambda stage: output.note(f"farm: {stage}"))
    if as_json:
        output.print_json(asdict(state))
    else:
        output.say(f"farm serves at {state.endpoint}, metrics at {state.http}/metrics")
    return output.OK


@command
def down(data_dir: DataDir = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Stop the farm of this machine; open batches go on when it is started again."""
    _require_head()
    from farm.fleet_ray.head import down as stop

    found = settings(config, data_dir=data_dir)
    stopped = stop(_head_settings(found))
    if as_json:
        output.print_json({"stopped": stopped})
    else:
        output.say("the farm has stopped" if stopped else f"no farm runs in {found.data_dir}")
    return output.OK


@command
def version(as_json: Json = False) -> int:
    """Print the version."""
    if as_json:
        output.print_json({"version": __version__})
    else:
        output.say(f"heliostat {__version__}")
    return output.OK


def _require_head() -> None:
    """A client's installation cannot run a farm. Raises `FarmError`."""
    from importlib.util import find_spec

    if lacking := [name for name in ("psutil", "ray", "sqlalchemy") if find_spec(name) is None]:
        raise FarmError(
            f"this installation is a client's ({', '.join(lacking)} not found): "
            "install heliostat[head,node] to run a farm here"
        )


def _head_settings(found: FarmConfig) -> HeadSettings:
    """What of the settings concerns a head; for `down`, what it was started with."""
    from dataclasses import fields

    from farm.fleet_ray.settings import HeadSettings

    names = {field.name for field in fields(HeadSettings)} & set(type(found).model_fields)
    return HeadSettings(**{name: getattr(found, name) for name in names})
