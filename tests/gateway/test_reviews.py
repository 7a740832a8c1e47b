"""Reviews and queries through a gateway: who says what of which take, and who finds it again."""

from __future__ import annotations

import grpc
import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.simulated_card import SimulatedCard

APPROVED = types_pb.Review.VERDICT_APPROVED
REJECTED = types_pb.Review.VERDICT_REJECTED
NONE_YET = types_pb.Review.VERDICT_UNSPECIFIED

ROWS = [
    {"id": f"sh{n:03}", "prompt": f"a fox {n}", "Shot Code": f"SH{n:03}", "Sequence": f"sq{n % 2}"}
    for n in range(1, 5)
]


async def finished(rig: Rig, rows: list[dict[str, str]] = ROWS, done: int = 3) -> str:
    """A batch with so many takes in a real object store; returns its id."""
    answer = await rig.batches.Submit(submission(rows, set_fields={"frames": "33"}))
    card = SimulatedCard(rig)
    for n in range(done):
        await card.exchange()
        (key,) = card.held
        await card.render_chunk(key, 0)
        files = {"take": f"take {n}".encode() * 5000, "sidecar": b'{"clip": %d}' % n}
        await card.upload(key, files)
        card.report_take(key, 33, files)
        card.capacity = int(n + 1 < done)
        await card.exchange()
    return answer.batch.batch_id


def review(*clips: str, verdict: int = APPROVED, request_id: str = "", **more: str):
    return batch_pb.ReviewRequest(
        request_id=request_id or f"{clips}{verdict}{more}",
        batch_id="shots",
        clips=clips,
        verdict=verdict,
        **{"reviewer": "ann", **more},
    )


async def listed(rig: Rig, **query) -> list[str]:
    where = [
        batch_pb.ColumnFilter(column=column, values=values)
        for column, values in query.pop("where", {}).items()
    ]
    request = batch_pb.ListClipsRequest(batch_id="shots", where=where, **query)
    return [clip.name for clip in (await rig.batches.ListClips(request)).clips]


async def refused(call) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
    )
    return error.value.details() or ""


class TestReviews:
    async def test_the_latest_review_counts_and_the_history_keeps_all(
        self, stored_rig: Rig
    ) -> None:
        batch_id = await finished(stored_rig)
        call = stored_rig.batches.Review
        answer = await call(review("sh001", "sh002"))
        assert answer.clips == 2
        assert (answer.batch.reviews.awaiting, answer.batch.reviews.approved) == (1, 2)
        answer = await call(review("sh001", verdict=REJECTED, note="too dark", reviewer="bob"))
        counts = answer.batch.reviews
        assert (counts.awaiting, counts.approved, counts.rejected) == (1, 1, 1)
        request = batch_pb.ListClipsRequest(batch_id="shots", clips=["sh001"])
        (clip,) = (await stored_rig.batches.ListClips(request)).clips
        said = clip.review
        assert (said.verdict, said.note, said.reviewer) == (REJECTED, "too dark", "bob")
        assert clip.latest
        events = stored_rig.ledger.events(after=0, limit=1000, batch_id=batch_id)
        assert [(e.clip_name, e.detail) for e in events if e.kind == "review"] == [
            ("sh001", "approved by ann"),
            ("sh002", "approved by ann"),
            ("sh001", "rejected by bob: too dark"),
        ]

    async def test_the_same_request_counts_once(self, stored_rig: Rig) -> None:
        await finished(stored_rig)
        for _ in range(2):
            answer = await stored_rig.batches.Review(review("sh001", request_id="same"))
            assert answer.clips == 1
        ids = stored_rig.ledger.clip_ids(answer.batch.batch_id, ["sh001"])
        events = stored_rig.ledger.clip_events(ids["sh001"], limit=10)
        assert [event.kind for event in events].count("review") == 1

    async def test_what_cannot_be_reviewed_is_told_and_nothing_is_changed(
        self, stored_rig: Rig
    ) -> None:
        await finished(stored_rig)
        call = stored_rig.batches.Review
        assert "not done and have no take" in await refused(call(review("sh001", "sh004")))
        assert "has no clip nobody" in await refused(call(review("nobody")))
        assert "neither approved nor rejected" in await refused(call(review("sh001", verdict=0)))
        assert "names no clips" in await refused(call(review()))
        assert "is empty" in await refused(call(review("sh001", reviewer="")))
        assert await listed(stored_rig, verdicts=[APPROVED, REJECTED]) == []


class TestQueries:
    async def test_verdicts_are_found(self, stored_rig: Rig) -> None:
        await finished(stored_rig)
        await stored_rig.batches.Review(review("sh001"))
        await stored_rig.batches.Review(review("sh003", verdict=REJECTED))
        assert await listed(stored_rig, verdicts=[APPROVED]) == ["sh001"]
        assert await listed(stored_rig, verdicts=[APPROVED, REJECTED]) == ["sh001", "sh003"]
        assert await listed(stored_rig, verdicts=[NONE_YET]) == ["sh002"]
        assert await listed(stored_rig, verdicts=[NONE_YET, REJECTED]) == ["sh002", "sh003"]

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ({"shot_code": ["sh002"]}, [2]),
            ({"SHOT-CODE": ["Sh002", "sH004", "sh9"]}, [2, 4]),
            ({"shot code": ["*00*"], "sequence": ["sq1"]}, [1, 3]),
            ({"shot code": ["sh_02"]}, []),
            ({"sequence": ["%"]}, []),
            ({"sequence": ["*1", "sq0"]}, [1, 2, 3, 4]),
            ({"id": ["sh003"]}, [3]),
            ({"prompt": ["*FOX 4"]}, [4]),
            ({"size": ["640x384"], "version": ["1"]}, [1, 2, 3, 4]),
            ({"state": ["queued"]}, [1, 2, 3, 4]),
            ({"card": ["*"]}, [1, 2, 3, 4]),
            ({"card": ["c"]}, []),
            ({"note": ["ÉTÉ"]}, [1]),
            ({"note": ["*t*"]}, [1]),
            ({"note": [""]}, [2, 3, 4]),
        ],
    )
    async def test_columns_are_found_in_any_case(
        self, rig: Rig, where: dict[str, list[str]], found: list[int]
    ) -> None:
        rows = [{**row, "note": "été" if row["id"] == "sh001" else ""} for row in ROWS]
        rows = [{name: text for name, text in row.items() if text} for row in rows]
        await rig.batches.Submit(submission(rows))
        assert await listed(rig, where=where) == [f"sh{n:03}" for n in found]

    async def test_a_column_that_is_not_there_is_told_with_those_that_are(self, rig: Rig) -> None:
        await rig.batches.Submit(submission(ROWS))
        text = await refused(_listing(rig, "sequense"))
        assert "did you mean sequence? its own are Sequence, Shot Code" in text

    async def test_pages_of_a_query_go_on_where_the_last_one_ended(self, rig: Rig) -> None:
        rows = [{"id": f"c{n:03}", "prompt": "p", "Even": str(n % 2)} for n in range(30)]
        await rig.batches.Submit(submission(rows))
        request = batch_pb.ListClipsRequest(
            batch_id="shots",
            page_size=4,
            where=[batch_pb.ColumnFilter(column="even", values=["1"])],
        )
        names = []
        while True:
            answer = await rig.batches.ListClips(request)
            assert len(answer.clips) <= 4
            names += [clip.name for clip in answer.clips]
            request.page_token = answer.next_page_token
            if not request.page_token:
                break
        assert names == [f"c{n:03}" for n in range(1, 30, 2)]

    async def test_only_the_latest_version_counts_as_awaiting(self, stored_rig: Rig) -> None:
        batch_id = await finished(stored_rig, ROWS[:2], done=2)
        await stored_rig.batches.Review(review("sh001"))
        # As a retake leaves it: the same name, one version on.
        with stored_rig.store._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE clips SET name = 'sh001', version = 2 WHERE name = 'sh002'"
            )
        assert await listed(stored_rig, latest=True) == ["sh001"]
        assert await listed(stored_rig, latest=True, verdicts=[APPROVED]) == []
        assert await listed(stored_rig, clips=["sh001"]) == ["sh001", "sh001"]
        answer = await stored_rig.batches.Get(batch_pb.GetRequest(batch_id=batch_id))
        counts = answer.batch.reviews
        assert (counts.awaiting, counts.approved, counts.rejected) == (1, 0, 0)
        answer = await stored_rig.batches.Review(review("sh001", verdict=REJECTED))
        assert (answer.batch.reviews.awaiting, answer.batch.reviews.rejected) == (0, 1)


async def _listing(rig: Rig, column: str):
    where = [batch_pb.ColumnFilter(column=column, values=["x"])]
    return await rig.batches.ListClips(batch_pb.ListClipsRequest(batch_id="shots", where=where))
