"""What OpenStack Swift has to be told to be a one-disk S3 server on loopback.

All of it lies in the data directory, which only its owner can read: the proxy's configuration
holds the secret key.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROLES: Final = ("proxy", "object", "container", "account")
"""Swift's servers; each listens on the base port plus its place in this list."""

_HOST = "127.0.0.1"
_DEVICE = "d1"
_PARTITION_POWER = 6
"""64 partitions: fixed for the life of a data directory, objects are found by it."""

_ACCESS_KEY = re.compile(r"[a-z0-9]{1,32}:[A-Za-z0-9]{1,64}")
_SECRET_KEY = re.compile(r"[A-Za-z0-9_=+/-]{8,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """Where the embedded server keeps its data, where it listens, and its one pair of keys."""

    data_dir: Path
    port: int
    """S3; the three ports after it are Swift's own."""
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not 1024 <= self.port <= 65535 - len(ROLES):
            raise ValueError(f"port {self.port}: want 1024 to {65535 - len(ROLES)}")
        if not _ACCESS_KEY.fullmatch(self.access_key):
            raise ValueError(
                "the embedded server's access key is ACCOUNT:USER, letters and digits only; "
                "objects belong to the account, so keep that part when you change keys"
            )
        if not _SECRET_KEY.fullmatch(self.secret_key):
            raise ValueError("the embedded server's secret key: 8 to 128 of A-Z a-z 0-9 _ = + / -")

    @property
    def endpoint(self) -> str:
        """Where S3 answers."""
        return f"http://{_HOST}:{self.port}"


def generate_keys() -> tuple[str, str]:
    """A fresh access key and secret key."""
    return f"farm:{secrets.token_hex(8)}", secrets.token_urlsafe(32)


def check_file_system(data_dir: Path) -> None:
    """Raises OSError, saying what to do, where Swift could not keep its metadata."""
    probe = data_dir / f".xattr-{os.getpid()}"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.metadata", b"x")
    except OSError as error:
        raise OSError(
            error.errno,
            f"{data_dir} is on a file system without extended attributes ({error.strerror}): the "
            "embedded object store cannot use it. Choose a data directory on ext4, xfs or btrfs, "
            "or configure an S3 endpoint",
        ) from error
    finally:
        probe.unlink()


def prepare(settings: EmbeddedSettings) -> None:
    """Write configuration and rings; done again, also with another port, the data stays valid."""
    from swift.common.ring.builder import RingBuilder

    data = settings.data_dir
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_file_system(data)
    for name in ("etc", f"disks/{_DEVICE}", "cache"):
        (data / name).mkdir(parents=True, exist_ok=True)
    swift_conf = data / "etc" / "swift.conf"
    if not swift_conf.exists():
        _write(swift_conf, _swift_conf(secrets.token_hex(16)))
    for role in ROLES:
        _write(config_path(settings, role), _server_conf(settings, role))
    for role in ROLES[1:]:
        builder = RingBuilder(_PARTITION_POWER, 1, 0)
        builder.add_dev(
            {
                "region": 1,
                "zone": 1,
                "ip": _HOST,
                "port": port_of(settings, role),
                "device": _DEVICE,
                "weight": 1.0,
            }
        )
        builder.rebalance(seed="heliostat")
        ring = data / "etc" / f"{role}.ring.gz"
        fresh = ring.with_name(f".{ring.name}.new")
        builder.get_ring().save(str(fresh))
        fresh.replace(ring)


def port_of(settings: EmbeddedSettings, role: str) -> int:
    """Where a server listens."""
    return settings.port + ROLES.index(role)


def async_pending_dir(settings: EmbeddedSettings) -> Path:
    """Where Swift keeps what the container server has not been told yet."""
    return settings.data_dir / "disks" / _DEVICE / "async_pending"


def defaults(settings: EmbeddedSettings) -> dict[str, str]:
    """What all of Swift's processes are told."""
    data = settings.data_dir
    return {
        "bind_ip": _HOST,
        "workers": "0",
        "swift_dir": str(data / "etc"),
        "devices": str(data / "disks"),
        "mount_check": "false",
        "recon_cache_path": str(data / "cache"),
        # A desk's disk may be nearly full: 1% free is refused, preallocation would only be slow.
        "disable_fallocate": "true",
        "log_level": "WARNING",
        "log_address": str(data / "etc" / "no-syslog"),
        "max_clients": "256",
        "client_timeout": "60",
        # A server that was killed is back within a second; waiting out 10 would gain nothing.
        "conn_timeout": "1.0",
        "node_timeout": "15",
    }


def config_path(settings: EmbeddedSettings, role: str) -> Path:
    """A server's configuration file."""
    return settings.data_dir / "etc" / f"{role}-server.conf"


def _server_conf(settings: EmbeddedSettings, role: str) -> str:
    lines = ["[DEFAULT]", f"bind_port = {port_of(settings, role)}"]
    lines += [f"{name} = {value}" for name, value in defaults(settings).items()]
    if role == "proxy":
        return "\n".join(lines) + _PROXY.format(
            user=settings.access_key.replace(":", "_"), secret=settings.secret_key
        )
    options = "splice = no" if role == "object" else ""
    return "\n".join(lines) + _BACKEND.format(role=role, options=options)


def _swift_conf(prefix: str) -> str:
    return (
        f"[swift-hash]\nswift_hash_path_prefix = {prefix}\nswift_hash_path_suffix = heliostat\n"
        "[storage-policy:0]\nname = default\ndefault = yes\n"
        "[swift-constraints]\nmax_header_size = 16384\n"
    )


def _write(path: Path, text: str) -> None:
    """All of it or nothing, readable for its owner only."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


_BACKEND = """
[pipeline:main]
pipeline = {role}-server
[app:{role}-server]
use = egg:swift#{role}
{options}
"""

_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache bulk s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = false
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
paste.filter_factory = farm.objects.swift_cache:filter_factory
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
dns_compliant_bucket_names = yes
s3_acl = no
min_segment_size = 5242880
[filter:tempauth]
use = egg:swift#tempauth
user_{user} = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""
