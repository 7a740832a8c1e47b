"""Orders bring all of a clip's mode to its card, and what an earlier card left for it."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import urllib3

from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.simulated_card import SimulatedCard, chunk_files, outcomes
from tests.gateway.test_exchange import clip, leased


async def test_an_order_says_what_the_clip_starts_from_and_follows(rig: Rig) -> None:
    row = {
        "id": "one",
        "prompt": "a fox",
        "frames": "240",
        "image": "s3://heliostat/in/fox 1.png",
        "schedule": "2: it wakes | 5.5s: it runs",
        "blend_chunks": "2",
        "lora": "film:0.5",
        "skip_first_chunk": "yes",
        "amplify_first_chunk": "no",
        "image_noise": "0.1-0.2",
    }
    await rig.batches.Submit(submission([row]))
    card = SimulatedCard(rig)
    await card.exchange()
    ((key, order),) = card.held.items()
    spec = order.spec
    assert (spec.mode, spec.image) == ("interactive", "s3://heliostat/in/fox 1.png")
    assert [(m.chunk, m.prompt, m.blend_chunks) for m in spec.schedule] == [
        (2, "it wakes", 2),
        (4, "it runs", 2),
    ]
    assert [(lora.name, lora.scale) for lora in spec.loras] == [("film", 0.5)]
    assert spec.skip_first_chunk
    assert (spec.HasField("amplify_first_chunk"), spec.amplify_first_chunk) == (True, False)
    assert (spec.image_noise.min, spec.image_noise.max) == (0.1, 0.2)
    assert not spec.HasField("video_noise")
    (source,) = order.inputs
    assert source.name == "image"
    assert urlsplit(source.url).path == "/nowhere/in/fox%201.png"
    assert "X-Amz-Signature=" in source.url
    assert clip(rig, key).spec.schedule[1].prompt == "it runs"


async def test_a_path_needs_no_url(rig: Rig) -> None:
    await rig.batches.Submit(submission([{"id": "1", "prompt": "p", "video": "/in/a.mp4"}]))
    card = SimulatedCard(rig)
    await card.exchange()
    (order,) = card.held.values()
    assert (order.spec.video, list(order.inputs)) == ("/in/a.mp4", [])


async def test_an_order_names_the_profile_that_the_batch_is_pinned_to(rig: Rig) -> None:
    rows, fast = [{"id": "1", "prompt": "p", "quality": "exact"}], types_pb.Needs(profile="fast")
    cards = [SimulatedCard(rig, card_id=f"node-{n}") for n in range(2)]
    cards[0].profiles, cards[1].profiles = ("exact",), ("exact", "fast")
    await cards[0].exchange()
    answer = await rig.batches.Submit(submission(rows, needs=fast))
    (warning,) = answer.warnings
    assert warning.what == 'no card of the fleet has the profile "fast"'
    assert warning.remedy == "its clips wait until one comes; there is exact"
    for card in cards:
        await card.exchange()
    assert not cards[0].held
    (order,) = cards[1].held.values()
    assert (order.spec.quality, order.profile) == ("exact", "fast")


async def test_what_a_chunk_was_measured_at_comes_back(stored_rig: Rig) -> None:
    card, key = await leased(stored_rig)
    files = {**chunk_files(key, 0), "embeddings": b"the prompts"}
    await card.upload(key, files)
    card.report_chunk(key, 0, files)
    report = card.outbox[0].chunk
    report.energy_joules, report.lanes, report.profile = 812.5, 4, "fast"
    report.steered.add(chunk=0, prompt="it wakes", blend_chunks=1)
    assert outcomes(await card.exchange()) == ["RECORDED"]
    other = SimulatedCard(stored_rig, card_id="node-1")
    stored_rig.link.coordinator.lost("node-0", "first", "killed")
    await other.exchange()
    (order,) = other.held.values()
    (recorded,) = order.recorded
    assert (recorded.energy_joules, recorded.lanes, recorded.profile) == (812.5, 4, "fast")
    assert [(m.chunk, m.prompt, m.blend_chunks) for m in recorded.steered] == [(0, "it wakes", 1)]
    urls = {each.artifact.kind: each.url for each in recorded.artifacts}
    url = urls[types_pb.ARTIFACT_KIND_EMBEDDINGS]
    answer = await asyncio.to_thread(urllib3.request, "GET", url, retries=False)
    assert answer.data == b"the prompts"


async def test_embeddings_come_with_the_first_chunk_alone(stored_rig: Rig) -> None:
    card, key = await leased(stored_rig)
    assert outcomes(await card.render_chunk(key, 0)) == ["RECORDED"]
    files = {**chunk_files(key, 1), "embeddings": b"the prompts"}
    await card.upload(key, files, 1)
    card.report_chunk(key, 1, files)
    response = await card.exchange()
    assert outcomes(response) == ["STALE"]
    assert "with chunk 0 alone" in response.verdicts[0].reason
    assert clip(stored_rig, key).clip.chunks_done == 1
