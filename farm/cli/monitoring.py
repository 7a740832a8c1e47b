"""`farm monitoring`: what Prometheus, Alertmanager and Grafana need to watch a farm."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from farm.cli import output, words
from farm.cli.options import ConfigFile, DataDir, Json, command, settings

if TYPE_CHECKING:
    from farm.client.local import LocalFarm

monitoring = typer.Typer(help="What Prometheus, Alertmanager and Grafana need to watch a farm.")

WRITTEN_NAME: Final = ".heliostat.json"
"""Says in a folder what was written there, path → SHA-256: who changed a file since is seen."""
CONFIG_NAME: Final = "prometheus/prometheus.yml"
_TARGET: Final = "127.0.0.1:8461"
_CA: Final = "/etc/prometheus/heliostat-ca.pem"
_TLS: Final = f"""\
    # scheme: https
    # tls_config:
    #   ca_file: {_CA}
"""
"""As the config has it, for a farm without TLS."""


@monitoring.command()
@command
def write(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite files that were changed there, too.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Write a Prometheus config, rules, an Alertmanager example and Grafana dashboards to a folder.

    Again after an upgrade it brings what is new. What you changed is kept where nothing new came
    for it; else nothing is written at all, without --force.
    """
    local = _local_farm(settings(config, data_dir=data_dir).data_dir)
    said = write_folder(directory, _texts(local), force=force)
    if as_json:
        output.print_json({"directory": str(directory), "files": said})
        return output.OK
    for state in ("new", "updated", "overwritten", "kept"):
        names = sorted(name for name, each in said.items() if each == state)
        if names:
            output.say(f"{state:<12}{', '.join(names)}")
    same = sum(each == "same" for each in said.values())
    as_before = f", {same} of them as before" if same else ""
    output.say(f"{words.plural(len(said), 'file')} in {directory}{as_before}")
    _say_next(directory, local)
    return output.OK


def write_folder(directory: Path, texts: Mapping[str, str], *, force: bool) -> dict[str, str]:
    """Path of each file → new, same, updated, overwritten or kept. Raises `typer.BadParameter`."""
    record = directory / WRITTEN_NAME
    before: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    said = {name: _state(directory / name, text, before.get(name)) for name, text in texts.items()}
    changed = sorted(name for name, state in said.items() if state == "overwritten")
    if changed and not force:
        raise typer.BadParameter(
            f"{words.plural(len(changed), 'file')} there changed by somebody else, and new here: "
            f"{', '.join(changed)}. Nothing was written: --force overwrites them, another folder "
            "lets you compare",
            param_hint="DIR",
        )
    for name, state in said.items():
        if state not in ("same", "kept"):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[name], encoding="utf-8")
    directory.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({n: _digest(t) for n, t in texts.items()}, indent=2) + "\n")
    return said


def _state(path: Path, text: str, written: str | None) -> str:
    """`written` is the hash of what an earlier call wrote there."""
    if not path.exists():
        return "new"
    here = path.read_text(encoding="utf-8")
    if here == text:
        return "same"
    if _digest(here) == written:
        return "updated"
    return "kept" if _digest(text) == written else "overwritten"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _texts(local: LocalFarm | None) -> dict[str, str]:
    """The files that come with Heliostat, by path; the config is for the farm of this machine."""
    found = dict(_walk(files("farm") / "monitoring", ""))
    if local is not None and local.http:
        found[CONFIG_NAME] = for_farm(found[CONFIG_NAME], local.http, local.ca)
    return found


def for_farm(config: str, http: str, ca: Path | None) -> str:
    """The config with the gateway of a farm: its URL, and the authority of its certificate."""
    url = urlsplit(http)
    config = config.replace(_TARGET, url.netloc)
    if url.scheme == "https":
        lines = re.sub(r"^    # ", "    ", _TLS, flags=re.MULTILINE)
        config = config.replace(_TLS, lines.replace(_CA, json.dumps(str(ca))))
    return config


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yml", ".json")):
            yield f"{prefix}{entry.name}", entry.read_text(encoding="utf-8")


def _local_farm(data_dir: Path) -> LocalFarm | None:
    from farm.client.errors import FarmUnreachable
    from farm.client.local import find_local

    try:
        return find_local(data_dir)
    except FarmUnreachable:
        return None


def _say_next(directory: Path, local: LocalFarm | None) -> None:
    prometheus = directory / "prometheus"
    if local is None:
        output.say(f"no farm runs here: name its gateway in {prometheus / 'prometheus.yml'}")
    output.say(f"""next (docs/monitoring.md says more):
  cd {prometheus}
  promtool check config prometheus.yml && promtool test rules tests/*.yml
  prometheus --config.file=prometheus.yml --storage.tsdb.path=data
  put your receivers into alertmanager.yml, then
  alertmanager --config.file=alertmanager.yml --storage.path=alertmanager-data
  import {directory / "grafana"}/*.json into Grafana, that Prometheus as data source""")
