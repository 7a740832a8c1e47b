"""Whose ledger a database holds: a head opens its own, and never an empty one in its place."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, select

from farm.store import tables as t
from farm.store.engine import reader_engine, shown
from farm.store.refused import LedgerMissing, LedgerRefused
from farm.store.schema import revision_of

WAY_OUT = (
    "name the right one, put a backup in its place (`farm restore FILE`), "
    "or begin anew (`farm up --new-ledger`)"
)


def farm_of(url_or_path: str | Path) -> str | None:
    """The id of the farm whose ledger it is; None where there is none yet.

    "" for one from before ledgers had ids. Raises `LedgerRefused`, `LedgerUnavailable`.
    """
    try:
        engine = reader_engine(url_or_path)
    except LedgerMissing:
        return None
    try:
        with engine.begin() as connection:
            if revision_of(connection) is None:
                return None
            if "farm_id" not in {c["name"] for c in inspect(connection).get_columns("farm")}:
                return ""
            found: str = connection.execute(select(t.farm.c.farm_id)).scalar_one()
            return found
    finally:
        engine.dispose()


def check_farm(url_or_path: str | Path, farm_id: str) -> None:
    """Raise `LedgerRefused` unless the ledger of the farm with this id is there."""
    found = farm_of(url_or_path)
    if found is None:
        raise LedgerRefused(
            f"{shown(url_or_path)} holds no ledger, and this farm had one ({farm_id}): {WAY_OUT}"
        )
    if found and found != farm_id:
        raise LedgerRefused(
            f"{shown(url_or_path)} is the ledger of farm {found}, this one is {farm_id}: {WAY_OUT}"
        )
