"""What people decide is carried out whole or not at all, once, and is still so after a restart."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from farm.domain.batch import BatchState
from farm.domain.clip import ClipState, GateReached
from farm.domain.errors import BadDecision, NotFound, RequestConflict
from farm.domain.fleet import Standing
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import Ground


def decide(ground: Ground, message: Message) -> int:
    """What the decision counts."""
    return ground.coordinator.decide(
        type(message).__name__, message.SerializeToString(), ground.request()
    ).result


def events(ground: Ground, target: str = "") -> list[tuple[str, str, str]]:
    assert ground.ledger is not None
    rows = ground.ledger.fleet_events(target, limit=100)
    return [(row.event.target, row.event.kind, row.event.detail) for row in reversed(rows)]


def hold(ground: Ground, *clip_ids: str) -> None:
    """Bring queued clips to their first look."""
    for n in range(len(clip_ids)):
        card = ground.card(f"looker{n}", capacity=1)
        card.say()
        card.start_all()
        card.say(*(card.chunk(clip, 0) for clip in card.held))
    books = ground.coordinator.books
    with books.transaction():
        for clip_id in clip_ids:
            clip = books.clips.get(clip_id)
            assert clip is not None
            if clip.state is ClipState.LEASED:
                books.step(clip, GateReached())


class TestBatches:
    def test_a_paused_batch_gives_out_nothing_until_it_is_resumed(self, ground: Ground) -> None:
        ground.submit(2)
        assert decide(ground, batch_pb.PauseRequest(batch_id="b1", reason="dailies")) == 1
        ground.restart()
        assert (ground.coordinator.store.batch("b1").state, ground.card("a").say().wanted[:]) == (
            BatchState.PAUSED, [],
        )  # fmt: skip
        assert decide(ground, batch_pb.ResumeRequest(batch_id="b1")) == 1
        assert ground.card("a").say().wanted
        assert ground.coordinator.store.batch("b1").reason == ""

    def test_the_same_request_is_carried_out_once(self, ground: Ground) -> None:
        ground.submit(1)
        request, data = ground.request(), batch_pb.PauseRequest(batch_id="b1").SerializeToString()
        first = ground.coordinator.decide("PauseRequest", data, request)
        decide(ground, batch_pb.ResumeRequest(batch_id="b1"))
        assert ground.coordinator.decide("PauseRequest", data, request) == first
        assert ground.coordinator.store.batch("b1").state is BatchState.OPEN
        other = type(request)(request.request_id, "another", "b1")
        with pytest.raises(RequestConflict):
            ground.coordinator.decide("PauseRequest", data, other)

    def test_an_ended_batch_leaves_nothing_in_memory(self, ground: Ground) -> None:
        ground.submit(1)
        ground.coordinator.cancel("b1", ["clip 1"], "no", ground.request())
        decide(ground, batch_pb.PauseRequest(batch_id="b1"))
        assert ground.coordinator.books.clips.batch("b1") is None

    def test_a_cancelled_batch_cannot_be_paused_resumed_or_amended(self, ground: Ground) -> None:
        ground.submit(1)
        ground.coordinator.cancel("b1", [], "no", ground.request())
        for kind in (batch_pb.PauseRequest, batch_pb.ResumeRequest, batch_pb.AmendRequest):
            with pytest.raises(BadDecision, match="farm retry b1 --cancelled"):
                decide(ground, kind(batch_id="b1"))

    def test_an_amendment_changes_what_it_names_and_nothing_else(self, ground: Ground) -> None:
        decide(ground, fleet_pb.SetLimitRequest(name="disk", most=2))
        ground.submit(1)
        amend = batch_pb.AmendRequest(
            batch_id="b1", priority=7, every=3, failures_max=0, limits=["disk"],
            needs=types_pb.Needs(card_types=["H100"], tags=["fast"]),
        )  # fmt: skip
        amend.deadline.FromSeconds(int(ground.clock.now()) + 60)
        assert decide(ground, amend) == 1
        decide(ground, batch_pb.AmendRequest(batch_id="b1", no_limits=True))
        ground.restart()
        batch = ground.coordinator.store.batch("b1")
        assert (batch.priority, batch.order.every, batch.failures_max) == (7, 3, 0)
        assert (batch.deadline, batch.limits) == (int(ground.clock.now()) + 60, ())
        assert (batch.needs.card_types, batch.needs.tags) == (("h100",), ("fast",))
        assert decide(ground, batch_pb.AmendRequest(batch_id="b1", no_deadline=True)) == 1
        assert ground.coordinator.store.batch("b1").deadline is None

    def test_a_deadline_in_the_past_shows_the_farms_clock(self, ground: Ground) -> None:
        ground.submit(1)
        amend = batch_pb.AmendRequest(batch_id="b1")
        amend.deadline.FromSeconds(int(ground.clock.now()) - 1)
        with pytest.raises(BadDecision, match=r"22:29:59 UTC is past.*22:30:00 UTC"):
            decide(ground, amend)


class TestFirstLook:
    def test_approved_clips_go_on_and_rejected_ones_end(self, ground: Ground) -> None:
        ground.submit(3)
        hold(ground, "b1-00001", "b1-00002", "b1-00003")
        look = batch_pb.LookRequest(batch_id="b1", clips=["clip 1"], approve=True, note="nice")
        assert decide(ground, look) == 1
        assert decide(ground, batch_pb.LookRequest(batch_id="b1", clips=["b1-00002"])) == 1
        assert ground.clip("b1-00001").state is ClipState.QUEUED
        assert ground.clip("b1-00001").chunks_done == 1
        assert ground.clip("b1-00002").state is ClipState.CANCELLED
        assert ground.clip("b1-00002").reason == "rejected at its first look"
        assert ground.clip("b1-00003").state is ClipState.HELD
        assert ground.kinds("b1-00001")[-2:] == ["gate", "approve"]
        assert ground.coordinator.store.looks("b1")["b1-00001"].note == "nice"

    def test_scores_pick_who_goes_on(self, ground: Ground) -> None:
        ground.submit(3)
        hold(ground, "b1-00001", "b1-00002", "b1-00003")
        score = batch_pb.ScoreRequest(
            batch_id="b1", scores={"clip 1": 4.5, "b1-00002": 2}, notes={"clip 1": "sharp"}
        )
        assert decide(ground, score) == 2
        assert decide(ground, batch_pb.LookRequest(batch_id="b1", approve=True, score_min=4.5)) == 1
        assert decide(ground, batch_pb.LookRequest(batch_id="b1", score_below=4.5)) == 1
        states = [ground.clip(f"b1-0000{n}").state for n in (1, 2, 3)]
        assert states == [ClipState.QUEUED, ClipState.CANCELLED, ClipState.HELD]
        look = ground.coordinator.store.looks("b1")["b1-00001"]
        assert (look.score, look.note) == (4.5, "sharp")

    def test_a_batch_that_asks_for_no_look_any_more_lets_go_what_is_held(
        self, ground: Ground
    ) -> None:
        ground.submit(2)
        decide(ground, batch_pb.AmendRequest(batch_id="b1", first_look=True))
        hold(ground, "b1-00001", "b1-00002")
        decide(ground, batch_pb.AmendRequest(batch_id="b1", first_look=False))
        assert ground.states() == {ClipState.QUEUED: 2}

    def test_unknown_clips_and_scores_that_are_no_numbers_change_nothing(
        self, ground: Ground
    ) -> None:
        ground.submit(1)
        hold(ground, "b1-00001")
        with pytest.raises(NotFound, match=r"has no clip x, y: see `farm clips b1`"):
            decide(ground, batch_pb.LookRequest(batch_id="b1", clips=["clip 1", "x", "y"]))
        with pytest.raises(BadDecision, match="clip clip 1 is nan"):
            decide(ground, batch_pb.ScoreRequest(batch_id="b1", scores={"clip 1": float("nan")}))
        assert ground.states() == {ClipState.HELD: 1}


class TestFleet:
    def test_a_cards_standing_survives_its_agent_and_the_coordinator(self, ground: Ground) -> None:
        ground.card("a").say()
        locked = fleet_pb.SetStandingRequest(
            targets=["a"], standing=types_pb.STANDING_LOCKED, reason="fan"
        )
        assert decide(ground, locked) == 1
        ground.restart()
        ground.card("a", incarnation="second").say()
        _, (card,) = ground.coordinator.fleet()
        assert (card.standing, card.standing_reason) == (types_pb.STANDING_LOCKED, "fan")
        decide(ground, fleet_pb.SetStandingRequest(targets=["a"], standing=types_pb.STANDING_OPEN))
        _, (card,) = ground.coordinator.fleet()
        assert (card.standing, card.standing_reason) == (types_pb.STANDING_OPEN, "")
        assert events(ground) == [("a", "lock", "fan"), ("a", "unlock", "")]

    def test_the_stricter_of_a_node_and_its_card_counts(self, ground: Ground) -> None:
        ground.card("a").say()
        for target, standing in (("a", "QUARANTINED"), ("host", "PAUSED")):
            value = types_pb.Standing.Value(f"STANDING_{standing}")
            decide(
                ground,
                fleet_pb.SetStandingRequest(targets=[target], standing=value, reason=target),
            )
        _, (card,) = ground.coordinator.fleet()
        assert (card.standing, card.standing_reason) == (types_pb.STANDING_QUARANTINED, "a")
        decide(ground, fleet_pb.SetStandingRequest(targets=["a"], standing=types_pb.STANDING_OPEN))
        _, (card,) = ground.coordinator.fleet()
        assert (card.standing, card.standing_reason) == (types_pb.STANDING_PAUSED, "host")
        assert events(ground, "a")[-1][1] == "release"

    def test_of_targets_that_are_not_all_known_none_changes(self, ground: Ground) -> None:
        ground.card("gpu-a").say()
        with pytest.raises(NotFound, match=r'"gpu-b": did you mean "gpu-a"\? see `farm nodes`'):
            decide(
                ground,
                fleet_pb.SetStandingRequest(
                    targets=["gpu-a", "gpu-b"], standing=types_pb.STANDING_DRAINING
                ),
            )
        assert ground.coordinator.books.cards.get("gpu-a").row.standing is Standing.OPEN
        assert events(ground) == []

    def test_nodes_may_be_decided_of_before_they_are_heard_of(self, ground: Ground) -> None:
        decide(ground, fleet_pb.SetCircuitRequest(name="left", watts=3000))
        decide(ground, fleet_pb.SetNodeRequest(hostname="new", schedule="sat-sun 00:00-24:00"))
        decide(ground, fleet_pb.SetNodeRequest(hostname="new", circuit="left"))
        (node,) = ground.coordinator.store.nodes()
        assert (node.schedule, node.circuit) == ("sat-sun 00:00-24:00", "left")
        with pytest.raises(BadDecision, match="new behind it"):
            decide(ground, fleet_pb.SetCircuitRequest(name="left"))
        decide(ground, fleet_pb.SetNodeRequest(hostname="new", circuit=""))
        decide(ground, fleet_pb.SetCircuitRequest(name="left"))
        assert ground.coordinator.store.circuits() == []


class TestWhatIsShared:
    def test_a_project_keeps_what_is_not_named(self, ground: Ground) -> None:
        decide(ground, fleet_pb.SetProjectRequest(name="show", weight=2, cap=4))
        decide(ground, fleet_pb.SetProjectRequest(name="show", burst=8))
        ground.restart()
        project = ground.coordinator.books.decided.projects["show"]
        assert (project.weight, project.cap, project.burst) == (2, 4, 8)
        decide(ground, fleet_pb.SetProjectRequest(name="show", no_cap=True, no_burst=True))
        project = ground.coordinator.books.decided.projects["show"]
        assert (project.weight, project.cap, project.burst) == (2, None, None)
        assert events(ground, "project show")[-1][2] == "weight 2, cap none, burst none"

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            (fleet_pb.SetProjectRequest(name="s", weight=0), "a weight of 0: choose"),
            (fleet_pb.SetProjectRequest(name="s", weight=-2), "a weight of -2: choose"),
            (fleet_pb.SetProjectRequest(name="s", weight=float("inf")), "a weight of inf"),
            (fleet_pb.SetProjectRequest(name="s", cap=0), "a cap of 0 cards: choose 1 or more"),
            (fleet_pb.SetProjectRequest(name="s", burst=-1), "a burst of -1 cards: choose"),
            (fleet_pb.SetProjectRequest(name="s", cap=4, burst=3), "burst of 3 is below the cap"),
            (fleet_pb.SetProjectRequest(name=" "), "the project's name"),
            (fleet_pb.SetLimitRequest(name="l", most=-1), "a limit of -1: choose 1 or more"),
            (fleet_pb.SetCircuitRequest(name="c", watts=-5), "-5 watts: choose a number above 0"),
            (fleet_pb.SetStandingRequest(targets=["a"]), "0 is no standing"),
        ],
    )
    def test_values_out_of_range_are_refused_each_in_its_own_words(
        self, ground: Ground, message: Message, expected: str
    ) -> None:
        with pytest.raises(BadDecision, match=expected):
            decide(ground, message)
        assert [project.name for project in ground.coordinator.store.projects()] == ["default"]
        assert events(ground) == []

    def test_a_limit_that_is_removed_is_gone(self, ground: Ground) -> None:
        decide(ground, fleet_pb.SetLimitRequest(name="nuke", most=3))
        decide(ground, fleet_pb.SetLimitRequest(name="nuke"))
        ground.restart()
        assert ground.coordinator.books.decided.limits == {}
        with pytest.raises(NotFound, match="there is no limit"):
            decide(ground, fleet_pb.SetLimitRequest(name="nuke"))
