"""What both sides of the ledger read alike: whose it is, what was decided, what was answered."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine, select

from farm.domain.fleet import Circuit, Node
from farm.domain.ledger import EventRow, RequestRow
from farm.domain.project import Limit, Look, Project
from farm.domain.rollout import Change, Rollout
from farm.domain.saved_look import SavedLook
from farm.domain.usage import UsageRow
from farm.domain.work import ClipWork
from farm.store import plan_rows, rollout_rows, usage, work
from farm.store import tables as t
from farm.store.rows import read_event, read_request


class SmallReads:
    """A part of `SqlStore` and of `SqlLedger`."""

    _reads: Engine

    def farm_id(self) -> str:
        """Whose ledger it is."""
        with self._reads.begin() as connection:
            found: str = connection.execute(select(t.farm.c.farm_id)).scalar_one()
        return found

    def projects(self) -> list[Project]:
        """All projects, by name; `default` is among them."""
        with self._reads.begin() as connection:
            return plan_rows.read_projects(connection)

    def limits(self) -> list[Limit]:
        """All named limits, by name."""
        with self._reads.begin() as connection:
            return plan_rows.read_limits(connection)

    def saved_looks(self) -> list[SavedLook]:
        """All saved looks, by name."""
        with self._reads.begin() as connection:
            return plan_rows.read_saved_looks(connection)

    def usage(
        self,
        *,
        first: str = "",
        last: str = "",
        project: str | None = None,
        by: Collection[str] = (),
    ) -> list[UsageRow]:
        """Sums from a UTC day to another, by a subset of `day`, `month` and `project`, in order.

        By nothing it is one row.
        """
        with self._reads.begin() as connection:
            return usage.read_usage(connection, first=first, last=last, project=project, by=by)

    def work(self, batch_id: str, *, limit: int, after: int = 0) -> list[ClipWork]:
        """What was done for a batch's clips, in the order of the file, after ordinal `after`."""
        with self._reads.begin() as connection:
            return work.read_work(connection, batch_id, limit=limit, after=after)

    def usage_since(self) -> str:
        """The first UTC day of which usage is known; empty where none is."""
        with self._reads.begin() as connection:
            return usage.first_day(connection)

    def circuits(self) -> list[Circuit]:
        """All circuits, by name."""
        with self._reads.begin() as connection:
            return plan_rows.read_circuits(connection)

    def nodes(self) -> list[Node]:
        """Nodes of which something was decided, by hostname."""
        with self._reads.begin() as connection:
            return plan_rows.read_nodes(connection)

    def rollouts(self) -> list[Rollout]:
        """All rollouts, by number."""
        with self._reads.begin() as connection:
            return rollout_rows.read_rollouts(connection)

    def rollout_cards(self, number: int | None = None) -> list[Change]:
        """The cards of a rollout, or of all of them."""
        with self._reads.begin() as connection:
            return rollout_rows.read_changes(connection, number)

    def looks(self, batch_id: str) -> dict[str, Look]:
        """What people said of a batch's clips at their first look, by clip id."""
        with self._reads.begin() as connection:
            return plan_rows.read_looks(connection, batch_id)

    def request(self, request_id: str) -> RequestRow | None:
        """What a request_id was answered with."""
        with self._reads.begin() as connection:
            return read_request(connection, request_id)

    def clip_events(self, clip_id: str, *, limit: int) -> list[EventRow]:
        """The latest events of a clip, the newest first."""
        query = (
            select(t.events, t.clips.c.name)
            .join(t.clips, t.clips.c.clip_id == t.events.c.clip_id)
            .where(t.events.c.clip_id == clip_id)
            .order_by(t.events.c.sequence.desc())
            .limit(limit)
        )
        with self._reads.begin() as connection:
            return [read_event(row) for row in connection.execute(query)]
