"""A model in a bucket is fetched like one of a neighbour; keys come from the environment."""

import builtins

import pytest

from node_agent.models import MANIFEST_NAME, ModelError, load_manifest, verify, write_manifest
from node_agent.models.fetch import Patience, fetch, offered
from node_agent.models.sources import S3Source
from tests.fixtures.fault_proxy import Fault, FaultKind
from tests.fixtures.object_store import embedded_store, fault_proxy, object_store
from tests.fixtures.paper_model import WEIGHTS

__all__ = ["embedded_store", "fault_proxy", "object_store"]

HASTY = Patience(tries_max=3, corrupted_max=2, wait_seconds_max=0)


@pytest.fixture
def bucket(object_store, build, monkeypatch):
    """A bucket with a model under a prefix; gives its address."""
    model = build(floats=100_000)
    write_manifest(model, name="helios-paper", revision="abc123")
    for path in (MANIFEST_NAME, *(file.path for file in load_manifest(model).files)):
        content = (model / path).read_bytes()
        object_store.put(f"models/paper/{path}", content, "application/octet-stream")
    settings = object_store.settings
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", settings.region)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return f"s3://{settings.bucket}/models/paper"


def test_a_model_comes_from_a_bucket(bucket, object_store, tmp_path, model):
    source = S3Source(bucket, endpoint_url=object_store.settings.endpoint)
    manifest = offered(source)
    assert fetch(source, manifest, tmp_path / "copy")
    assert verify(tmp_path / "copy") == []
    assert load_manifest(tmp_path / "copy").digest == manifest.digest


def test_a_killed_fetch_goes_on_where_it_was(bucket, object_store, tmp_path):
    source = S3Source(bucket, endpoint_url=object_store.settings.endpoint)
    whole = b"".join(source.read(WEIGHTS, 0))
    part = tmp_path / ".copy.partial" / f"{WEIGHTS}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(whole[:1000])
    assert b"".join(source.read(WEIGHTS, 1000)) == whole[1000:]
    fetch(source, offered(source), tmp_path / "copy")
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == whole


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.TRUNCATE, FaultKind.FLIP])
def test_a_store_that_stumbles_is_asked_again(bucket, fault_proxy, tmp_path, kind):
    source = S3Source(bucket, endpoint_url=fault_proxy.endpoint)
    manifest = offered(source)
    fault_proxy.inject(Fault(kind, times=1, method="GET"))
    fetch(source, manifest, tmp_path / "copy", patience=HASTY)
    assert verify(tmp_path / "copy") == []


def test_what_is_not_there_is_named(bucket, object_store):
    source = S3Source(bucket + "-not", endpoint_url=object_store.settings.endpoint)
    with pytest.raises(ModelError, match=rf"models/paper-not/{MANIFEST_NAME}.*NoSuchKey"):
        offered(source, patience=HASTY)


def test_without_keys_it_is_said_which(bucket, object_store, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    source = S3Source(bucket, endpoint_url=object_store.settings.endpoint)
    with pytest.raises(ModelError, match="AWS_ACCESS_KEY_ID"):
        offered(source, patience=HASTY)


def test_without_boto3_it_is_said_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **options):
        if name.partition(".")[0] == "boto3":
            raise ModuleNotFoundError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelError, match="pip install boto3"):
        S3Source("s3://bucket/model")
