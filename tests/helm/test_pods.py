"""What the chart's pods say is run: the same commands, variables, users, roots and volumes.

A head and two workers are made of the rendered RayCluster as KubeRay would make them, and run as a
kubelet would; the network policies are enforced (`tests.fixtures.pods`).
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.domain.clip import ENDED, ClipState, EventKind
from farm.objects.embedded import EmbeddedStore
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.network import Network
from tests.fixtures.object_store import embedded_store, s3_settings  # noqa: F401 - a fixture
from tests.fixtures.oracle import check_books
from tests.fixtures.pod_farm import PodFarm
from tests.fixtures.pods import Pod, require_pods
from tests.helm.conftest import CPU_GROUP, Render, merged

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SECONDS_PER_CHUNK = 0.5
ROWS = [
    {"id": f"clip {n}", "prompt": f"the {n}th", "frames": f"{165 - n}", "size": "64x64"}
    for n in range(6)
]
"""Six clips of five chunks."""


@pytest.fixture(scope="module")
def farm(render: Render, embedded_store: EmbeddedStore) -> Iterator[PodFarm]:  # noqa: F811
    """A head and two workers, each a pod, ready."""
    require_pods()
    directory = Path(tempfile.mkdtemp(prefix="heliostat-pods-"))
    network = Network(directory)
    try:
        with FaultProxy(embedded_store.settings.endpoint, network.address) as proxy:
            farm = PodFarm(network, s3_settings(embedded_store, "pods", proxy.endpoint))
            cards = {"head": {"cpuCards": 0}, "workers": [CPU_GROUP]}
            values = merged(farm.values, cards, {"secondsPerChunk": SECONDS_PER_CHUNK})
            farm.start(render(values).objects)
            yield farm
            farm.close()
    finally:
        network.close()
        shutil.rmtree(directory, ignore_errors=True)


def under_way(farm: PodFarm, name: str) -> str:
    """A batch as a user submits it, of which every card has recorded a chunk and has more in hand;
    its id."""
    file = farm.network.directory / f"{name}.csv"
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    said = json.loads(farm.cli("submit", file, "--name", name, "--fresh", "--json"))
    batch_id: str = said["batch"]["batch_id"]

    def in_hand() -> bool:
        events = farm.ledger.events(after=0, limit=10_000, batch_id=batch_id)
        cards = {event.card_id for event in events if event.kind == EventKind.CHUNK}
        held = farm.ledger.progress([batch_id])[batch_id].clips.get(ClipState.LEASED, 0)
        return min(len(cards), held) >= CPU_GROUP["replicas"]

    farm.wait_for("a chunk of every card, and more in hand", in_hand)
    return batch_id


def delivered(farm: PodFarm, batch_id: str) -> None:
    """The batch to its end: each clip once, as the oracle and a client's fetched files have it."""

    def ended() -> bool:
        clips = farm.ledger.progress([batch_id])[batch_id].clips
        return not any(count for state, count in clips.items() if state not in ENDED)

    farm.wait_for(f"the end of {batch_id}", ended, 400)
    verdict = check_books(farm, batch_id, submitted=len(ROWS))
    assert verdict.states() == {ClipState.DONE: len(ROWS)}
    takes = farm.network.directory / f"takes of {batch_id}"
    farm.cli("fetch", batch_id, takes)
    fetched = sorted(hashlib.sha256(f.read_bytes()).hexdigest() for f in takes.rglob("*.mp4"))
    assert fetched == sorted(hashlib.sha256(take).hexdigest() for take in verdict.takes.values())


def script(pod: Pod, text: str) -> str:
    """What a line of shell says in a pod."""
    return pod.main.execute(["sh", "-c", text]).stdout


def test_a_pod_has_no_rights_and_writes_to_its_volumes_alone(farm: PodFarm):
    for pod in (farm.head, *farm.workers):
        context = pod.spec["securityContext"]
        assert script(pod, "id -u").split() == [str(context["runAsUser"])]
        assert str(context["fsGroup"]) in script(pod, "id -G").split()
        lines = script(pod, "cat /proc/self/status").splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
        assert {int(status[f"Cap{which}"], 16) for which in ("Eff", "Prm", "Bnd", "Inh")} == {0}
        assert status["NoNewPrivs"].strip() == "1"
        mounts = [line.split() for line in script(pod, "cat /proc/self/mounts").splitlines()]
        writable = {path for _, path, kind, how, *_ in mounts if how.startswith("rw")}
        declared = pod.main.spec["volumeMounts"]
        wanted = {mount["mountPath"] for mount in declared if not mount.get("readOnly")}
        wanted.remove("/dev/shm")
        assert {path for path in writable if not path.startswith(("/dev/", "/proc"))} == wanted
        assert "Read-only" in pod.main.execute(["touch", "/usr/lib/x", "/x"]).stderr


def test_every_probe_finds_its_pod_well(farm: PodFarm):
    for pod in (farm.head, *farm.workers):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in pod.main.spec:
                farm.wait_for(f"{kind} of {pod.name}", lambda: pod.main.probe(kind))  # noqa: B023


def test_the_farm_answers_inside_the_heads_pod(farm: PodFarm):
    """Though its certificate names what clients outside call it."""
    farm.wait_until_whole()
    done = farm.head.main.execute(["farm", "status", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fleet"]["cards"] == CPU_GROUP["replicas"]


def test_a_client_reaches_the_gateway_and_nothing_else(farm: PodFarm):
    farm.wait_until_whole()
    fleet = json.loads(farm.cli("status", "--json"))["fleet"]
    assert fleet["cards_online"] == CPU_GROUP["replicas"]
    named = {port["name"]: port["containerPort"] for port in farm.head.main.spec["ports"]}
    reached = {name for name, port in named.items() if farm.client_reaches(farm.head, port)}
    assert reached == {"grpc", "http"}


def test_a_worker_is_evicted_in_mid_batch_and_replaced(farm: PodFarm):
    batch_id = under_way(farm, "eviction")
    evicted = farm.workers.pop(0)
    code, seconds = evicted.evict()
    assert code == 0, farm.diagnosis()
    assert "left: nothing was held any more" in evicted.main.said()
    replacement = farm.start_worker()
    farm.wait_until_ready(replacement)
    farm.wait_until_whole()
    delivered(farm, batch_id)
    print(f"evicted in {seconds:.1f} s")


def test_the_head_is_killed_and_goes_on_from_its_volume(farm: PodFarm):
    """Its new pod has another name and another address; workers find it by its service."""
    batch_id = under_way(farm, "head")
    before = farm.head.machine.address
    farm.head.kill()
    farm.start_head()
    assert farm.head.machine.address != before
    delivered(farm, batch_id)
