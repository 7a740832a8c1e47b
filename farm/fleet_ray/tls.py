"""The gateway's certificate: its owner's, or one made for this farm and pinned by its clients."""

from __future__ import annotations

import datetime
import socket
from pathlib import Path

from cryptography import x509

from farm.fleet_ray.private_file import write_private
from heliostat.certificates import general_name, self_signed


def ensure_certificate(certificate: Path, key: Path, addresses: list[str]) -> None:
    """Make a self-signed certificate for `addresses` (names or IPs), unless there is one.

    Clients verify the gateway by the certificate itself: it is its own authority. Raises OSError.
    """
    if certificate.exists() and key.exists():
        return
    names = dict.fromkeys([*addresses, socket.gethostname(), "localhost", "127.0.0.1"])
    hour = datetime.timedelta(hours=1)
    made, private = self_signed("Heliostat farm", names, valid_before=hour)
    write_private(key, private)
    write_private(certificate, made, mode=0o644)


def name_to_check(certificate: Path, host: str) -> str:
    """The name by which clients at `host` have to check a certificate that is not made out to it.

    One for names of the outside, as an authority gives it, says nothing of loopback. "" where
    `host` is among its names, and where it has none or cannot be read.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ""
    if general_name(host) in names:
        return ""
    domains = names.get_values_for_type(x509.DNSName)
    return domains[0].replace("*", "gateway", 1) if domains else ""


def own_addresses() -> list[str]:
    """Addresses by which this machine may be reached; none where it does not know its own name."""
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, proto=socket.IPPROTO_TCP)
    except OSError:
        return []
    return [str(info[4][0]).split("%")[0] for info in infos]
