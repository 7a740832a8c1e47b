"""The gateway as a process part: its pages, its health, its end, its ports."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
import urllib3
from grpc_health.v1 import health_pb2, health_pb2_grpc

from farm.fleet_ray.tls import ensure_certificate
from farm.gateway.server import Gateway
from farm.gateway.settings import GatewaySettings, Limits
from farm.plan.economics import HELIOS, seconds_per_frame
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1.batch_service_pb2_grpc import BatchServiceStub
from tests.conftest import require_program
from tests.fixtures.gateway import TOKEN, Rig, submission
from tests.fixtures.simulated_card import SimulatedCard, outcomes

SAMPLE = re.compile(r"^(?P<name>[a-z0-9_]+)(?:{(?P<labels>[^}]*)})? (?P<value>\S+)$", re.M)


def samples(page: str) -> dict[str, float]:
    """`name{labels}` → value."""
    return {
        match["name"] + (f"{{{match['labels']}}}" if match["labels"] else ""): float(match["value"])
        for match in SAMPLE.finditer(page)
    }


async def rendering(rig: Rig) -> tuple[SimulatedCard, tuple[str, int]]:
    """A card with one recorded chunk of the work that the H100's rate was published for."""
    rows = [{"prompt": "a fox", "frames": "66", "size": "640x384", "steps": "1,1,1"}] * 3
    await rig.batches.Submit(submission(rows))
    card = SimulatedCard(rig)
    await card.exchange()
    key = next(iter(card.held))
    rig.clock.seconds += 10
    assert outcomes(await card.render_chunk(key, 0)) == ["RECORDED"]
    rig.clock.seconds += 10
    return card, key


class TestMetrics:
    async def test_promtool_has_no_complaint(self, stored_rig: Rig) -> None:
        promtool = require_program("promtool")
        await rendering(stored_rig)
        status, page = await stored_rig.get("/metrics")
        assert status == 200
        checked = await asyncio.to_thread(
            subprocess.run, [promtool, "check", "metrics"], input=page, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")

    async def test_the_page_tells_the_whole_fleet(self, stored_rig: Rig) -> None:
        card, _ = await rendering(stored_rig)
        _, page = await stored_rig.get("/metrics")
        found = samples(page)
        assert found["heliostat_frames_rendered_total"] == 33
        assert found["heliostat_frames_delivered_total"] == 0
        assert found["heliostat_waste_frames"] == 33
        assert found["heliostat_chunks_recorded_total"] == 1
        assert found['heliostat_clips{state="leased"}'] == 1
        assert found['heliostat_clips{state="queued"}'] == 2
        assert found['heliostat_cards{state="online"}'] == 1
        assert found['heliostat_card_frames_rendered_total{card="node-0"}'] == 33
        assert found["heliostat_chunk_render_seconds_sum"] == 1.5
        assert found['heliostat_card_render_busy_seconds_total{card="node-0"}'] == 1.25
        assert found['heliostat_card_render_idle_seconds_total{card="node-0"}'] == 0.75
        assert found['heliostat_verifications_total{outcome="ok"}'] == 3
        assert found['heliostat_grants_total{kind="negative"}'] == 1
        assert found["heliostat_coordinator_epoch"] == 1
        assert found["heliostat_coordinator_up"] == 1
        baseline = 'basis="published",name="h100",size="640x384",steps="1,1,1"'
        assert found[f"heliostat_baseline_frames_per_second{{{baseline}}}"] == 19.53
        assert card.frames == 33

    async def test_no_label_names_what_is_rendered(self, stored_rig: Rig) -> None:
        _, key = await rendering(stored_rig)
        _, page = await stored_rig.get("/metrics")
        for secret in ("a fox", "shots", key[0], key[0].partition("-")[0]):
            assert secret not in page

    async def test_a_card_has_few_series(self, rig: Rig) -> None:
        for number in range(7):
            await SimulatedCard(rig, card_id=f"node-{number}").exchange()
        _, page = await rig.get("/metrics")
        of_card = [line for line in page.splitlines() if 'card="node-3"' in line]
        assert 10 < len(of_card) <= 100
        assert not any("memory_bytes{" in line for line in of_card), "unknown means absent"

    async def test_a_card_tells_of_itself_and_what_it_cannot_tell_is_absent(self, rig: Rig) -> None:
        senses = {
            "gpu_uuid": "GPU-7", "power_watts": 151.5, "energy_joules": 12.5,
            "energy_method": "counter", "temperature_celsius": 0.0, "throttled_seconds": 3.0,
            "vram_used_bytes": 7 << 30,
        }  # fmt: skip
        await SimulatedCard(rig, card_id="told", senses=senses).exchange()
        await SimulatedCard(rig, card_id="mute").exchange()
        _, page = await rig.get("/metrics")
        found = samples(page)
        assert found['heliostat_card_power_watts{card="told"}'] == 151.5
        assert found['heliostat_card_temperature_celsius{card="told"}'] == 0.0
        assert found['heliostat_card_memory_used_bytes{card="told"}'] == 7 << 30
        assert found['heliostat_card_throttled_seconds_total{card="told"}'] == 3.0
        assert found['heliostat_card_energy_joules_total{card="told",method="counter"}'] == 12.5
        assert any('card="told"' in name and 'uuid="GPU-7"' in name for name in found)
        for name in ("power_watts", "energy_joules_total", "xid_errors_total", "fan_ratio"):
            assert not any(each.startswith(f'heliostat_card_{name}{{card="mute"') for each in found)
        assert not any(name.startswith("heliostat_card_xid_errors") for name in found)

    async def test_without_the_coordinator_the_fleet_is_absent_not_zero(self, rig: Rig) -> None:
        rig.link.is_down = True
        status, page = await rig.get("/metrics")
        assert status == 200
        found = samples(page)
        assert found["heliostat_coordinator_up"] == 0
        assert "heliostat_frames_rendered_total" not in found
        assert not any(name.startswith("heliostat_card_") for name in found)

    @pytest.mark.parametrize(("seconds", "calls"), [(3600.0, 1), (0.0, 20)])
    async def test_scrapes_ask_the_coordinator_again_only_when_its_answer_is_old(
        self, rig: Rig, seconds: float, calls: int
    ) -> None:
        assert rig.settings.limits.fleet_seconds == 1.0
        rig.settings = replace(rig.settings, limits=Limits(fleet_seconds=seconds))
        await rig.restart_gateway()
        await asyncio.gather(*(rig.get("/metrics") for _ in range(20)))
        assert rig.link.calls.count("fleet") == calls

    @pytest.mark.parametrize(("steps", "basis"), [("1,1,1", "published"), ("2,2,2", "estimated")])
    async def test_equivalents_say_what_they_rest_on(
        self, rig: Rig, steps: str, basis: str
    ) -> None:
        rig.settings = replace(rig.settings, model=HELIOS["distilled"])
        await rig.restart_gateway()
        rows = [{"prompt": "p", "size": "640x384", "steps": steps}]
        await rig.batches.Submit(submission(rows))
        await SimulatedCard(rig).exchange()
        _, page = await rig.get("/metrics")
        assert f'heliostat_h100_equivalents{{basis="{basis}"}}' in samples(page)
        view = await rig.fleet.GetFleet(fleet_pb.GetFleetRequest())
        assert view.h100_equivalents_basis == basis

    async def test_equivalents_move_with_every_recorded_chunk(self, stored_rig: Rig) -> None:
        farm = stored_rig.link.coordinator
        farm.books._h100_seconds = lambda work: seconds_per_frame(work, HELIOS["distilled"])
        card, key = await rendering(stored_rig)
        view, _ = farm.fleet()
        stored_rig.clock.seconds += 33 / 19.53
        assert outcomes(await card.render_chunk(key, 1)) == ["RECORDED"]
        second, _ = farm.fleet()
        assert second.h100_equivalents > view.h100_equivalents >= 0


class TestFleet:
    async def test_nodes_and_cards(self, rig: Rig) -> None:
        for number in range(3):
            await SimulatedCard(rig, card_id=f"node-{number}").exchange()
        cards = (await rig.fleet.ListCards(fleet_pb.ListCardsRequest())).cards
        assert [card.card_id for card in cards] == ["node-0", "node-1", "node-2"]
        (node,) = (await rig.fleet.ListNodes(fleet_pb.ListNodesRequest())).nodes
        assert (node.node_id, node.cards, node.cards_online) == ("node", 3, 3)
        view = await rig.fleet.GetFleet(fleet_pb.GetFleetRequest())
        assert (view.cards_online, view.epoch) == (3, 1)
        assert (view.baseline.frames_per_second, view.baseline.basis) == (19.53, "published")


async def to_the_end(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


class TestLife:
    async def test_stopping_says_so_and_ends_streams(self, rig: Rig) -> None:
        await rig.submit("p")
        health = health_pb2_grpc.HealthStub(rig.channel)
        states = health.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await anext(aiter(states))).status == health_pb2.HealthCheckResponse.SERVING
        events = aiter(rig.batches.Watch(batch_pb.WatchRequest(batch_id="shots")))
        await anext(events)
        stopping = asyncio.create_task(rig.gateway.stop(5.0))
        assert (await anext(aiter(states))).status == health_pb2.HealthCheckResponse.NOT_SERVING
        states.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await to_the_end(events)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        await stopping

    async def test_pages(self, rig: Rig) -> None:
        assert await rig.get("/healthz") == (200, "ok\n")
        assert (await rig.get("/nothing"))[0] == 404

    async def test_a_port_that_is_taken_is_said(self, rig: Rig) -> None:
        taken = replace(rig.settings, http_port=rig.gateway.http_port, grpc_port=0)
        with pytest.raises(OSError, match="choose another port"):
            await Gateway(taken, rig.ledger, rig.objects, rig.link).start()
        taken = replace(rig.settings, grpc_port=rig.gateway.grpc_port)
        with pytest.raises(OSError, match="choose another port"):
            await Gateway(taken, rig.ledger, rig.objects, rig.link).start()

    @pytest.mark.parametrize("token", ["", "short", "schlüsselschlüssel"])
    def test_a_weak_token_is_refused(self, token: str) -> None:
        with pytest.raises(ValueError, match="16 ASCII"):
            GatewaySettings(api_token=token)

    def test_settings_do_not_show_the_token(self) -> None:
        assert TOKEN not in repr(GatewaySettings(api_token=TOKEN))

    async def test_off_loopback_both_ports_speak_tls(self, rig: Rig, tmp_path: Path) -> None:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        ensure_certificate(certificate, key, ["farm.example"])
        assert key.stat().st_mode & 0o077 == 0
        rig.settings = replace(rig.settings, tls_key=key, tls_certificate=certificate)
        await rig.restart_gateway()
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        token = grpc.access_token_call_credentials(TOKEN)
        both = grpc.composite_channel_credentials(trusted, token)
        async with grpc.aio.secure_channel(f"localhost:{rig.gateway.grpc_port}", both) as channel:
            answer = await BatchServiceStub(channel).List(batch_pb.ListRequest())
        assert list(answer.batches) == []
        with urllib3.PoolManager(ca_certs=str(certificate)) as pool:
            url = f"https://localhost:{rig.gateway.http_port}/healthz"
            page = await asyncio.to_thread(pool.request, "GET", url)
        assert page.status == 200
