"""Units of systemd: sections as text, what a hardened service of ours may, and its file systems.

What the settings cost and give is in docs/operating/bare-metal.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import heliostat
from heliostat.services.errors import ServiceError

CURRENT: Final = Path("/opt/heliostat/current")
"""The release in use, a symbolic link; where it is there, its programs are the ones that run."""
UNITS: Final = Path("/etc/systemd/system")
HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
"""Where a service of ours sees nothing but what it is shown: see `mounts`."""

SANDBOX: Final = (
    "NoNewPrivileges=yes",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=tmpfs",
    "PrivateTmp=yes",
    "ProtectProc=invisible",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
    "UMask=0027",
)
"""Of every service of ours. MemoryDenyWriteExecute= is left out: PyTorch's compiler, Triton and
CUDA's driver make code as they run. So is ProcSubset=pid, for /proc/meminfo tells the memory."""
UNPRIVILEGED: Final = (
    "CapabilityBoundingSet=",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)
NO_DEVICES: Final = ("PrivateDevices=yes",)
NVIDIA: Final = ("DevicePolicy=closed", "DeviceAllow=char-nvidia* rw")
"""NVIDIA's devices and no others. Their kinds have numbers only once the drivers are loaded."""
NVIDIA_LOADED: Final = "modprobe@nvidia.service modprobe@nvidia_uvm.service"
"""What loads the drivers, and is no error where there are none."""


def section(name: str, *lines: str) -> str:
    """A section of a unit."""
    return "\n".join([f"[{name}]", *lines]) + "\n"


def unit_text(about: str, *sections: str) -> str:
    """A unit; `about` is the command that made it."""
    head = f"# Written by `{about}`; change it by drop-ins: systemctl edit.\n"
    return "\n".join([head, *sections])


def programs() -> str:
    """The variable PATH of a service: the release in use, then this very environment."""
    return f"Environment=PATH={CURRENT}/bin:{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"


def environment_paths() -> list[Path]:
    """What this environment reads: itself, its interpreter, and our code where it is elsewhere."""
    code = Path(heliostat.__path__[0]).resolve().parent
    if code.name == "proto":  # a checkout: our packages lie in two of its folders
        code = code.parent
    found: list[Path] = []
    for path in (Path(sys.prefix), Path(sys.base_prefix), code):
        if not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return found


def mounts(reads: Sequence[Path], writes: Sequence[Path] = ()) -> list[str]:
    """What of the file system a service gets beyond its own directories.

    It reads everything but homes and temporary files, and writes nowhere.
    """
    hidden = [path for path in dict.fromkeys(reads) if _is_hidden(path)]
    return [
        *(f"BindReadOnlyPaths=-{_escaped(path)}" for path in hidden),
        *(
            f"{'BindPaths' if _is_hidden(path) else 'ReadWritePaths'}=-{_escaped(path)}"
            for path in dict.fromkeys(writes)
        ),
    ]


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(each) for each in HIDDEN)


def _escaped(path: Path) -> str:
    """As units write paths. Raises `ServiceError` for one that they cannot."""
    text = str(path)
    if any(char.isspace() or char in "\"'\\:" for char in text):
        raise ServiceError(f"{path}: a unit cannot name it; give it a path without blanks")
    return text.replace("%", "%%")
