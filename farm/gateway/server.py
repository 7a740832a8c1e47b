"""A gateway: gRPC and JSON for clients, HTTP for metrics, exchanges for cards. It keeps nothing."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]
from prometheus_client import CollectorRegistry

from farm.domain.quality import presets
from farm.domain.values import Limits as RowLimits
from farm.gateway.auth import TokenInterceptor
from farm.gateway.batches import BatchService
from farm.gateway.coordinator_link import CoordinatorLink
from farm.gateway.deliveries import Deliveries
from farm.gateway.desk import Desk
from farm.gateway.economics_page import EconomicsPage
from farm.gateway.exchange import Exchanger
from farm.gateway.fleet import FleetService
from farm.gateway.fleet_view import FleetView
from farm.gateway.http import HttpServer, bound_socket
from farm.gateway.inputs import InputDesk
from farm.gateway.json_api import JsonApi
from farm.gateway.metrics import FleetPage, Meters, metered
from farm.gateway.notifier import Notifier
from farm.gateway.pages import Pages
from farm.gateway.quotes import rates_of
from farm.gateway.retention import Caretaker
from farm.gateway.settings import GatewaySettings
from farm.gateway.threads import Threads
from farm.gateway.tokens import load_counter
from farm.ports import Ledger, ObjectStore
from heliostat.v1.batch_service_pb2_grpc import add_BatchServiceServicer_to_server
from heliostat.v1.fleet_service_pb2_grpc import add_FleetServiceServicer_to_server

SERVICES: Final = ("", "heliostat.v1.BatchService", "heliostat.v1.FleetService")
"""What health checks can ask for; the empty name is the whole gateway."""

KEEPALIVE_SECONDS: Final = 30
"""Clients use the same, or more: half of it is what a server allows."""


class Gateway:
    """One gateway. `start`, then `exchange` and its ports serve until `stop`."""

    def __init__(
        self,
        settings: GatewaySettings,
        ledger: Ledger,
        objects: ObjectStore,
        link: CoordinatorLink,
    ) -> None:
        """Make it in the event loop in which it will run."""
        self.settings = settings
        self.grpc_port = 0
        """Set by `start`."""
        self.http_port = 0
        self._registry = CollectorRegistry()
        self._meters = Meters(self._registry)
        objects = metered(objects, self._registry)
        self._threads = Threads(settings.limits.read_threads, "gateway")
        self._fleet = FleetView(settings, link, ledger, self._threads)
        row_limits = _row_limits(settings)
        self._inputs = InputDesk(ledger, objects, row_limits, settings.limits)
        self._desk = Desk(
            ledger=ledger,
            objects=objects,
            link=link,
            fleet=self._fleet,
            inputs=self._inputs,
            threads=self._threads,
            limits=settings.limits,
            row_limits=row_limits,
            count_tokens=load_counter(settings.model_dir),
            rates=rates_of(settings),
            comparators=settings.comparators,
            deliveries=settings.deliveries,
            logs=settings.logs,
            places=asyncio.Semaphore(settings.limits.submissions_max),
        )
        self._batches = BatchService(self._desk, self._meters)
        self._operators = FleetService(self._desk)
        servicers = {"BatchService": self._batches, "FleetService": self._operators}
        self._pages = Pages(
            FleetPage(self._registry, settings.tariff),
            self._fleet,
            self._threads,
            JsonApi(settings, self._threads, servicers),
            EconomicsPage(self._desk, settings.api_token),
            settings.cors_origins,
        )
        self._exchanger = Exchanger(
            ledger=ledger,
            objects=objects,
            link=link,
            threads=self._threads,
            limits=settings.limits,
            meters=self._meters,
        )
        self._caretaker = Caretaker(
            settings.retention,
            ledger,
            objects,
            link,
            self._threads,
            self._registry,
            is_promised=self._inputs.is_promised,
        )
        self._notifier = Notifier(settings.notices, ledger, link, self._threads, self._registry)
        self._deliveries = Deliveries(settings.deliveries, ledger, objects, self._registry)
        self._background: list[asyncio.Task[None]] = []
        self._health = health.HealthServicer()
        self._http: HttpServer | None = None
        self._grpc: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken."""
        settings = self.settings
        sock = bound_socket(settings.host, settings.http_port)
        self.http_port = sock.getsockname()[1]
        self._http = HttpServer(self._pages, sock, settings)
        self._grpc = self._make_grpc_server()
        try:
            self.grpc_port = _add_port(self._grpc, settings)
            await self._grpc.start()
            await self._http.start()
        except BaseException:
            await self._grpc.stop(None)
            sock.close()
            raise
        self._background = [
            asyncio.create_task(self._caretaker.run()),
            asyncio.create_task(self._notifier.run()),
            asyncio.create_task(self._deliveries.run()),
        ]
        for service in SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def exchange(self, request: bytes) -> bytes:
        """A card's exchange; see `Exchanger.exchange`."""
        return await self._exchanger.exchange(request)

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Say NOT_SERVING, end streams, let calls finish within the grace, then close."""
        self._pages.stop_serving()
        await self._health.enter_graceful_shutdown()
        self._desk.stopping.set()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.to_thread(self._deliveries.close)
        if self._grpc is not None:
            await self._grpc.stop(grace_seconds)
        await self._desk.settle()
        if self._http is not None:
            await self._http.stop()
        self._exchanger.close()
        self._inputs.close()
        self._threads.close()

    def _make_grpc_server(self) -> grpc.aio.Server:
        limits = self.settings.limits
        keepalive_ms = KEEPALIVE_SECONDS * 1000
        server = grpc.aio.server(
            interceptors=[TokenInterceptor(self.settings.api_token)],
            maximum_concurrent_rpcs=limits.rpcs_max,
            options=[
                ("grpc.max_receive_message_length", limits.message_bytes_max),
                ("grpc.max_send_message_length", limits.message_bytes_max),
                ("grpc.keepalive_time_ms", keepalive_ms),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 2),
                ("grpc.so_reuseport", 0),  # a second farm on this port must fail, not share it
            ],
        )
        add_BatchServiceServicer_to_server(self._batches, server)
        add_FleetServiceServicer_to_server(self._operators, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return server


def _row_limits(settings: GatewaySettings) -> RowLimits:
    model = settings.model
    limits = RowLimits(
        clips_max=settings.limits.rows_max,
        bucket=settings.bucket,
        inputs=settings.inputs,
        roots=settings.roots,
        loras=settings.loras,
    )
    if model is None:
        return limits
    return replace(
        limits,
        stages=model.stages,
        presets=presets(model.variant, model.stages),
        guided=model.passes_per_step > 1,
    )


def _add_port(server: grpc.aio.Server, settings: GatewaySettings) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.tls_key is None or settings.tls_certificate is None:
            return server.add_insecure_port(address)
        pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        text = f"cannot listen on {address}: choose another port"
        raise OSError(errno.EADDRINUSE, text) from error
