"""A card and its host do not wait for each other within a chunk; copies change no bit."""

import numpy as np
import pytest
import torch

from node_agent.render.helios.lanes import render_chunks
from tests.node.helios.waiting import whole_chunks


def never(_clip):
    return False


@pytest.mark.gpu
@pytest.mark.parametrize("lanes", [1, 2])
def test_no_call_of_a_round_waits_for_the_card(card, model_on, quick, start, lanes):
    """From a clip's second chunk on: the first has its prompt's keys made, and loads kernels."""
    model = model_on(card)
    clips = [start(model, quick(frames=99, seed=lane)) for lane in range(lanes)]
    whole_chunks(render_chunks(model, clips, never))
    torch.cuda.set_sync_debug_mode("error")
    try:
        pending = render_chunks(model, clips, never)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [chunk.index for chunk in whole_chunks(pending)] == [1] * lanes


@pytest.mark.gpu
def test_frames_arrive_in_page_locked_memory(card, model_on, quick, start):
    chunk = start(model_on(card), quick()).step(lambda: False)
    assert torch.from_numpy(chunk.frames).is_pinned()
    pageable = start(model_on(card, pageable=True), quick()).step(lambda: False)
    assert not torch.from_numpy(pageable.frames).is_pinned()
    assert np.array_equal(pageable.frames, chunk.frames)


@pytest.mark.parametrize("lanes", [1, 2])
def test_chunks_that_are_waited_for_late_are_the_same(
    device, model_on, quick, start, assert_equal_chunks, lanes
):
    model = model_on(device)

    def clips():
        return [start(model, quick(frames=132, seed=lane)) for lane in range(lanes)]

    at_once, late = clips(), clips()
    expected = [whole_chunks(render_chunks(model, at_once, never)) for _ in range(4)]
    rounds = [render_chunks(model, late, never) for _ in range(4)]
    for pending, chunks in zip(reversed(rounds), reversed(expected), strict=True):
        assert_equal_chunks(whole_chunks(pending), chunks)


def test_a_card_says_how_long_it_was_at_work(device, model_on, quick, start):
    model = model_on(device)
    clip = start(model, quick(frames=99))
    model.clock.start()
    chunks = [clip.step(lambda: False) for _ in range(3)]
    assert all(0 < chunk.busy_seconds <= chunk.seconds for chunk in chunks)
    assert all(chunk.idle_seconds > 0 for chunk in chunks)
