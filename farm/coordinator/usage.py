"""What the farm renders, makes and uses, counted by day and project as it happens.

It is written with the commits that it belongs to, as the totals are, so that both tell the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from farm.domain.clip import CHUNK_FRAMES, Clip, ClipState, EventKind
from farm.domain.usage import FIELDS, SECONDS_OF_DAY, More, Usage, day_of
from farm.ports import Clock, Store
from heliostat.v1 import fleet_service_pb2 as fleet_pb

if TYPE_CHECKING:
    from farm.coordinator.books import Books

_GIVEN_UP: Final = frozenset({ClipState.FAILED, ClipState.CANCELLED})


class UsageBook:
    """The sums of the farm's whole life, and what is not written down of them yet."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        total = store.usage()[0].usage
        self._total = {name: getattr(total, name) for name in FIELDS}
        self.total = total
        """Of the whole life, as it is written down: what others were told never falls again."""
        self._projects: dict[str, str] = {}
        self._more: dict[tuple[str, str], dict[str, float]] = {}
        self._given_up: dict[str, None] = {}
        self._day = 0, day_of(0.0)
        self.is_due = False
        """What is not written yet is worth a commit of its own."""

    def of(self, clip: Clip, **more: float) -> None:
        """Count more for a clip's project, by name of the field."""
        self.add(self.project_of(clip.batch_id), **more)

    def project_of(self, batch_id: str) -> str:
        """Whose batch it is, be it open or not."""
        project = self._projects.get(batch_id)
        if project is None:
            project = self._projects[batch_id] = self._store.batch(batch_id).project
        return project

    def add(self, project: str, **more: float) -> None:
        """Count more for a project, by name of the field."""
        at = self._clock.now()
        number = int(at // SECONDS_OF_DAY)
        if number != self._day[0]:
            self._day = number, day_of(at)
        of_day = self._more.setdefault((self._day[1], project), {})
        total = self._total
        for name, value in more.items():
            of_day[name] = of_day.get(name, 0) + value
            total[name] += value

    def give_up(self, clip_id: str) -> None:
        """What a clip's recorded chunks took is waste."""
        self._given_up[clip_id] = None

    def take_given_up(self) -> list[str]:
        """Clips that were given up since; each is given out once."""
        given_up, self._given_up = self._given_up, {}
        return list(given_up)

    def take(self) -> dict[tuple[str, str], More]:
        """What is to be written with the next commit; each is given out once."""
        more, self._more, self.is_due = self._more, {}, False
        return dict(more)

    def written(self) -> None:
        """What was taken last is written down."""
        self.total = Usage(**self._total)


def stepped(books: Books, before: Clip, after: Clip, kind: EventKind) -> None:
    """A clip was given up, and its recorded frames with it, or is wanted after all."""
    frames = after.own_frames
    if not frames:
        return
    if after.state in _GIVEN_UP:
        books.usage.of(after, waste_frames=frames)
        books.usage.give_up(after.clip_id)
    elif kind is EventKind.REQUEUE and before.state in _GIVEN_UP:
        books.usage.of(after, reused_frames=frames)


def delivered(books: Books, clip: Clip) -> None:
    """A take was rendered and recorded."""
    books.usage.of(
        clip,
        frames_delivered=clip.frames,
        clips_delivered=1,
        video_seconds=clip.frames / clip.fps,
        trimmed_frames=CHUNK_FRAMES * clip.chunks - clip.frames,
        reused_frames=CHUNK_FRAMES * clip.taken_over,
    )


def waste_given_up(books: Books) -> None:
    """Count as waste what the recorded chunks of clips took that were given up since."""
    given_up = books.usage.take_given_up()
    if not given_up:
        return
    for cost in books.store.chunk_costs(given_up):
        _waste(
            books, cost.batch_id, cost.card_id, cost.seconds, cost.joules, cost.unmeasured_seconds
        )
    of_them = set(given_up)
    for chunk in books.pending.chunks:
        if chunk.clip_id in of_them:
            clip = next(c.after for c in books.pending.clips if c.after.clip_id == chunk.clip_id)
            seconds, joules = chunk.render_seconds, chunk.energy_joules
            unmeasured = seconds if joules is None else 0.0
            _waste(books, clip.batch_id, chunk.card_id, seconds, joules or 0.0, unmeasured)


def _waste(
    books: Books, batch_id: str, card_id: str, seconds: float, joules: float, unmeasured: float
) -> None:
    card = books.cards.get(card_id)
    card_type = card.row.card_type if card is not None else ""
    cap = card.row.power_cap_watts if card is not None else 0.0
    joules += unmeasured * books.tariff.watts_of(card_type, cap)
    books.usage.add(
        books.usage.project_of(batch_id),
        waste_card_seconds=seconds,
        waste_joules=joules,
        waste_money=books.tariff.money(card_type, seconds, joules),
    )


def usage_view(usage: Usage, currency: str) -> fleet_pb.FarmUsage:
    """Sums for people, in a currency (ISO 4217)."""
    values = {name: getattr(usage, name) for name in FIELDS if name != "video_seconds"}
    return fleet_pb.FarmUsage(
        **values, delivered_video_seconds=usage.video_seconds, currency=currency
    )
