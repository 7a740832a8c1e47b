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
CHEAP, SMALL, LARGE = (8 * GB,), (17 * GB,), (85 * GB,)
"""Memory of one card: 8, 16 and 80 GB."""


def state(finding: Finding) -> str:
    return finding.state.value


class TestMemory:
    @pytest.mark.parametrize(
        ("total", "cards", "expected"),
        [
            (64, CHEAP, "good"),
            (33, CHEAP, "good"),
            (26, CHEAP, "warning"),
            (16.6, CHEAP, "bad"),
            (26, SMALL, "good"),
            (16.6, SMALL, "warning"),
            (26, SMALL * 2, "warning"),
            (48, SMALL * 2, "good"),
            (16.6, LARGE, "good"),
            (15, LARGE, "bad"),
            (4, (), "good"),
            (1, (), "bad"),
        ],
    )
    def test_holds_the_weights_that_the_cards_stream(self, total, cards, expected) -> None:
        found = check_ram(MemoryFacts(int(total * GB), int(total * GB)), cards)
        assert state(found) == expected

    def test_says_the_numbers(self) -> None:
        found = check_ram(MemoryFacts(int(33.3 * GB), int(31.1 * GB)), CHEAP)
        assert found.what == (
            "33.3 GB, 31.1 GB available: exact streams 38 of 40 blocks and takes 30.2 GB,"
            " fast 18.0 GB; the text encoder, by itself, 15.8 GB"
        )

    @pytest.mark.parametrize(
        ("cards", "words"),
        [
            (SMALL * 2, "exact takes 39.3 GB for 2 cards, fast 14.8 GB; the text"),
            ((24 * GB,), "exact streams 11 of 40 blocks and takes 14.1 GB, fast none"),
            (LARGE, "all weights stay on the card; the text encoder"),
        ],
    )
    def test_says_what_all_cards_take(self, cards, words) -> None:
        assert words in check_ram(MemoryFacts(64 * GB, 60 * GB), cards).what

    def test_says_what_to_add(self) -> None:
        remedy = check_ram(MemoryFacts(16 * GB, 15 * GB), CHEAP).remedy
        assert remedy == "add memory, to 18.0 GB or more (30.2 GB for exact)"
        remedy = check_ram(MemoryFacts(26 * GB, 25 * GB), CHEAP).remedy
        assert remedy == "for exact add memory, to 30.2 GB or more"

    @pytest.mark.parametrize(
        ("available", "words"), [(10, "other programs use too much"), (20, "now only fast fits")]
    )
    def test_memory_that_others_use_is_no_use(self, available, words) -> None:
        found = check_ram(MemoryFacts(64 * GB, available * GB), CHEAP)
        assert state(found) == "warning"
        assert words in found.what

    def test_a_card_that_does_not_tell_its_memory_streams_all(self) -> None:
        assert "40 of 40" in check_ram(MemoryFacts(64 * GB, 60 * GB), (0,)).what

    def test_unknown(self) -> None:
        assert state(check_ram(None, SMALL)) == "unknown"


class TestControlGroup:
    @pytest.mark.parametrize(
        ("limit", "cards", "expected"),
        [
            (None, CHEAP, "good"),
            (34, CHEAP, "good"),
            (26, CHEAP, "warning"),
            (26, CHEAP * 2, "bad"),
            (8, CHEAP, "bad"),
            (4, (), "good"),
            (1, (), "bad"),
        ],
    )
    def test_leaves_what_the_cards_need(self, limit, cards, expected) -> None:
        facts = GroupFacts(limit and limit * GB)
        assert state(check_group(facts, cards)) == expected

    def test_unknown(self, tmp_path: Path) -> None:
        assert gather.group(tmp_path / "none") is None
        assert state(check_group(None, SMALL)) == "unknown"

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
        ("soft", "cards", "expected"),
        [
            (None, CHEAP, "good"),
            (28 * GB, CHEAP * 2, "good"),
            (20 * GB, SMALL, "good"),
            (20 * GB, CHEAP + SMALL, "warning"),
            (8 << 20, LARGE, "good"),
            (8 << 20, (), "good"),
        ],
    )
    def test_locked_memory(self, soft, cards, expected) -> None:
        assert state(check_locked_memory(LimitFacts(soft), cards)) == expected
        assert state(check_locked_memory(None, cards)) == "unknown"

    @pytest.mark.parametrize(
        ("soft", "expected"), [(None, "good"), (65536, "good"), (1024, "warning"), (64, "bad")]
    )
    def test_open_files(self, soft, expected) -> None:
        assert state(check_open_files(LimitFacts(soft))) == expected
        assert state(check_open_files(None)) == "unknown"
