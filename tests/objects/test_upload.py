"""A node's transfers against a real S3 server behind a proxy that misbehaves (S3-4)."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from farm.objects.s3 import S3ObjectStore
from node_agent.upload import (
    Missing,
    ObjectTransfer,
    Refused,
    TransferLimits,
    Unavailable,
    UrlExpired,
)
from tests.fixtures.fault_proxy import FaultKind

BODY = bytes(range(256)) * 200
SHA = hashlib.sha256(BODY).hexdigest()
LIMITS = TransferLimits(
    tries_max=5, backoff_seconds_first=0.01, backoff_seconds_max=0.05, read_seconds_max=5
)
PASSING = [kind for kind in FaultKind if kind not in {FaultKind.DELAY, FaultKind.TRICKLE}]


@pytest.fixture
def transfer():
    transfer = ObjectTransfer(LIMITS)
    yield transfer
    transfer.close()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "segment.m4s"
    path.write_bytes(BODY)
    return path


def grant_for(store, key="k", body=BODY):
    return store.presign_put(key, len(body), hashlib.sha256(body).hexdigest(), "video/mp4")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_goes_up_and_comes_back(faulty_store, transfer, file, tmp_path):
    grant = grant_for(faulty_store)
    transfer.put(grant.url, grant.headers, file)
    faulty_store.verify("k", len(BODY), SHA)
    back = tmp_path / "new" / "back"
    transfer.get(faulty_store.presign_get("k"), back, sha256=SHA, size=len(BODY))
    assert back.read_bytes() == BODY


def test_an_empty_file_goes_up_and_comes_back(faulty_store, transfer, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    grant = grant_for(faulty_store, body=b"")
    transfer.put(grant.url, grant.headers, empty)
    sha = hashlib.sha256(b"").hexdigest()
    transfer.get(faulty_store.presign_get("k"), tmp_path / "back", sha256=sha, size=0)
    assert (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize("kind", PASSING)
def test_uploads_survive_what_passes(faulty_store, fault_proxy, file, kind):
    reasons = []
    transfer = ObjectTransfer(LIMITS, on_retry=reasons.append)
    grant = grant_for(faulty_store)
    fault_proxy.inject(kind, times=3)
    transfer.put(grant.url, grant.headers, file)
    assert fault_proxy.tries("PUT") == 4
    assert len(reasons) == 3
    assert faulty_store.get("k") == BODY
    transfer.close()


@pytest.mark.parametrize("kind", PASSING)
def test_downloads_survive_what_passes(faulty_store, fault_proxy, transfer, tmp_path, kind):
    faulty_store.put("k", BODY, "video/mp4")
    fault_proxy.inject(kind, times=3)
    target = tmp_path / "in" / "file"
    transfer.get(faulty_store.presign_get("k"), target, sha256=SHA, size=len(BODY))
    assert target.read_bytes() == BODY
    assert names(target.parent) == ["file"]


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.TRICKLE])
def test_a_slow_store_is_waited_for(faulty_store, fault_proxy, transfer, file, tmp_path, kind):
    grant = grant_for(faulty_store)
    fault_proxy.inject(kind, kind, seconds=0.3)
    transfer.put(grant.url, grant.headers, file)
    transfer.get(faulty_store.presign_get("k"), tmp_path / "b", sha256=SHA, size=len(BODY))
    assert (fault_proxy.tries("PUT"), fault_proxy.tries("GET")) == (1, 1)


def test_a_silent_store_is_given_up_after_the_tries(faulty_store, fault_proxy, file):
    impatient = ObjectTransfer(replace(LIMITS, tries_max=2, read_seconds_max=0.2))
    grant = grant_for(faulty_store)
    fault_proxy.inject(FaultKind.DELAY, times=2, seconds=1.5)
    with pytest.raises(Unavailable, match="2 tries"):
        impatient.put(grant.url, grant.headers, file)
    impatient.close()


def test_a_failed_download_leaves_nothing(faulty_store, fault_proxy, transfer, tmp_path):
    faulty_store.put("k", BODY, "video/mp4")
    fault_proxy.inject(FaultKind.TRUNCATE, times=100)
    target = tmp_path / "in" / "file"
    with pytest.raises(Unavailable, match="5 tries"):
        transfer.get(faulty_store.presign_get("k"), target, sha256=SHA, size=len(BODY))
    assert names(target.parent) == []


def test_other_bytes_than_promised_never_appear(faulty_store, transfer, tmp_path):
    faulty_store.put("k", BODY[::-1], "video/mp4")
    faulty_store.put("long", BODY + b"!", "video/mp4")
    for key in ("k", "long"):
        with pytest.raises(Unavailable, match="SHA-256"):
            transfer.get(faulty_store.presign_get(key), tmp_path / "f", sha256=SHA, size=len(BODY))
    assert names(tmp_path) == []


def test_an_ended_url_asks_for_a_fresh_grant(faulty_store, fault_proxy, transfer, file):
    """Signed so long ago that it has ended; the store says 403, once."""
    grant = grant_for(faulty_store)
    ended = grant.url.replace("X-Amz-Date=20", "X-Amz-Date=19")
    with pytest.raises(UrlExpired):
        transfer.put(ended, grant.headers, file)
    assert fault_proxy.tries("PUT") == 1
    with pytest.raises(UrlExpired):
        transfer.get(ended, file.with_name("x"), sha256=SHA, size=1)


def test_a_file_that_changed_since_its_grant_is_refused(faulty_store, fault_proxy, transfer, file):
    grant = grant_for(faulty_store)
    file.write_bytes(BODY[:-1] + b"?")
    with pytest.raises(Refused, match="not the one of its grant"):
        transfer.put(grant.url, grant.headers, file)
    assert fault_proxy.tries("PUT") == 1
    file.write_bytes(BODY[:-1])
    with pytest.raises(Refused, match="51199 bytes, its grant is for 51200"):
        transfer.put(grant.url, grant.headers, file)
    assert fault_proxy.tries("PUT") == 1


def test_what_is_not_there_is_missing(faulty_store, fault_proxy, transfer, file, tmp_path):
    with pytest.raises(Missing):
        transfer.get(faulty_store.presign_get("no"), tmp_path / "f", sha256=SHA, size=1)
    elsewhere = S3ObjectStore(replace(faulty_store.settings, bucket="no-such-bucket"))
    grant = grant_for(elsewhere)
    with pytest.raises(Unavailable, match="NoSuchBucket"):  # a store that starts may say so
        transfer.put(grant.url, grant.headers, file)


def test_a_store_that_is_not_there_is_unavailable(transfer, file):
    with pytest.raises(Unavailable, match="5 tries"):
        transfer.put("http://127.0.0.1:9/b/k", {}, file)


def test_stopping_ends_the_waiting(file):
    stop = threading.Event()
    patient = ObjectTransfer(
        replace(LIMITS, tries_max=1000, backoff_seconds_first=600, backoff_seconds_max=600),
        stop=stop,
        on_retry=lambda _reason: stop.set(),
    )
    with pytest.raises(Unavailable):
        patient.put("http://127.0.0.1:9/b/k", {}, file)
    patient.close()


def test_a_storm_of_faults_loses_and_damages_nothing(faulty_store, fault_proxy, tmp_path):
    """Four threads, every third request disturbed: what was acknowledged is there, bit for bit."""
    transfer = ObjectTransfer(replace(LIMITS, tries_max=30))
    fault_proxy.disturb(0.33, PASSING, seed=20)

    def travel(number):
        body = number.to_bytes(2, "big") * 5_000
        path, back = tmp_path / f"{number}.up", tmp_path / f"{number}.down"
        path.write_bytes(body)
        grant = grant_for(faulty_store, f"storm/{number}", body)
        transfer.put(grant.url, grant.headers, path)
        sha = hashlib.sha256(body).hexdigest()
        url = faulty_store.presign_get(f"storm/{number}")
        transfer.get(url, back, sha256=sha, size=len(body))
        return back.read_bytes() == body

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(travel, range(24)))
    fault_proxy.disturb(0, seed=0)
    assert len(list(faulty_store.list("storm/"))) == 24
    assert {request.fault for request in fault_proxy.seen} > {None}
    assert not list(tmp_path.glob("*.part"))
    transfer.close()
