"""A model goes from its source to one node, and from there to all others."""

from __future__ import annotations

import time
from pathlib import Path

from node_agent.models import load_manifest, verify
from tests.node.swarm.conftest import Rack


def test_the_source_sends_one_copy_and_every_node_has_the_model(rack: Rack) -> None:
    rack.seed("n0")
    for name in ("n1", "n2", "n3"):
        rack.add(name)
    rack.wait(lambda: all(map(rack.is_whole, rack.nodes)))
    assert rack.source.bytes_sent < 1.01 * rack.size
    for name in rack.nodes:
        place = rack.root / name / "model"
        assert load_manifest(place).digest == rack.digest
        assert verify(place, reread=True) == []
        assert rack.held(name).pieces_sha256 == rack.pieces_sha256
        assert sorted(path.name for path in place.parent.iterdir() if path.name[0] == ".") == [
            ".swarm.lock"
        ]
    late = rack.held("n3")
    assert (late.bytes_from_source, late.bytes_from_neighbours) == (0, rack.size)
    assert late.bytes == late.bytes_total == rack.size


def test_when_the_only_one_that_has_it_goes_the_others_ask_the_source_for_the_rest(
    rack: Rack,
) -> None:
    rack.seed("n0", upload_mbit=20)
    for name in ("n1", "n2", "n3"):
        rack.add(name)
    rack.wait(lambda: rack.held("n2").bytes_from_neighbours > 0)
    rack.nodes.pop("n0").close()
    rack.wait(lambda: all(map(rack.is_whole, rack.nodes)))
    assert rack.size < rack.source.bytes_sent <= 3 * rack.size


def test_when_nobody_knows_the_pieces_any_more_one_brings_all_of_it(rack: Rack) -> None:
    rack.seed("n0")
    rack.nodes.pop("n0").close()
    for name in ("n1", "n2", "n3"):
        rack.add(name)
    rack.wait(lambda: all(map(rack.is_whole, rack.nodes)))
    assert rack.source.bytes_sent <= 3 * rack.size
    assert {rack.held(name).pieces_sha256 for name in rack.nodes} == {rack.pieces_sha256}


def test_a_piece_with_a_wrong_bit_is_refused_and_its_sender_named(rack: Rack) -> None:
    rack.seed("n0")
    rack.add("n1")
    rack.wait(lambda: rack.is_whole("n1"))
    flip_bits(rack.root / "n1" / "model")
    rack.add("n2")
    rack.wait(lambda: rack.is_whole("n2"))
    assert rack.held("n2").corrupted.keys() == {"n1"}
    assert verify(rack.root / "n2" / "model", reread=True) == []
    assert rack.source.bytes_sent < 1.01 * rack.size


def flip_bits(model: Path) -> None:
    """One in every piece of the weights."""
    for weights in model.rglob("*.safetensors"):
        content = bytearray(weights.read_bytes())
        for at in range(1000, len(content), 256 << 10):
            content[at] ^= 1
        weights.write_bytes(content)


def test_what_came_before_a_stop_is_not_fetched_again(rack: Rack) -> None:
    rack.seed("n0", upload_mbit=20)
    node = rack.add("n1")
    rack.wait(lambda: rack.held("n1").bytes_from_neighbours > rack.size / 4)
    node.close()
    rack.nodes["n0"].heed(None)
    node.join(30.0)
    before = node.progress.from_neighbours
    rack.add("n1")
    rack.wait(lambda: rack.is_whole("n1"))
    assert before + rack.held("n1").bytes_from_neighbours == rack.size


def test_one_agent_of_a_node_does_it_and_the_others_look(rack: Rack) -> None:
    rack.seed("n0")
    rack.add("first", folder="node")
    rack.wait(lambda: rack.is_whole("first"))
    rack.add("second", folder="node")
    rack.wait(lambda: rack.is_whole("second"))
    assert rack.held("second").url == ""
    rack.nodes.pop("first").close()
    rack.wait(lambda: rack.held("second").url != "" and rack.is_whole("second"))


def test_what_is_not_offered_any_more_is_given_no_more(rack: Rack) -> None:
    rack.seed("n0")
    rack.nodes["n0"].heed(None)
    assert rack.nodes["n0"].holding() is None


def test_a_name_that_leads_elsewhere_is_refused(rack: Rack) -> None:
    node = rack.add("n0")
    offer = rack.offer(seeds=True)
    offer.name = "../elsewhere"
    node.heed(offer)
    until = time.monotonic() + 180
    while not rack.held("n0").problem and time.monotonic() < until:
        time.sleep(0.01)
    assert "../elsewhere" in rack.held("n0").problem
    assert not (rack.root / "elsewhere").exists()
