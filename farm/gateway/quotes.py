"""Quotes of submissions and of batches, made here from the coordinator's picture of the farm."""

from __future__ import annotations

from functools import partial

from farm.domain.batch import Batch, Budget
from farm.domain.clip import CHUNK_FRAMES, Work
from farm.domain.quote import Quote
from farm.domain.spec import Problem
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import Context, unary
from farm.gateway.quote_views import quote_view, spent_view
from farm.gateway.requests import batch_named
from farm.gateway.settings import GatewaySettings
from farm.plan.economics import seconds_per_frame
from farm.plan.quote import Ask, Rates, above, below_one_clip, quote, rest_of
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1.batch_service_pb2_grpc import BatchServiceServicer


def rates_of(settings: GatewaySettings) -> Rates:
    """What a gateway quotes by: the units of paces are the coordinator's (`Books.cost`)."""
    seconds = partial(seconds_per_frame, model=settings.model, baseline=settings.baseline)

    def cost(work: Work) -> float:
        return seconds(work) * CHUNK_FRAMES or 1.0

    return Rates(
        tariff=settings.tariff, cost=cost, model=settings.model, baseline=settings.baseline
    )


async def quoted(desk: Desk, ask: Ask) -> Quote:
    """The quote of a submission. Raises `CoordinatorUnavailable`."""
    picture = await desk.link.picture()
    return await desk.threads.run(lambda: quote(ask, picture, desk.rates))


def budget_problems(budget: Budget, told: Quote) -> tuple[list[Problem], list[Problem]]:
    """(what refuses a submission, what is only to be known) of its budget."""
    if what := below_one_clip(budget, told):
        return [Problem(0, "--budget", what, "raise it, or quote fewer frames or steps")], []
    if what := above(budget, told):
        said = f"the quote is above the budget: {what}"
        return [], [Problem(0, "--budget", said, "the batch is paused where the budget ends")]
    return [], []


class Quotes(BatchServiceServicer):
    """The calls that quote; `BatchService` adds the others."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @unary
    async def Estimate(  # noqa: N802 - the contract's name
        self, request: batch_pb.EstimateRequest, _context: Context
    ) -> batch_pb.EstimateResponse:
        """What is left of a batch, beside what was promised and spent."""
        desk, name = self._desk, batch_named(request.batch_id)
        batch: Batch = await desk.threads.run(desk.ledger.find_batch, name)
        picture = await desk.link.picture()
        left = await desk.threads.run(lambda: quote(rest_of(picture, batch), picture, desk.rates))
        return batch_pb.EstimateResponse(
            quote=quote_view(left), promise=quote_view(batch.promise), spent=spent_view(batch.spent)
        )
