"""The layers of settings put together, and where a wrong value came from."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from farm.config.fields import (
    CONFIG_VARIABLE,
    CREDENTIALS_VARIABLE,
    FILE_NAME,
    PREFIX,
    SECRET_SETTINGS,
    ConfigError,
    FarmConfig,
)


def load(
    config_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    remembered: Mapping[str, Any] | None = None,
) -> FarmConfig:
    """All layers together. `flags` that are None were not given. Raises `ConfigError`.

    `remembered` is what a farm was started with the last time: it counts where nothing else does.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    path, values = _file_values(config_file, given)

    class Layered(FarmConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            last_time = InitSettingsSource(settings_cls, dict(remembered or {}))
            handed = InitSettingsSource(settings_cls, _credentials())
            written = InitSettingsSource(settings_cls, values)
            return init_settings, env_settings, handed, written, last_time

    try:
        return Layered(**given)
    except ValidationError as error:
        raise ConfigError(
            [
                f"{_place(str(each['loc'][0]) if each['loc'] else '', given, path)}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            ]
        ) from None


def _credentials() -> dict[str, str]:
    """Secrets that a service's manager hands to it, a file for each (systemd's LoadCredential=)."""
    directory = os.environ.get(CREDENTIALS_VARIABLE)
    if not directory:
        return {}
    files = {name: Path(directory) / name for name in SECRET_SETTINGS}
    return {name: file.read_text().strip() for name, file in files.items() if file.is_file()}


def _file_values(
    config_file: Path | None, given: Mapping[str, Any]
) -> tuple[Path | None, dict[str, Any]]:
    """The file that counts, and what it says."""
    named = config_file or os.environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
    else:
        default = FarmConfig.model_fields["data_dir"].default
        data_dir = given.get("data_dir") or os.environ.get(f"{PREFIX}DATA_DIR") or default
        path = Path(data_dir).expanduser() / FILE_NAME
        if not path.exists():
            return None, {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: cannot be read ({error})"]) from None
    known = list(FarmConfig.model_fields)
    unknown = [_unknown(path, key, known) for key in values if key not in known]
    if unknown:
        raise ConfigError(unknown)
    return path, values


def _unknown(path: Path, key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
    return f"{path}: there is no setting {key!r}, {hint}"


def _place(name: str, given: Mapping[str, Any], path: Path | None) -> str:
    """Where a wrong value came from."""
    if name in given:
        return f"--{name.replace('_', '-')}"
    variable = PREFIX + name.upper()
    return variable if os.environ.get(variable) else f"{path}: {name}"
