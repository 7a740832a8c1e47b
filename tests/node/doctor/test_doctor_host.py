"""What the doctor says of the machine around the cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_agent.doctor import gather
from node_agent.doctor.finding import Finding
from node_agent.doctor.host import (
    ClockFacts,
    DiskFacts,
    GroupFacts,
    LimitFacts,
    MemoryFacts,
    check_clock,
    check_disk,
    check_group,
    check_locked_memory,
    check_open_files,
    check_ram,
)

GB = 1_000_000_000
SMALL_CARD, LARGE_CARD = 17 * GB, 85 * GB


def state(finding: Finding) -> str:
    return finding.state.value


class TestMemory:
    @pytest.mark.parametrize(
        ("total", "vram", "expected"),
        [
            (64, SMALL_CARD, "good"),
            (33, SMALL_CARD, "warning"),
            (16, SMALL_CARD, "bad"),
            (33, LARGE_CARD, "good"),
            (8, LARGE_CARD, "bad"),
            (4, None, "good"),
            (1, None, "bad"),
        ],
    )
    def test_holds_the_weights_that_the_card_streams(self, total, vram, expected) -> None:
        found = check_ram(MemoryFacts(total * GB, total * GB), vram)
        assert state(found) == expected

    def test_says_the_numbers(self) -> None:
        what = check_ram(MemoryFacts(33 * GB, 30 * GB), SMALL_CARD).what
        for number in ("28.6 GB", "17.3 GB", "11.4 GB", "40.0 GB", "32.0 GB"):
            assert number in what

    def test_memory_that_others_use_is_no_use(self) -> None:
        found = check_ram(MemoryFacts(64 * GB, 20 * GB), SMALL_CARD)
        assert state(found) == "warning"
        assert "other programs" in found.remedy

    def test_unknown(self) -> None:
        assert state(check_ram(None, SMALL_CARD)) == "unknown"


class TestControlGroup:
    @pytest.mark.parametrize(
        ("limit", "vram", "expected"),
        [
            (None, SMALL_CARD, "good"),
            (48, SMALL_CARD, "good"),
            (34, SMALL_CARD, "warning"),
            (8, SMALL_CARD, "bad"),
            (4, None, "good"),
            (1, None, "bad"),
        ],
    )
    def test_leaves_what_the_card_needs(self, limit, vram, expected) -> None:
        facts = GroupFacts(limit and limit * GB)
        assert state(check_group(facts, vram)) == expected

    def test_unknown(self, tmp_path: Path) -> None:
        assert gather.group(tmp_path / "none") is None
        assert state(check_group(None, SMALL_CARD)) == "unknown"

    def test_the_tightest_limit_above_counts(self, tmp_path: Path) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "a/memory.max").write_text("34000000000\n")
        (tmp_path / "a/b/memory.max").write_text("max\n")
        (tmp_path / "cgroup").write_text("0::/a/b\n")
        assert gather.group(tmp_path / "cgroup", tmp_path) == GroupFacts(34 * GB)

    def test_the_first_version_says_no_limit_by_a_large_number(self, tmp_path: Path) -> None:
        (tmp_path / "memory/x").mkdir(parents=True)
        (tmp_path / "cgroup").write_text("5:cpu:/x\n4:memory:/x\n")
        limit = tmp_path / "memory/x/memory.limit_in_bytes"
        limit.write_text(str(0x7FFFFFFFFFFFF000))
        assert gather.group(tmp_path / "cgroup", tmp_path) == GroupFacts(None)
        limit.write_text("5000000000")
        assert gather.group(tmp_path / "cgroup", tmp_path) == GroupFacts(5 * GB)


class TestSpool:
    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            (DiskFacts(path="s", free=90 * GB, bytes_per_second=500e6), "good"),
            (DiskFacts(path="s", free=90 * GB, bytes_per_second=5e6), "warning"),
            (DiskFacts(path="s", free=5 * GB, bytes_per_second=500e6), "warning"),
            (DiskFacts(path="s", free=1000), "bad"),
            (DiskFacts(path="s", problem="read-only"), "bad"),
            (DiskFacts(path="s", free=90 * GB), "unknown"),
            (None, "unknown"),
        ],
    )
    def test_has_room_and_pace(self, facts, expected) -> None:
        assert state(check_disk(facts)) == expected

    def test_a_real_write_is_measured_and_leaves_nothing(self, tmp_path: Path) -> None:
        facts = gather.disk(tmp_path / "not/there/yet")
        assert facts.bytes_per_second
        assert facts.free > 0
        assert list(tmp_path.iterdir()) == []

    def test_where_nothing_can_be_written_that_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        assert "file is no folder" in gather.disk(tmp_path / "file/spool").problem


class TestClock:
    @pytest.mark.parametrize(
        ("now", "synchronised", "expected"),
        [
            (2e9, True, "good"),
            (2e9, False, "warning"),
            (2e9, None, "unknown"),
            (1e9, True, "bad"),
        ],
    )
    def test_is_about_right(self, now, synchronised, expected) -> None:
        facts = ClockFacts(now=now, not_before=1.7e9, synchronised=synchronised)
        assert state(check_clock(facts)) == expected

    def test_this_machines_clock_has_passed_the_installation(self) -> None:
        facts = gather.clock()
        assert facts.now > facts.not_before


class TestLimits:
    @pytest.mark.parametrize(
        ("soft", "vram", "expected"),
        [
            (None, SMALL_CARD, "good"),
            (30 * GB, SMALL_CARD, "good"),
            (8 << 20, SMALL_CARD, "warning"),
            (8 << 20, LARGE_CARD, "good"),
            (8 << 20, None, "good"),
        ],
    )
    def test_locked_memory(self, soft, vram, expected) -> None:
        assert state(check_locked_memory(LimitFacts(soft), vram)) == expected
        assert state(check_locked_memory(None, vram)) == "unknown"

    @pytest.mark.parametrize(
        ("soft", "expected"), [(None, "good"), (65536, "good"), (1024, "warning"), (64, "bad")]
    )
    def test_open_files(self, soft, expected) -> None:
        assert state(check_open_files(LimitFacts(soft))) == expected
        assert state(check_open_files(None)) == "unknown"
