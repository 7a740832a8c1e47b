"""The gateway's certificate: its owner's, or one made for this farm and pinned by its clients."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from farm.fleet_ray.private_file import write_private

VALID_DAYS = 825


def ensure_certificate(certificate: Path, key: Path, addresses: list[str]) -> None:
    """Make a self-signed certificate for `addresses` (names or IPs), unless there is one.

    Clients verify the gateway by the certificate itself: it is its own authority. Raises OSError.
    """
    if certificate.exists() and key.exists():
        return
    private = ec.generate_private_key(ec.SECP256R1())
    names = [*dict.fromkeys([*addresses, socket.gethostname(), "localhost", "127.0.0.1"])]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Heliostat farm")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_private(key, private.private_bytes(pem, form, bare))
    write_private(certificate, made.public_bytes(pem), mode=0o644)


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
    if _general(host) in names:
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


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
