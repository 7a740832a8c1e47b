"""The gateway's certificate, seen from the machine that it runs on."""

from __future__ import annotations

from pathlib import Path

from farm.fleet_ray.tls import ensure_certificate, name_to_check
from tests.fixtures.pod_farm import authority_and_certificate


def test_a_certificate_that_the_farm_made_is_checked_for_the_endpoint(tmp_path: Path):
    certificate = tmp_path / "certificate.pem"
    ensure_certificate(certificate, tmp_path / "key.pem", ["192.0.2.7"])
    for host in ("127.0.0.1", "192.0.2.7", "localhost"):
        assert name_to_check(certificate, host) == ""


def test_one_for_names_of_the_outside_is_checked_for_such_a_name(tmp_path: Path):
    certificate = tmp_path / "certificate.pem"
    for name, checked in (("*.example", "gateway.example"), ("farm.example", "farm.example")):
        certificate.write_text(authority_and_certificate(name)[1])
        assert name_to_check(certificate, "127.0.0.1") == checked
    assert name_to_check(certificate, "farm.example") == "", "its endpoint fits as it is"


def test_what_is_no_certificate_says_no_name(tmp_path: Path):
    (tmp_path / "key.pem").write_text("-")
    assert name_to_check(tmp_path / "key.pem", "127.0.0.1") == ""
    assert name_to_check(tmp_path / "missing.pem", "127.0.0.1") == ""
