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
from farm.cli.head_flags import HeadFlags
from farm.cli.options import ConfigFile, DataDir, Json, command, settings, with_flags
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from farm.config import FarmConfig
    from farm.fleet_ray.settings import HeadSettings


SECRETS = (
    "api_token", "ray_token", "s3_access_key", "s3_secret_key", "redis_password",
    "notices_webhook", "notices_secret",
)  # fmt: skip

NewLedger = Annotated[
    bool, typer.Option("--new-ledger", help="Begin anew where the ledger of before is gone.")
]
Foreground = Annotated[
    bool,
    typer.Option(
        "--foreground", help="Stay, and be the farm, until SIGTERM: for a service or a container."
    ),
]


@command
@with_flags(HeadFlags)
def up(
    flags: HeadFlags,
    new_ledger: NewLedger = False,
    foreground: Foreground = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Start a farm on this machine in the background, and wait until it serves.

    What nothing says is as the farm was started the last time.
    """
    from farm.config import ConfigError, start_problems

    found = _as_last_time(config, **flags.said())
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
