"""Which ledger is this head's: its URL, and the id of the farm that it has to be."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from farm.domain.errors import LedgerUnavailable
from farm.fleet_ray.private_file import write_private
from farm.fleet_ray.settings import HeadSettings
from farm.store.engine import shown
from farm.store.identity import check_farm, farm_of
from farm.store.store import SqlStore, open_store

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0


def keep_url(settings: HeadSettings, url: str) -> None:
    """Keep the ledger's URL, its password in it, where only the owner reads.

    One without a password leaves the one that is kept for the same database. Raises OSError.
    """
    path = settings.secret("ledger")
    if not settings.ledger:
        path.unlink(missing_ok=True)
    elif url != settings.ledger or not path.exists() or shown(_read(path)) != settings.ledger:
        write_private(path, f"{url}\n".encode())


def url_of(settings: HeadSettings) -> str | Path:
    """What opens the ledger; may hold a password. Raises OSError."""
    return _read(settings.secret("ledger")) if settings.ledger else settings.store_path


def known_farm(settings: HeadSettings) -> str:
    """The id that this head's ledger has to have; "" before its first start."""
    try:
        return str(json.loads(settings.identity_path.read_text())["farm_id"])
    except FileNotFoundError:
        return ""


def remember_farm(settings: HeadSettings, farm_id: str) -> None:
    """From now on the ledger has to be the one with this id; "" takes whichever is there."""
    if not farm_id:
        settings.identity_path.unlink(missing_ok=True)
    elif farm_id != known_farm(settings):
        content = json.dumps({"farm_id": farm_id}) + "\n"
        write_private(settings.identity_path, content.encode(), mode=0o644)


def check(settings: HeadSettings) -> None:
    """Raise `LedgerRefused`, `LedgerUnavailable` where a coordinator could not open it."""
    known = known_farm(settings)
    if known:
        check_farm(url_of(settings), known)
    elif settings.ledger:
        farm_of(url_of(settings))


def open_own(settings: HeadSettings) -> SqlStore:
    """The coordinator's side of this head's ledger, however long its server takes to appear.

    Raises `LedgerRefused` for another farm's, and for an empty one where there was one.
    """
    settings.store_path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            check(settings)
            store = open_store(url_of(settings))
        except LedgerUnavailable as error:
            logger.warning("the ledger cannot be opened yet: %s", error)
            time.sleep(AGAIN_SECONDS)
        else:
            remember_farm(settings, store.farm_id())
            return store


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
