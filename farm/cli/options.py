"""Options that several commands share, and what every command begins with."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, cast, get_type_hints

import typer

from farm.cli import output

if TYPE_CHECKING:
    from farm.client import Farm
    from farm.config import FarmConfig

P = ParamSpec("P")
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings. [default: DATA_DIR/farm.toml]"),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="A local farm's directory. [default: ~/.heliostat]"),
]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", help="HOST:PORT of the farm. [default: the local one]")
]
Ca = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of the authority of a farm with TLS.")
]
BatchArgument = Annotated[
    str, typer.Argument(metavar="BATCH", help="A batch's id, or a name that only it has.")
]


def command(body: Callable[P, int | None]) -> Callable[P, None]:
    """A command whose expected errors are lines on standard error and exit codes, no tracebacks.

    The body returns its exit code; None is success.
    """

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = body(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - reported, or raised again
            code = output.report(error, as_json=bool(kwargs.get("as_json")))
        raise typer.Exit(code or 0)

    return run


def with_flags(flags: type[T]) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Give a command the options that a dataclass names; several can have the same so.

    They stand where its parameter `flags` is, through which it gets one of them.
    """
    hints = get_type_hints(flags, include_extras=True)
    shared = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty
            if each.default is dataclasses.MISSING
            else each.default,
            annotation=hints[each.name],
        )
        for each in dataclasses.fields(cast("Any", flags))
    ]
    names = {each.name for each in shared}

    def give(body: Callable[..., int | None]) -> Callable[..., int | None]:
        @functools.wraps(body)
        def run(**given: Any) -> int | None:
            chosen = {name: given.pop(name) for name in names & given.keys()}
            return body(flags=flags(**chosen), **given)

        signature = inspect.signature(body, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            parameters += shared if each.name == "flags" else [each]
        run.__dict__["__signature__"] = signature.replace(parameters=parameters)
        return run

    return give


def settings(config: Path | None, **flags: Any) -> FarmConfig:
    """The settings of all layers. Raises `ConfigError`."""
    from farm.config import load

    return load(config, flags)


def connect(found: FarmConfig) -> Farm:
    """The farm that the settings name, or the one that runs in their data directory."""
    from farm.client import Farm
    from farm.client.local import find_local

    token = found.api_token.get_secret_value() if found.api_token else ""
    if found.endpoint:
        return Farm(found.endpoint, token, found.ca)
    local = find_local(found.data_dir)
    return Farm(local.endpoint, token or local.token, found.ca or local.ca, name=local.name)


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping. Raises `typer.BadParameter`."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{value!r}: write it as NAME=VALUE", param_hint=option)
        if name.strip() in found:
            raise typer.BadParameter(f"{name.strip()} is given twice", param_hint=option)
        found[name.strip()] = text.strip()
    return found
