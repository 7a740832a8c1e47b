"""One farm with the test card, used by command line as its users would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.farm import RealFarm, running_farm


@pytest.fixture(scope="package")
def farm() -> Iterator[RealFarm]:
    with running_farm(seconds_per_chunk=0.2) as farm:
        yield farm
