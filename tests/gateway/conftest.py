"""A gateway with all that stands behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.objects.s3 import S3ObjectStore
from tests.fixtures.gateway import Rig
from tests.fixtures.object_store import (  # noqa: F401 - fixtures
    embedded_store,
    fault_proxy,
    faulty_store,
    object_store,
)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Without an object store behind it."""
    async with Rig(tmp_path) as rig:
        yield rig


@pytest.fixture
async def stored_rig(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Rig]:
    """With a real S3 server behind it."""
    async with Rig(tmp_path, objects=object_store) as rig:
        yield rig
