"""A model goes to four machines: few copies from the source, whoever is killed or lies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models import load_manifest, verify, write_manifest
from node_agent.models.serve import shelf
from node_agent.models.swarm.pieces import piece_bytes_of
from tests.fixtures import model_node
from tests.fixtures.model_source import CountingServer, serving
from tests.fixtures.network import CHECKOUT, Machine, Network, require_machines
from tests.fixtures.paper_model import WEIGHTS, build_paper_model

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

FLOATS = 16_000_000
"""A model of 64 MB."""
UPLOAD_MBIT = 100
"""Of each machine, so that there is a middle to kill somebody in."""
COPIES_MAX = 3
IN_FLIGHT = 2 * model_node.LIMITS.at_once


class Rack:
    """Four machines, the source, and the farm's part, which the test plays."""

    def __init__(self, network: Network, model: Path, source: CountingServer) -> None:
        self.network, self.source = network, source
        self.manifest = load_manifest(model)
        self.size = self.manifest.size
        self.pieces_sha256 = ""
        self.machines: dict[str, Machine] = {}
        self.killed: set[str] = set()

    def add(self, name: str) -> None:
        self.machines[name] = self.network.add(name)
        self.start(name)

    def start(self, name: str) -> None:
        machine = self.machines[name]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'proto'}",
            "HELIOSTAT_MODEL_TOKEN": "of the source",
        }
        command = [sys.executable, "-m", "tests.fixtures.model_node"]
        machine.start(
            [*command, name, machine.address, str(UPLOAD_MBIT)],
            environment,
            machine.directory / "node.log",
        )
        self.killed.discard(name)

    def kill(self, name: str) -> node_pb.ModelHolding:
        """SIGKILL. Returns what it had."""
        for process in self.machines[name].processes():
            if "tests.fixtures.model_node" in process.cmdline():
                process.kill()
                psutil.wait_procs([process], timeout=10)
        self.killed.add(name)
        had = self.held(name)
        (self._tmp(name) / "holding").unlink()
        return had

    def held(self, name: str) -> node_pb.ModelHolding:
        file = self._tmp(name) / "holding"
        return node_pb.ModelHolding.FromString(file.read_bytes() if file.exists() else b"")

    def is_whole(self, *names: str) -> bool:
        return all(self.held(name).complete for name in names)

    def place(self, name: str) -> Path:
        return self._tmp(name) / "models" / "model"

    def wait(self, what: Callable[[], bool], *seeds: str) -> None:
        """Exchange with all machines until something is so."""
        until = time.monotonic() + 120
        while not what():
            assert time.monotonic() < until, self.diagnosis()
            for name in self.machines:
                (self._tmp(name) / "offer.new").write_bytes(self._offer(name in seeds))
                (self._tmp(name) / "offer.new").replace(self._tmp(name) / "offer")
            time.sleep(0.05)

    def seed(self, name: str) -> None:
        self.add(name)
        self.wait(lambda: self.is_whole(name), name)
        self.pieces_sha256 = self.held(name).pieces_sha256

    def check(self, *names: str) -> None:
        """Those have every byte of it, and the source sent few copies."""
        for name in names:
            assert load_manifest(self.place(name)).digest == self.manifest.digest
            assert verify(self.place(name), reread=True) == []
        copies = self.source.bytes_sent / self.size
        print(f"the source sent {copies:.2f} copies")
        assert copies <= COPIES_MAX

    def diagnosis(self) -> str:
        return "\n".join(
            f"--- {name}: {self.held(name)}\n"
            + "\n".join((machine.directory / "node.log").read_text().splitlines()[-15:])
            for name, machine in self.machines.items()
        )

    def _tmp(self, name: str) -> Path:
        tmp = self.machines[name].tmp
        assert tmp is not None
        return tmp

    def _offer(self, seeds: bool) -> bytes:
        neighbours = [
            node_pb.Neighbour(node=name, url=held.url, certificate=held.certificate)
            for name in self.machines
            if (held := self.held(name)).url
        ]
        return node_pb.ModelOffer(
            digest=self.manifest.digest,
            name="model",
            source=f"{self.source.url}/model",
            token="of the rollout",
            pieces_sha256=self.pieces_sha256,
            seeds=seeds,
            nodes=self.machines.keys() - self.killed,
            neighbours=neighbours,
        ).SerializeToString()


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    require_machines()
    model = build_paper_model(tmp_path / "origin" / "model", floats=FLOATS)
    write_manifest(model, name="helios-paper", revision="abc")
    network = Network(tmp_path / "machines")
    try:
        source = CountingServer(
            shelf(model), host=network.address, token="of the source", plain=True
        )
        with serving(source):
            yield Rack(network, model, source)
            network.close()
    finally:
        network.close()


def test_a_neighbour_is_killed_in_mid_way_and_goes_on_where_it_was(rack: Rack) -> None:
    rack.seed("node1")
    for name in ("node2", "node3", "node4"):
        rack.add(name)
    rack.wait(lambda: rack.held("node2").bytes > rack.size / 2)
    had = rack.kill("node2")
    assert not had.complete
    rack.wait(lambda: rack.is_whole("node3", "node4"))
    rack.check("node3", "node4")
    rack.start("node2")
    rack.wait(lambda: rack.is_whole("node2"))
    rack.check("node2")
    again = had.bytes + rack.held("node2").bytes_from_neighbours - rack.size
    assert again <= IN_FLIGHT * piece_bytes_of(rack.size)
    assert rack.held("node2").bytes_from_source == 0


def test_the_one_that_has_it_all_is_killed_in_mid_way(rack: Rack) -> None:
    rack.seed("node1")
    for name in ("node2", "node3", "node4"):
        rack.add(name)
    rack.wait(lambda: rack.held("node2").bytes > rack.size / 4)
    rack.kill("node1")
    rack.wait(lambda: rack.is_whole("node2", "node3", "node4"))
    rack.check("node2", "node3", "node4")
    assert rack.source.bytes_sent > rack.size


def test_one_that_sends_wrong_bits_is_refused_and_named(rack: Rack) -> None:
    rack.seed("node1")
    rack.add("node2")
    rack.wait(lambda: rack.is_whole("node2"))
    flip_bits(rack.place("node2") / WEIGHTS)
    for name in ("node3", "node4"):
        rack.add(name)
    rack.wait(lambda: rack.is_whole("node3", "node4"))
    rack.check("node3", "node4")
    named = {who for name in ("node3", "node4") for who in rack.held(name).corrupted}
    assert named == {"node2"}


def flip_bits(weights: Path) -> None:
    """One in every piece."""
    with weights.open("r+b") as content:
        for at in range(1000, weights.stat().st_size, piece_bytes_of(4 * FLOATS)):
            content.seek(at)
            byte = content.read(1)[0]
            content.seek(at)
            content.write(bytes([byte ^ 1]))
