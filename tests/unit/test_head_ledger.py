"""A head opens its own ledger, and never another one or an empty one in its place."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from farm.domain.batch import Batch
from farm.fleet_ray.head import up
from farm.fleet_ray.ledger import keep_url, known_farm, open_own, remember_farm, url_of
from farm.fleet_ray.settings import HeadSettings, ensure_secrets
from farm.store import LedgerRefused, open_store

URL = "postgresql://u:hidden-word@h/d"


@pytest.fixture
def head(tmp_path: Path) -> HeadSettings:
    settings = HeadSettings(data_dir=tmp_path / "farm", renderer="testcard")
    settings.data_dir.mkdir()
    settings.save()
    ensure_secrets(settings)
    return settings


def test_a_head_finds_its_ledger_again(head: HeadSettings):
    store = open_own(head)
    assert known_farm(head) == store.farm_id()
    store.close()
    again = open_own(head)
    assert again.claim_epoch(1.0) == 1
    again.close()


def test_an_empty_ledger_is_not_opened_where_there_was_one(head: HeadSettings):
    open_own(head).close()
    shutil.rmtree(head.store_path.parent)
    for start in (open_own, up):
        with pytest.raises(LedgerRefused, match=r"this farm had one.*farm up --new-ledger"):
            start(head)
    assert not head.store_path.exists()
    remember_farm(head, "")
    open_own(head).close()


def test_another_farms_ledger_is_not_opened(head: HeadSettings, tmp_path: Path):
    open_own(head).close()
    open_store(tmp_path / "other.db").close()
    shutil.copy(tmp_path / "other.db", head.store_path)
    with pytest.raises(LedgerRefused, match="is the ledger of farm"):
        open_own(head)


def test_the_password_is_kept_apart_from_the_settings(head: HeadSettings):
    settings = replace(head, ledger="postgresql://u@h/d")
    keep_url(settings, URL)
    settings.save()
    assert url_of(settings) == URL
    assert settings.secret("ledger").stat().st_mode & 0o777 == 0o600
    assert "hidden-word" not in (settings.data_dir / "head.json").read_text()
    keep_url(settings, "postgresql://u@h/d")
    assert url_of(settings) == URL
    other = replace(head, ledger="postgresql://u@other/d")
    keep_url(other, "postgresql://u@other/d")
    assert url_of(other) == "postgresql://u@other/d"
    keep_url(head, "")
    assert url_of(head) == head.store_path


def farm(head: HeadSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", "from farm.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "HELIOSTAT_DATA_DIR": str(head.data_dir)},
        check=False,
    )


def test_a_backup_comes_back_by_command(head: HeadSettings, tmp_path: Path):
    store = open_own(head)
    epoch = store.claim_epoch(1.0)
    store.stage_batch(epoch, Batch(batch_id="b", name="n", project="p", created_at=1.0))
    store.close()
    file = tmp_path / "ledger.zip"
    made = farm(head, "backup", str(file), "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["tables"]["batches"] == 1
    assert told["bytes"] == file.stat().st_size
    refused = farm(head, "restore", str(file))
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    shutil.rmtree(head.store_path.parent)
    restored = farm(head, "restore", str(file), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["farm_id"] == known_farm(head)
    again = open_own(head)
    assert again.claim_epoch(2.0) == epoch + 2
    again.close()


def test_a_password_is_no_flag(head: HeadSettings):
    refused = farm(head, "up", "--renderer", "testcard", "--ledger", URL)
    assert refused.returncode == 2
    assert "HELIOSTAT_LEDGER" in refused.stderr
    assert "hidden-word" not in refused.stderr
