"""The ledger's fixtures."""

from tests.fixtures.ledger import database, farm  # noqa: F401 - fixtures
