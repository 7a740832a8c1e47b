"""One embedded S3 server for the suite."""

from tests.fixtures.object_store import (  # noqa: F401 - fixtures
    embedded_store,
    fault_proxy,
    faulty_store,
    object_store,
)
