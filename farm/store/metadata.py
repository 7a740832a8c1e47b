"""What the ledger's tables share: their names' conventions, and types that differ by database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, BigInteger, Integer, MetaData

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the type is INTEGER; that holds 64 bits there.
SEQUENCE: Final = BigInteger().with_variant(Integer, "sqlite")
JSON_TYPE: Final = JSON(none_as_null=True)


def one_of(column: str, values: list[str]) -> str:
    """The condition that a column has one of some values."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
