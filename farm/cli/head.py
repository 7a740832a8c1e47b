"""`farm up`, `farm down`, `farm version`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm import __version__
from farm.cli import output
from farm.cli.options import ConfigFile, DataDir, Json, command, settings
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from farm.config import FarmConfig
    from farm.fleet_ray.settings import HeadSettings


SECRETS = (
    "api_token", "ray_token", "s3_access_key", "s3_secret_key", "redis_password",
    "notices_webhook", "notices_secret",
)  # fmt: skip

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
NewLedger = Annotated[
    bool, typer.Option("--new-ledger", help="Begin anew where the ledger of before is gone.")
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
Foreground = Annotated[
    bool,
    typer.Option(
        "--foreground", help="Stay, and be the farm, until SIGTERM: for a service or a container."
    ),
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
    lanes: Lanes = None,
    profile: Profile = None,
    loras: Loras = None,
    inputs: Inputs = None,
    deliveries: Deliveries = None,
    ledger: Ledger = None,
    new_ledger: NewLedger = False,
    s3_endpoint: S3Endpoint = None,
    s3_bucket: S3Bucket = None,
    s3_region: S3Region = None,
    redis: Redis = None,
    ray_dashboard: RayDashboard = None,
    foreground: Foreground = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Start a farm on this machine in the background, and wait until it serves.

    What nothing says is as the farm was started the last time.
    """
    from farm.config import ConfigError, start_problems

    _no_password(ledger)
    found = _as_last_time(
        config,
        data_dir=data_dir,
        host=host,
        port=port,
        cpu_cards=cpu_cards,
        gpu_cards=gpu_cards,
        renderer=renderer,
        model=model,
        seconds_per_chunk=seconds_per_chunk,
        lanes=lanes,
        profile=profile,
        loras=loras,
        inputs=inputs or None,
        deliveries=deliveries or None,
        ledger=ledger,
        s3_endpoint=s3_endpoint,
        s3_bucket=s3_bucket,
        s3_region=s3_region,
        redis=redis,
        ray_dashboard=ray_dashboard,
    )
    if problems := start_problems(found):
        raise ConfigError(problems)
    return _start(found, new_ledger=new_ledger, foreground=foreground, as_json=as_json)


def _start(found: FarmConfig, *, new_ledger: bool, foreground: bool, as_json: bool) -> int:
    """Keep the secrets, start the head, wait until it serves; in the foreground, become it."""
    from dataclasses import asdict

    require_head()
    from farm.fleet_ray.head import become
    from farm.fleet_ray.head import up as start
    from farm.fleet_ray.ledger import keep_url, remember_farm
    from farm.fleet_ray.settings import ensure_secrets

    head = _with_model(_head_settings(found))
    ensure_secrets(
        head,
        **{name: secret.get_secret_value() for name in SECRETS if (secret := getattr(found, name))},
    )
    keep_url(head, found.ledger.get_secret_value() if found.ledger else "")
    if new_ledger:
        remember_farm(head, "")
    if foreground:
        become(head)
    state = start(head, on_stage=lambda stage: output.note(f"farm: {stage}"))
    if as_json:
        output.print_json(asdict(state))
    else:
        output.say(f"farm serves at {state.endpoint}, metrics at {state.http}/metrics")
        if not head.on_loopback:
            output.say(f"machines with cards join by: farm-node join {head.ray_host}:{head.port}")
    return output.OK


@command
def down(data_dir: DataDir = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Stop the farm of this machine; open batches go on when it is started again."""
    require_head()
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


def _as_last_time(config: Path | None, **flags: Any) -> FarmConfig:
    """The settings; what no layer says is as the farm was started the last time."""
    from farm.config import load

    found = settings(config, **flags)
    try:
        last = json.loads((found.data_dir / "head.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return found
    known = set(type(found).model_fields) - {"data_dir"}
    return load(config, flags, {name: last[name] for name in known & set(last)})


def _with_model(head: HeadSettings) -> HeadSettings:
    """For CPU cards without a model, a small one of random weights is built once."""
    if head.renderer != "helios" or head.model is not None:
        return head
    model = head.data_dir / "models" / "helios-tiny"
    if not model.exists():
        output.note(f"farm: building a small model of random weights in {model}")
        command = [sys.executable, "-P", "-m", "node_agent.cli", "model", "tiny", str(model)]
        built = subprocess.run(command, check=False, capture_output=True, text=True)
        if built.returncode != 0:
            raise FarmError(f"the small model could not be built: {built.stderr.strip()}")
    return replace(head, model=model)


def require_head() -> None:
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
    from farm.store.engine import shown

    names = {field.name for field in fields(HeadSettings)} & set(type(found).model_fields)
    values = {name: getattr(found, name) for name in names}
    url = found.ledger.get_secret_value() if found.ledger else ""
    return HeadSettings(**{**values, "ledger": shown(url) if url else ""})


def _no_password(ledger: str | None) -> None:
    """Raise `ConfigError` for a flag that tells a secret to everybody on the machine."""
    from urllib.parse import urlsplit

    from farm.config import ConfigError

    if ledger and "@" in ledger and ":" in urlsplit(ledger).netloc.rpartition("@")[0]:
        why = "a command line is seen by everybody on this machine"
        raise ConfigError(
            [f"--ledger: {why}: set HELIOSTAT_LEDGER, or ledger in farm.toml, to a URL like this"]
        )
