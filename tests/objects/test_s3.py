"""The store's port over a real S3 server: grants, proofs, retries (S3-1, S3-3, S3-4)."""

import hashlib
from dataclasses import replace

import pytest
import urllib3

from farm.domain.errors import (
    ObjectMismatch,
    ObjectMissing,
    ObjectStoreError,
    ObjectStoreUnavailable,
)
from farm.objects.s3 import S3ObjectStore, S3Settings
from tests.fixtures.fault_proxy import FaultKind

BODY = bytes(range(256)) * 100
SHA = hashlib.sha256(BODY).hexdigest()
TYPE = "video/mp4"


@pytest.fixture
def http():
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def put(http, grant, body, headers=None):
    return http.request("PUT", grant.url, body=body, headers=headers or dict(grant.headers))


def test_a_grant_takes_the_bytes_it_was_given_for(object_store, http):
    grant = object_store.presign_put("k", len(BODY), SHA, TYPE)
    assert put(http, grant, BODY).status == 200
    object_store.verify("k", len(BODY), SHA)
    answer = http.request("GET", object_store.presign_get("k"))
    assert (answer.data, answer.headers["Content-Type"]) == (BODY, TYPE)
    part = http.request("GET", object_store.presign_get("k"), headers={"Range": "bytes=10-19"})
    assert (part.status, part.data) == (206, BODY[10:20])


def test_a_grant_takes_no_other_bytes(object_store, http):
    grant = object_store.presign_put("k", len(BODY), SHA, TYPE)
    wrong = put(http, grant, BODY[:-1] + b"!")
    assert (wrong.status, b"BadDigest" in wrong.data) == (400, True)
    without = {k: v for k, v in grant.headers.items() if k != "x-amz-checksum-sha256"}
    assert put(http, grant, BODY, without).status == 403
    shorter = dict(grant.headers) | {"Content-Length": "10"}
    assert put(http, grant, BODY[:10], shorter).status in {400, 403}
    with pytest.raises(ObjectMissing):
        object_store.verify("k", len(BODY), SHA)


def test_a_grant_is_for_one_key_and_ends(object_store, http):
    grant = object_store.presign_put("k", len(BODY), SHA, TYPE)
    other = grant.url.replace("/k?", "/other?")
    assert http.request("PUT", other, body=BODY, headers=dict(grant.headers)).status == 403
    assert "X-Amz-Expires=900" in grant.url
    with pytest.raises(ValueError, match="900"):
        replace(object_store.settings, url_seconds=901)


def test_keys_with_any_url_character_work(object_store, http):
    for key in ("a~b/c d/é%2F+.mp4", "clip~0123/v001/a1/x-00001.mp4"):
        grant = object_store.presign_put(key, len(BODY), SHA, TYPE)
        assert put(http, grant, BODY).status == 200
        object_store.verify(key, len(BODY), SHA)
        assert [entry.key for entry in object_store.list(key)] == [key]


def test_verify_says_what_is_wrong(object_store):
    with pytest.raises(ObjectMissing, match="no such object"):
        object_store.verify("none", 1, SHA)
    object_store.put("k", BODY, TYPE)
    with pytest.raises(ObjectMismatch, match="25600 bytes, promised 25601"):
        object_store.verify("k", len(BODY) + 1, SHA)


def test_a_store_that_checks_nothing_is_checked_by_reading(object_store):
    """Wrong bytes of the right size: what a store that ignores checksums would have kept."""
    damaged = bytearray(BODY)
    damaged[777] ^= 1
    object_store.put("k", bytes(damaged), TYPE)
    reading = S3ObjectStore(object_store.settings, rehash=True)
    with pytest.raises(ObjectMismatch, match="SHA-256"):
        reading.verify("k", len(BODY), SHA)
    object_store.put("k", BODY, TYPE)
    reading.verify("k", len(BODY), SHA)


def test_objects_are_written_listed_and_deleted(object_store):
    for number in range(7):
        object_store.put(f"a/{number}", b"x" * number, TYPE)
    object_store.put("b/0", b"", TYPE)
    listed = list(object_store.list("a/"))
    assert [(entry.key, entry.size_bytes) for entry in listed] == [(f"a/{n}", n) for n in range(7)]
    assert all(entry.modified_at > 1.7e9 for entry in listed)
    object_store.delete("a/3")
    object_store.delete("a/3")
    with pytest.raises(ObjectMissing):
        object_store.get("a/3")
    assert object_store.get("a/2") == b"xx"
    object_store.ensure_bucket()


def test_a_long_listing_comes_in_pages(object_store, monkeypatch):
    for number in range(5):
        object_store.put(f"p/{number}", b"", TYPE)
    real = object_store.client.list_objects_v2
    monkeypatch.setattr(object_store.client, "list_objects_v2", lambda **kw: real(**kw, MaxKeys=2))
    assert [entry.key for entry in object_store.list("p/")] == [f"p/{n}" for n in range(5)]


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.ERROR_500,
        FaultKind.SLOW_DOWN,
        FaultKind.NO_BUCKET,
        FaultKind.RESET,
        FaultKind.RESET_AFTER,
        FaultKind.TRUNCATE,
        FaultKind.ERROR_IN_200,
        FaultKind.FLIP,
    ],
)
def test_passing_faults_are_retried(faulty_store, fault_proxy, kind):
    fault_proxy.inject(kind, times=2)
    faulty_store.put("k", BODY, TYPE)
    assert fault_proxy.tries("PUT") == 3
    if kind is not FaultKind.FLIP:  # get does not know what bytes to expect; verify does
        fault_proxy.inject(kind, times=2, method="GET")
        assert faulty_store.get("k") == BODY
        assert fault_proxy.tries("GET") == 3


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.RESET, FaultKind.SLOW_DOWN])
def test_proofs_and_listings_survive_faults(faulty_store, fault_proxy, kind):
    faulty_store.put("k", BODY, TYPE)
    fault_proxy.inject(kind, times=2)
    faulty_store.verify("k", len(BODY), SHA)
    fault_proxy.inject(kind, times=2)
    assert [entry.key for entry in faulty_store.list("")] == ["k"]
    fault_proxy.inject(kind, times=2)
    faulty_store.delete("k")


@pytest.mark.parametrize("kind", [FaultKind.ERROR_IN_200, FaultKind.TRUNCATE])
def test_reading_back_survives_faults(faulty_store, fault_proxy, kind):
    faulty_store.put("k", BODY, TYPE)
    faulty_store.rehash = True
    fault_proxy.inject(kind, times=2, method="GET")
    faulty_store.verify("k", len(BODY), SHA)


def test_a_store_that_stays_silent_is_called_unavailable(faulty_store, fault_proxy):
    settings = replace(faulty_store.settings, tries_max=3, read_seconds_max=0.2)
    store = S3ObjectStore(settings)
    fault_proxy.inject(FaultKind.DELAY, times=3, seconds=1.5)
    with pytest.raises(ObjectStoreUnavailable, match="3 tries"):
        store.put("k", BODY, TYPE)


def test_a_store_that_is_not_there_is_called_unavailable(object_store):
    gone = replace(object_store.settings, endpoint="http://127.0.0.1:9", tries_max=2)
    with pytest.raises(ObjectStoreUnavailable, match=r"127\.0\.0\.1:9"):
        S3ObjectStore(gone).verify("k", 1, SHA)


def test_wrong_keys_are_refused_at_once(object_store, fault_proxy):
    wrong = replace(
        object_store.settings, secret_key="not-the-secret", endpoint=fault_proxy.endpoint
    )
    with pytest.raises(ObjectStoreError, match="SignatureDoesNotMatch"):
        S3ObjectStore(wrong).put("k", BODY, TYPE)
    assert fault_proxy.tries("PUT") == 1


def test_secrets_do_not_show():
    settings = S3Settings(
        endpoint="https://s3.example", bucket="b", access_key="AKIA123", secret_key="hush-hush"
    )
    assert "hush" not in repr(settings)
    assert "AKIA" not in repr(settings)
    assert "hush" not in repr(vars(S3ObjectStore(settings)))


@pytest.mark.parametrize("endpoint", ["", "s3.example", "ftp://x", "http://"])
def test_a_wrong_endpoint_is_named(endpoint):
    with pytest.raises(ValueError, match="want http"):
        S3Settings(endpoint=endpoint, bucket="b", access_key="a", secret_key="s")
