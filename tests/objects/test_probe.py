"""What a store enforces is tried, not believed (S3-3)."""

import hashlib
from dataclasses import fields, replace

import pytest

from farm.domain.errors import ObjectMismatch, ObjectStoreUnavailable
from farm.objects.probe import Capabilities, probe
from farm.objects.s3 import S3ObjectStore
from tests.fixtures.fault_proxy import FaultKind, FaultProxy

ALL = Capabilities(**{field.name: True for field in fields(Capabilities)})


def test_the_embedded_server_enforces_everything(object_store):
    seen = probe(object_store)
    assert seen == ALL
    assert seen.usable
    assert not seen.rehash
    assert list(object_store.list("")) == []


def test_the_table_tells_what_follows():
    rows = replace(ALL, wrong_checksum_refused=False).rows()
    assert len(rows) == len(fields(Capabilities))
    [(what, holds, meaning)] = [row for row in rows if not row[1]]
    assert (what, holds) == ("wrong checksum refused", False)
    assert "read back" in meaning


@pytest.mark.parametrize("lacking", ["wrong_checksum_refused", "missing_header_refused"])
def test_a_store_that_lets_checksums_pass_is_read_back(object_store, lacking):
    """With the probe's word for it, wrong bytes are caught; with a HEAD alone they would not be."""
    promised, stored = b"good bytes", b"bad bytes!"
    object_store.put("k", stored, "text/plain")
    sha = hashlib.sha256(promised).hexdigest()
    trusting = S3ObjectStore(object_store.settings, rehash=ALL.rehash)
    trusting.verify("k", len(promised), sha)
    reading = S3ObjectStore(object_store.settings, rehash=replace(ALL, **{lacking: False}).rehash)
    with pytest.raises(ObjectMismatch):
        reading.verify("k", len(promised), sha)


def test_a_store_that_takes_anything_is_found_out(object_store):
    """A server that answers 200 to every PUT, right or wrong."""
    with FaultProxy(object_store.settings.endpoint) as proxy:
        lax = S3ObjectStore(replace(object_store.settings, endpoint=proxy.endpoint))
        proxy.inject(FaultKind.ERROR_IN_200, times=1000, method="PUT")
        seen = probe(lax)
    assert not seen.presigned_get
    assert not seen.wrong_checksum_refused
    assert not seen.signature_checked
    assert seen.rehash
    assert not seen.usable


def test_a_store_in_trouble_is_not_mistaken_for_one_that_refuses(faulty_store, fault_proxy):
    fault_proxy.inject(FaultKind.SLOW_DOWN, times=100, method="PUT")
    with pytest.raises(ObjectStoreUnavailable, match="503"):
        probe(faulty_store)
