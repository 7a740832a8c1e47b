"""An exchange through the gateway: nothing is recorded that is not in the store, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from farm.domain.names import parse_object_key
from farm.gateway.coordinator_link import CoordinatorUnavailable, GatewayBusy
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.settings import Limits
from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import node_service_pb2 as node_pb
from tests.fixtures.fault_proxy import FaultKind, FaultProxy
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.simulated_card import SimulatedCard, chunk_files, outcomes

Key = tuple[str, int]


async def leased(rig: Rig, **header: Any) -> tuple[SimulatedCard, Key]:
    """A card that holds the only clip of a batch: 66 frames, two chunks."""
    rows = [{"id": "Shot 1/ä", "prompt": "a fox", "frames": "66", "seed": "7", "shot": "sh010"}]
    await rig.batches.Submit(submission(rows, **header))
    card = SimulatedCard(rig)
    response = await card.exchange()
    assert len(response.wanted) == 1
    return card, next(iter(card.held))


def clip(rig: Rig, key: Key) -> Any:
    return rig.ledger.clip_rows([key[0]])[key[0]]


class TestOrders:
    async def test_an_order_says_all_that_a_card_needs(self, rig: Rig) -> None:
        await rig.set_project("film")
        card, key = await leased(rig, project="film", name="reel")
        order = card.held[key]
        assert (order.spec.prompt, order.spec.frames, order.spec.seed) == ("a fox", 66, 7)
        assert (order.project, order.batch_name, order.name) == ("film", "reel", "Shot 1/ä")
        assert (order.version, order.row, dict(order.columns)) == (1, 2, {"shot": "sh010"})
        assert list(order.recorded) == []

    async def test_what_is_held_is_not_ordered_again(self, rig: Rig) -> None:
        card, key = await leased(rig)
        again = await card.exchange()
        assert [(w.clip_id, w.attempt, w.HasField("order")) for w in again.wanted] == [
            (*key, False)
        ]

    async def test_a_lost_response_heals_at_the_next_exchange(self, rig: Rig) -> None:
        card, key = await leased(rig)
        order = card.held.pop(key)
        response = await card.exchange()
        assert response.wanted[0].order == order

    async def test_the_next_attempt_goes_on_from_what_is_recorded(self, stored_rig: Rig) -> None:
        card, key = await leased(stored_rig)
        assert outcomes(await card.render_chunk(key, 0)) == ["RECORDED"]
        other = SimulatedCard(stored_rig, card_id="node-1")
        await other.exchange()
        stored_rig.link.coordinator.lost("node-0", "first", "killed")
        await other.exchange()
        ((next_key, order),) = other.held.items()
        assert next_key == (key[0], key[1] + 1)
        (recorded,) = order.recorded
        assert (recorded.chunk, recorded.frames, recorded.card_id) == (0, 33, "node-0")
        got = {}
        for each in recorded.artifacts:
            answer = await asyncio.to_thread(urllib3.request, "GET", each.url, retries=False)
            got[each.artifact.sha256] = answer.data
        assert sorted(got.values()) == sorted(chunk_files(key, 0).values())
        assert all(hashlib.sha256(data).hexdigest() == sha for sha, data in got.items())


class TestGrants:
    async def test_keys_name_clip_attempt_and_content(self, rig: Rig) -> None:
        await rig.set_project("film")
        card, key = await leased(rig, project="film")
        files = chunk_files(key, 0)
        card.intents = [
            node_pb.UploadIntent(clip_id=key[0], attempt=key[1], artifact=card.artifact(kind, data))
            for kind, data in files.items()
        ]
        response = await card.exchange()
        assert len(response.grants) == 3
        for grant in response.grants:
            parts = parse_object_key(grant.artifact.key)
            assert parts is not None
            assert (parts.project, parts.attempt, parts.version) == ("film", 1, 1)
            assert parts.batch == key[0].partition("-")[0]
            assert grant.artifact.sha256.startswith(parts.sha16)
            assert grant.headers["Content-Length"] == str(grant.artifact.size_bytes)

    async def test_none_for_an_attempt_that_is_not_this_cards(self, rig: Rig) -> None:
        card, key = await leased(rig)
        other = SimulatedCard(rig, card_id="node-1")
        for wrong in (key, (key[0], key[1] + 1), ("b0-00001", 1)):
            other.intents = [
                node_pb.UploadIntent(
                    clip_id=wrong[0], attempt=wrong[1], artifact=card.artifact("segment", b"x")
                )
            ]
            assert not (await other.exchange()).grants

    async def test_none_for_an_artifact_that_cannot_be(self, rig: Rig) -> None:
        card, key = await leased(rig)
        for change in ({"sha256": "../../etc"}, {"size_bytes": 0}, {"kind": 0}):
            artifact = card.artifact("segment", b"data")
            for name, value in change.items():
                setattr(artifact, name, value)
            card.intents = [node_pb.UploadIntent(clip_id=key[0], attempt=key[1], artifact=artifact)]
            assert not (await card.exchange()).grants


class TestVerification:
    async def test_a_whole_clip_is_delivered(self, stored_rig: Rig) -> None:
        card, key = await leased(stored_rig)
        for chunk in (0, 1):
            assert outcomes(await card.render_chunk(key, chunk)) == ["RECORDED"]
        files = {"take": b"the take", "sidecar": b"{}"}
        await card.upload(key, files)
        card.report_take(key, 66, files)
        response = await card.exchange()
        assert outcomes(response) == ["RECORDED"]
        assert not response.wanted
        ask = batch_pb.ListClipsRequest(batch_id="shots", with_urls=True)
        (done,) = (await stored_rig.batches.ListClips(ask)).clips
        assert done.take.frames == 66
        got = await asyncio.to_thread(urllib3.request, "GET", done.take.video_url, retries=False)
        assert got.data == b"the take"

    async def test_a_missing_object_is_asked_for_again_and_nothing_recorded(
        self, stored_rig: Rig
    ) -> None:
        card, key = await leased(stored_rig)
        files = chunk_files(key, 0)
        await card.upload(key, {kind: files[kind] for kind in ("segment", "init")})
        card.report_chunk(key, 0, files)
        response = await card.exchange()
        assert outcomes(response) == ["UPLOAD_AGAIN"]
        assert "no such object" in response.verdicts[0].reason
        assert clip(stored_rig, key).clip.chunks_done == 0
        await card.upload(key, {"negative": files["negative"]})
        assert outcomes(await card.exchange()) == ["RECORDED"]
        assert clip(stored_rig, key).clip.chunks_done == 1

    async def test_a_wrong_size_is_asked_for_again(self, stored_rig: Rig) -> None:
        card, key = await leased(stored_rig)
        files = chunk_files(key, 0)
        await card.upload(key, files)
        card.report_chunk(key, 0, files)
        card.outbox[0].chunk.artifacts[0].size_bytes += 1
        assert outcomes(await card.exchange()) == ["UPLOAD_AGAIN"]
        assert clip(stored_rig, key).clip.chunks_done == 0

    async def test_wrong_bytes_are_found_where_the_store_does_not(
        self, tmp_path: Path, object_store: S3ObjectStore
    ) -> None:
        object_store.rehash = True
        async with Rig(tmp_path, objects=object_store) as rig:
            card, key = await leased(rig)
            files = chunk_files(key, 0)
            await card.upload(key, files)
            card.report_chunk(key, 0, files)
            response = await rig.gateway._exchanger._verify(
                node_pb.ExchangeRequest.FromString(card.request())
            )
            assert response == {}
            lie = next(a for a in card.outbox[0].chunk.artifacts if a.chunk == 0)
            # Another object of the same size under the key that the report computes.
            other = hashlib.sha256(b"other").hexdigest()
            lie.sha256 = lie.sha256[:16] + other[16:]
            assert outcomes(await card.exchange()) == ["UPLOAD_AGAIN"]
            assert clip(rig, key).clip.chunks_done == 0

    async def test_a_key_in_a_report_is_not_believed(self, stored_rig: Rig) -> None:
        card, key = await leased(stored_rig)
        files = chunk_files(key, 0)
        await card.upload(key, files)
        card.report_chunk(key, 0, files)
        for artifact in card.outbox[0].chunk.artifacts:
            artifact.key = "somebody/else's/object"
        assert outcomes(await card.exchange()) == ["RECORDED"]
        (chunk,) = stored_rig.ledger.chunks(key[0])
        assert all(parse_object_key(stored.key) for stored in chunk.objects)

    @pytest.mark.parametrize("kinds", [[], ["init"], ["segment", "take"], ["segment", "segment"]])
    async def test_a_report_of_other_objects_is_refused(self, rig: Rig, kinds: list[str]) -> None:
        card, key = await leased(rig)
        report = node_pb.ChunkReport(
            frames=33, artifacts=[card.artifact(kind, kind.encode()) for kind in kinds]
        )
        card._report(key, chunk=report)
        assert outcomes(await card.exchange()) == ["STALE"]
        assert clip(rig, key).clip.chunks_done == 0

    async def test_a_report_of_no_clip_is_stale(self, rig: Rig) -> None:
        card = SimulatedCard(rig)
        card.report_chunk(("b0-00001", 1), 0, chunk_files(("b0-00001", 1), 0))
        assert outcomes(await card.exchange()) == ["STALE"]

    async def test_a_missing_object_of_a_lost_attempt_is_stale(self, stored_rig: Rig) -> None:
        card, key = await leased(stored_rig)
        stored_rig.link.coordinator.lost("node-0", "first", "killed")
        card.incarnation, card.capacity = "second", 0
        card.report_chunk(key, 0, chunk_files(key, 0))
        assert outcomes(await card.exchange()) == ["STALE"]

    async def test_one_bad_report_does_not_hold_back_the_others(self, stored_rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "p", "frames": "33"} for n in range(8)]
        await stored_rig.batches.Submit(submission(rows))
        card = SimulatedCard(stored_rig, capacity=2)
        while len(card.held) < 2:
            await card.exchange()
        bad, good = card.held
        await card.upload(good, chunk_files(good, 0))
        card.report_chunk(bad, 0, chunk_files(bad, 0))
        card.report_chunk(good, 0, chunk_files(good, 0))
        assert outcomes(await card.exchange()) == ["UPLOAD_AGAIN", "RECORDED"]

    async def test_a_report_that_comes_twice_is_verified_once(
        self, tmp_path: Path, faulty_store: S3ObjectStore, fault_proxy: FaultProxy
    ) -> None:
        async with Rig(tmp_path, objects=faulty_store) as rig:
            card, key = await leased(rig)
            files = chunk_files(key, 0)
            await card.upload(key, files)
            card.report_chunk(key, 0, files)
            request = card.request()
            first = await rig.gateway.exchange(request)
            heads = fault_proxy.tries("HEAD")
            assert heads == 3
            again = await rig.gateway.exchange(request)
            assert fault_proxy.tries("HEAD") == heads
            for data in (first, again):
                assert outcomes(node_pb.ExchangeResponse.FromString(data)) == ["RECORDED"]
            _, page = await rig.get("/metrics")
            assert "heliostat_chunk_render_seconds_count 1.0" in page


class TestTrouble:
    async def test_a_store_that_is_down_means_later_and_no_commit(self, rig: Rig) -> None:
        card, key = await leased(rig)
        card.report_chunk(key, 0, chunk_files(key, 0))
        assert outcomes(await card.exchange()) == ["LATER"]
        assert clip(rig, key).clip.chunks_done == 0
        assert len(card.outbox) == 1

    async def test_a_slow_store_does_not_hold_up_the_heartbeat(
        self, tmp_path: Path, faulty_store: S3ObjectStore, fault_proxy: FaultProxy
    ) -> None:
        async with Rig(tmp_path, objects=faulty_store) as rig:
            rig.settings = replace(rig.settings, limits=Limits(verify_seconds_max=0.2))
            await rig.restart_gateway()
            card, key = await leased(rig)
            files = chunk_files(key, 0)
            await card.upload(key, files)
            card.report_chunk(key, 0, files)
            fault_proxy.inject(FaultKind.DELAY, times=3, method="HEAD", seconds=1.0)
            first = await card.exchange()
            assert outcomes(first) == ["LATER"]
            assert first.wanted
            while outcomes(response := await card.exchange()) == ["LATER"]:
                pass
            assert outcomes(response) == ["RECORDED"]
            assert fault_proxy.tries("HEAD") == 3

    async def test_without_a_coordinator_the_card_is_told_to_try_again(self, rig: Rig) -> None:
        card, key = await leased(rig)
        rig.link.is_down = True
        with pytest.raises(CoordinatorUnavailable, match="restarted"):
            await card.exchange()
        rig.link.is_down = False
        assert (await card.exchange()).wanted[0].clip_id == key[0]

    async def test_a_coordinator_that_hangs_is_not_waited_for(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(coordinator_seconds_max=0.1))
        await rig.restart_gateway()
        hanging = asyncio.Event()
        rig.link.exchange = lambda _requests: hanging.wait()  # type: ignore[method-assign,assignment]
        with pytest.raises(CoordinatorUnavailable, match="no answer"):
            await SimulatedCard(rig).exchange()

    async def test_what_arrives_during_a_call_goes_together(self, rig: Rig) -> None:
        await rig.submit(*["p"] * 10)
        cards = [SimulatedCard(rig, card_id=f"node-{n}") for n in range(300)]
        responses = await asyncio.gather(*(card.exchange() for card in cards))
        assert sum(len(response.wanted) for response in responses) == 10
        assert sum(rig.link.groups) == 300
        assert len(rig.link.groups) < 30
        assert max(rig.link.groups) <= 256

    async def test_one_request_that_cannot_be_served_does_not_starve_the_others(
        self, rig: Rig
    ) -> None:
        await rig.submit("p")
        serve = rig.link.coordinator.exchange

        def choke(requests: list[node_pb.ExchangeRequest]) -> list[node_pb.ExchangeResponse]:
            if any(request.card.card_id == "poison" for request in requests):
                raise KeyError("poison")
            return serve(requests)

        rig.link.coordinator.exchange = choke  # type: ignore[method-assign,assignment]
        names = ["a", "poison", "b", "c"]
        results = await asyncio.gather(
            *(SimulatedCard(rig, card_id=name).exchange() for name in names),
            return_exceptions=True,
        )
        failed = [isinstance(result, CoordinatorUnavailable) for result in results]
        assert failed == [name == "poison" for name in names]

    async def test_exchanges_have_a_limit(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(exchanges_max=5))
        await rig.restart_gateway()
        cards = [SimulatedCard(rig, card_id=f"node-{n}") for n in range(8)]
        results = await asyncio.gather(*(card.exchange() for card in cards), return_exceptions=True)
        assert sum(isinstance(result, GatewayBusy) for result in results) == 3

    @pytest.mark.parametrize("data", [b"\xff\xff", b"", b"x" * (9 << 20)])
    async def test_bytes_that_are_no_exchange_are_refused(self, rig: Rig, data: bytes) -> None:
        with pytest.raises(BadRequest):
            await rig.gateway.exchange(data)
        assert rig.link.groups == []
