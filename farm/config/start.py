"""What a farm lacks before it may start."""

from __future__ import annotations

import ipaddress
import os

from pydantic import SecretStr

from farm.config.fields import FILE_NAME, PREFIX, TOKEN_CHARS_MIN, FarmConfig
from farm.failpoints import VARIABLE as FAILPOINTS


def start_problems(config: FarmConfig) -> list[str]:
    """What `farm up` lacks; empty when it may start.

    A farm that others can reach is never open: it has tokens that its owner chose, and an object
    store that is meant to be reached.
    """
    lacking: list[str] = []
    if not is_loopback(config.host):
        why = f"needed off loopback (host is {config.host})"
        for name, what in (
            ("api_token", "an API token"),
            ("ray_token", "a Ray token"),
            ("s3_endpoint", "an S3 endpoint"),
        ):
            if not getattr(config, name):
                lacking.append(f"{what} is {why}: set {_names(name)}")
        if os.environ.get(FAILPOINTS):
            lacking.append(f"{FAILPOINTS} is set, which is for tests on loopback: unset it")
    if config.s3_endpoint:
        lacking += [
            f"the object store at {config.s3_endpoint} needs a key: set {_names(name)}"
            for name in ("s3_access_key", "s3_secret_key")
            if not getattr(config, name)
        ]
    for name in ("api_token", "ray_token"):
        token: SecretStr | None = getattr(config, name)
        if token and (len(token) < TOKEN_CHARS_MIN or not token.get_secret_value().isascii()):
            lacking.append(
                f"{name} is too weak: use at least {TOKEN_CHARS_MIN} ASCII characters, "
                "such as `openssl rand -hex 32` prints"
            )
    if (config.tls_certificate is None) != (config.tls_key is None):
        lacking.append(
            f"TLS needs a certificate and its key: set {_names('tls_certificate')}, "
            f"and {_names('tls_key')}"
        )
    if config.renderer == "helios" and config.model is None and not config.only_cpu_cards:
        lacking.append(
            f"the renderer helios needs a model: set {_names('model')}, "
            "or use the renderer testcard"
        )
    return lacking


def is_loopback(host: str) -> bool:
    """Only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(name: str) -> str:
    """A setting in every spelling that its user may look for; secrets are no flags."""
    has_no_flag = name.endswith(("_token", "_key", "_certificate"))
    flag = "" if has_no_flag else f"--{name.replace('_', '-')}, "
    return f"{flag}{PREFIX}{name.upper()} or {name} in {FILE_NAME}"
