"""`farm-node model fetch`, `serve`, `convert`, `quantize`: how a model comes to a node."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node_agent.cli.bars import watching
from node_agent.cli.options import MODELS, Json, ModelsDir, TokenFile, stamps, token
from node_agent.cli.output import refuse, size, tell
from node_agent.models import load_manifest
from node_agent.models.manifest import is_digest, is_name
from node_agent.render.profiles import PROFILES

WEB = ("http://", "https://")
S3 = "s3://"

Source = Annotated[
    str,
    typer.Argument(
        help="OWNER/NAME on a model hub; http(s)://HOST:PORT/NAME, served by `model serve` or any"
        " web server; or s3://BUCKET/PREFIX.",
        show_default=False,
    ),
]


class Type(StrEnum):
    """What weights can be cast to."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Lossy(StrEnum):
    """Profiles that round weights off."""

    FAST = "fast"
    FAST_FP8 = "fast-fp8"


def fetch(
    source: Source,
    directory: Annotated[
        Path | None,
        typer.Argument(help="Where to; else NAME in the models directory.", show_default=False),
    ] = None,
    revision: Annotated[
        str,
        typer.Option(
            help="Of a hub: a commit; a branch or tag is resolved to its commit, which is"
            " recorded. [default: main]"
        ),
    ] = "",
    digest: Annotated[
        str, typer.Option(help="Of the web or S3: the model's digest; any other is refused.")
    ] = "",
    endpoint_url: Annotated[
        str, typer.Option(help="Another hub than the usual one, or another S3 server.")
    ] = "",
    token_file: TokenFile = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="Certificate that an https:// neighbour goes by.", show_default=False),
    ] = None,
    models_dir: ModelsDir = MODELS,
    as_json: Json = False,
) -> None:
    """Bring a model to this node, verified; run it again to go on, or to repair a damaged copy.

    From a hub come only the files that the pipeline needs. From a neighbour, a web server or S3
    come the files of the manifest there, each known by its SHA-256. Exit code 1 when the source
    fails or gives something else.
    """
    is_pinned_elsewhere = source.startswith((*WEB, S3))
    if is_pinned_elsewhere and revision:
        raise refuse("--revision is for a hub; here --digest says which model is wanted")
    if digest and not (is_pinned_elsewhere and is_digest(digest)):
        raise refuse(
            "--digest is for the web and S3, 64 hexadecimal digits as `model list --json` shows"
            " them; of a hub, --revision COMMIT says what is wanted"
        )
    if is_pinned_elsewhere:
        place = _from_source(source, directory, digest, endpoint_url, token_file, ca, models_dir)
    else:
        place = _from_hub(source, directory, revision, endpoint_url, models_dir)
    tell(place, load_manifest(place), as_json)


def serve(
    directory: Annotated[
        Path | None,
        typer.Argument(help="A model, or a directory of models.", show_default="--models-dir"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; off loopback, token and TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8600,
    token_file: TokenFile = None,
    cert: Annotated[
        Path | None, typer.Option(help="Certificate, to speak TLS.", show_default=False)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The certificate's key.", show_default=False)
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Do without TLS off loopback.")
    ] = False,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Serve this node's intact models to its neighbours, read-only, until Ctrl-C.

    They `model fetch http://HOST:PORT/NAME`. Only files that a manifest names can be had.
    """
    from node_agent.models.serve import ModelServer, shelf

    if (cert is None) != (key is None):
        raise refuse("--cert and --key belong together; give both")
    with watching() as watch:
        place = (directory or models_dir).expanduser()
        stock = shelf(place, stamps=stamps(models_dir), watch=watch)
    pair = (cert, key) if cert and key else None
    with ModelServer(
        stock,
        host=host,
        port=port,
        token=token(token_file),
        certificate=pair,
        plain=plain_http,
    ) as server:
        try:
            for name, manifest in sorted(stock.manifests.items()):
                typer.echo(f"{server.url}/{name}  {size(manifest.size)}  digest {manifest.digest}")
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)


def convert(
    source: Annotated[Path, typer.Argument(help="A pinned model.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="A new directory.", show_default=False)],
    dtype: Annotated[Type, typer.Option(help="What the weights become.")] = Type.BFLOAT16,
    models_dir: ModelsDir = MODELS,
    as_json: Json = False,
) -> None:
    """Make a stock download into half of it, once: weights cast, hashed and pinned.

    It loads to the same bits as the download does in that type. What the model keeps in float32
    stays so. Run it again to go on where it stopped.
    """
    from node_agent.render.helios import convert as helios  # torch: only where it is needed

    with watching() as watch:
        manifest = helios.convert(
            source, target, dtype=helios.Type(dtype.value), stamps=stamps(models_dir), watch=watch
        )
    tell(target, manifest, as_json)


def quantise(
    source: Annotated[Path, typer.Argument(help="A pinned model.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="A new directory.", show_default=False)],
    profile: Annotated[Lossy, typer.Option(help="What the weights are rounded for.")] = Lossy.FAST,
    models_dir: ModelsDir = MODELS,
    as_json: Json = False,
) -> None:
    """Store a model's weights in the fewer bits of a profile: a smaller disk, a shorter load.

    It renders what the source renders with that profile, to the bit, and with no other. Convert a
    float32 download first. Run it again to go on where it stopped.
    """
    from node_agent.render.helios import artifact  # torch: only where it is needed

    with watching() as watch:
        manifest = artifact.quantise(
            source, target, PROFILES[profile.value], stamps=stamps(models_dir), watch=watch
        )
    tell(target, manifest, as_json)


def add_to(app: typer.Typer) -> None:
    """Make them commands."""
    for command in (fetch, serve, convert):
        app.command()(command)
    app.command(name="quantize")(quantise)


def _from_source(
    address: str,
    directory: Path | None,
    digest: str,
    endpoint_url: str,
    token_file: Path | None,
    ca: Path | None,
    models_dir: Path,
) -> Path:
    from node_agent.models import fetch, sources

    source: sources.Source = (
        sources.S3Source(address, endpoint_url=endpoint_url)
        if address.startswith(S3)
        else sources.HttpSource(address, token=token(token_file), ca=ca)
    )
    manifest = fetch.offered(source, digest=digest)
    place = directory or models_dir.expanduser() / manifest.name
    with watching() as watch:
        if not digest:
            watch.say(f"taking what {source.address} offers; --digest {manifest.digest} pins it")
        if not fetch.fetch(source, manifest, place, stamps=stamps(models_dir), watch=watch):
            watch.say(f"{place}: there already, every file is right")
    return place


def _from_hub(
    repository: str, directory: Path | None, revision: str, endpoint_url: str, models_dir: Path
) -> Path:
    from node_agent.models import hub

    if not hub.is_repository(repository) or not is_name(repository.partition("/")[2]):
        raise refuse(
            f"{repository!r} is no source: give OWNER/NAME of a hub, http(s)://HOST:PORT/NAME"
            " or s3://BUCKET/PREFIX"
        )
    commit = hub.resolve(repository, revision, endpoint_url or None)
    place = directory or models_dir.expanduser() / commit.name
    with watching() as watch:
        if commit.sha != revision:
            watch.say(f"{repository}: {revision or 'main'} is {commit.sha} now")
        if not hub.fetch_from_hub(commit, place, stamps=stamps(models_dir), watch=watch):
            watch.say(f"{place}: there already, every file is right")
    return place
