"""The progress of input files on standard error: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from farm.cli.fetch_view import FetchView
    from farm.client import InputOptions
    from farm.client.fetch import Progress
    from farm.config import FarmConfig


class InputsView:
    """A bar for the files that are hashed, then one for those that are sent; none without any."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: FetchView | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def options(self, found: FarmConfig, *, upload: bool) -> InputOptions:
        """What a submission does with files, by the settings."""
        from farm.client import InputOptions
        from farm.domain.roots import roots_of

        return InputOptions(upload=upload, roots=roots_of(found.roots), on_progress=self._show)

    def _show(self, what: str, progress: Progress) -> None:
        from farm.cli.fetch_view import FetchView

        if what != self._what:
            self._end()
            self._what, self._bar = what, FetchView(what).__enter__()
        if self._bar is not None:
            self._bar.show(progress)

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
