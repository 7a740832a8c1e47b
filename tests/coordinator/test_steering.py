"""Another prompt for clips that render: asked for once, sent until a chunk has it, never lost."""

from __future__ import annotations

import pytest

from farm.domain.errors import BadDecision, NotFound
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import node_service_pb2 as node_pb
from tests.coordinator.conftest import CardVoice, Ground

CLIP = "b1-00001"


def steer(
    ground: Ground, prompt: str = "night", chunk: int = 0, *clips: str, blend: int = 0
) -> int:
    return ground.decide(
        batch_pb.SteerRequest(
            batch_id="b1", clips=clips or [CLIP], prompt=prompt, chunk=chunk, blend_chunks=blend
        )
    )


def sent(response: node_pb.ExchangeResponse) -> list[tuple[str, int, int]]:
    """(prompt, chunk, number) of the first lease's changes."""
    return [(each.prompt, each.chunk, each.number) for each in response.wanted[0].steers]


def followed(card: CardVoice, chunk: int, *numbers: int) -> node_pb.OutboxEntry:
    """The report of a chunk that was begun with these changes."""
    entry = card.chunk(next(iter(card.held)), chunk)
    entry.chunk.changes.extend(numbers)
    return entry


def pending(ground: Ground) -> list[tuple[str, int]]:
    assert ground.ledger is not None
    found = ground.ledger.clip_steers([CLIP])
    return [(each.mark.prompt, each.mark.chunk) for each in found.get(CLIP, [])]


@pytest.fixture
def card(ground: Ground) -> CardVoice:
    """It holds the only clip, of four chunks."""
    ground.submit(1, frames=132)
    card = ground.card("a")
    card.say()
    card.start_all()
    return card


def test_a_change_is_sent_until_a_recorded_chunk_was_begun_with_it(
    ground: Ground, card: CardVoice
) -> None:
    assert steer(ground) == 1
    assert sent(card.say()) == sent(card.say()) == [("night", 0, 1)]
    assert sent(card.say(followed(card, 0))) == [("night", 0, 1)], "it was begun without it"
    assert sent(card.say(followed(card, 1, 1))) == []
    assert pending(ground) == []
    assert ground.kinds(CLIP).count("steer") == 1
    assert ground.details(CLIP, "steer") == ["another prompt from the next chunk on"]


def test_it_outlives_coordinator_and_card(ground: Ground, card: CardVoice) -> None:
    steer(ground, chunk=2)
    ground.restart()
    again = ground.card("a", held=card.held)
    assert sent(again.say()) == [("night", 2, 1)]
    ground.coordinator.lost("a", "first", "killed")
    other = ground.card("b")
    assert sent(other.say()) == [("night", 2, 1)]
    other.start_all()
    other.say(followed(other, 0), followed(other, 1), followed(other, 2, 1))
    ground.restart()
    steer(ground, "day")
    assert sent(ground.card("b", held=other.held).say()) == [("day", 0, 2)], "its number is new"


def test_one_for_the_same_chunk_takes_the_place_of_the_one_before(
    ground: Ground, card: CardVoice
) -> None:
    for prompt, chunk in (("night", 0), ("rain", 3), ("day", 0)):
        steer(ground, prompt, chunk)
    assert sent(card.say()) == [("rain", 3, 2), ("day", 0, 3)]
    assert pending(ground) == [("rain", 3), ("day", 0)]


def test_back_and_forth_within_a_chunk_is_not_mistaken_for_what_was_before(
    ground: Ground, card: CardVoice
) -> None:
    """The same words again are another change: the card has to follow the last one."""
    for prompt in ("night", "day", "night"):
        steer(ground, prompt)
    assert sent(card.say(followed(card, 0, 1))) == [("night", 0, 3)]


def test_a_clip_that_waits_is_steered_from_its_first_chunk(ground: Ground) -> None:
    ground.submit(2, after={2: [1]})
    assert steer(ground, "night", 0, "clip 1", "b1-00002") == 2
    assert sent(ground.card("a").say()) == [("night", 0, 1)]
    assert ground.kinds("b1-00002")[-1] == "steer"


def test_a_clip_that_failed_meanwhile_follows_it_once_it_is_wanted_again(
    ground: Ground, card: CardVoice
) -> None:
    steer(ground)
    ground.coordinator.cancel("b1", [CLIP], "no", ground.request())
    card.say()
    ground.restart()
    ground.coordinator.retry("b1", [CLIP], list(type(ground.clip(CLIP).state)), ground.request())
    assert sent(ground.card("a").say()) == [("night", 0, 1)]


def test_one_that_came_too_late_is_said_so(ground: Ground, card: CardVoice) -> None:
    card.say(*(followed(card, chunk) for chunk in range(3)))
    steer(ground)
    card.say(followed(card, 3))
    card.say(card.take(next(iter(card.held)), frames=132))
    assert ground.details(CLIP, "done") == ["a change of prompt came too late for its last chunk"]
    assert pending(ground) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"prompt": " "}, "empty"),
        ({"prompt": "a\x00b"}, r"U\+0000"),
        ({"chunk": 4}, "chunk 4 of clip b1-00001 is beyond its 4 chunks: choose 2 to 3, or 0"),
        ({"chunk": 1}, "chunk 1 of clip b1-00001 is recorded already: choose 2 to 3, or 0"),
        ({"blend_chunks": 101}, "choose 1 \\(at once\\) to 100, or 0"),
        ({"clips": []}, "names no clip"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    ground: Ground, card: CardVoice, request_: dict[str, object], words: str
) -> None:
    card.say(followed(card, 0), followed(card, 1))
    whole = {"batch_id": "b1", "clips": [CLIP], "prompt": "night", **request_}
    with pytest.raises(BadDecision, match=words):
        ground.decide(batch_pb.SteerRequest(**whole))  # type: ignore[arg-type]
    assert sent(card.say()) == []
    assert "steer" not in ground.kinds(CLIP)


def test_clips_that_have_ended_or_are_not_there_are_refused_with_all_others(
    ground: Ground,
) -> None:
    ground.submit(2)
    ground.coordinator.cancel("b1", ["clip 2"], "no", ground.request())
    with pytest.raises(BadDecision, match="b1-00002 is cancelled"):
        steer(ground, "night", 0, "clip 1", "clip 2")
    with pytest.raises(NotFound, match="clip 3"):
        steer(ground, "night", 0, "clip 1", "clip 3")
    assert sent(ground.card("a").say()) == []


def test_a_clip_with_all_its_chunks_is_refused(ground: Ground, card: CardVoice) -> None:
    card.say(*(followed(card, chunk) for chunk in range(4)))
    with pytest.raises(BadDecision, match="all 4 chunks"):
        steer(ground)


def test_the_usual_blend_is_the_authors(ground: Ground, card: CardVoice) -> None:
    steer(ground)
    steer(ground, chunk=2, blend=1)
    assert [each.blend_chunks for each in card.say().wanted[0].steers] == [3, 1]
