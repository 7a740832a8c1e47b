"""The gateway in a Ray process of its own: restarted for ever, keeps nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shlex
from pathlib import Path

from farm.domain.roots import roots_of
from farm.fleet_ray.coordinator_link import RayCoordinatorLink
from farm.fleet_ray.ledger import url_of
from farm.fleet_ray.model_shape import model_shape
from farm.fleet_ray.settings import HeadSettings, Secrets, s3_settings
from farm.gateway.notifier import NoticeSettings
from farm.gateway.retention import Retention
from farm.gateway.server import Gateway
from farm.gateway.settings import GatewaySettings
from farm.objects.probe import probe
from farm.objects.s3 import S3ObjectStore
from farm.plan.money.comparators import comparators_of
from farm.store.ledger import open_ledger
from heliostat.logs.setup import configure

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


class GatewayActor:
    """Runs in Ray as `gateway`."""

    def __init__(self, data_dir: str) -> None:
        settings = self._settings = HeadSettings.load(Path(data_dir))
        configure("gateway", file=settings.log_file("gateway"), level=settings.log_level)
        self._started = asyncio.get_running_loop().create_task(self._start())

    async def serving(self) -> None:
        """Returns once the gateway serves."""
        await asyncio.shield(self._started)

    async def exchange(self, request: bytes) -> bytes:
        """A node's exchange."""
        gateway = await asyncio.shield(self._started)
        return await gateway.exchange(request)

    async def _start(self) -> Gateway:
        """Start serving, however long store and object store take to appear."""
        while True:
            try:
                return await self._open()
            except OSError as error:  # a port is taken: another process of ours is just ending
                logger.warning("the gateway cannot serve yet: %s", error)
            except Exception:
                logger.exception("the gateway cannot serve yet")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _open(self) -> Gateway:
        settings = self._settings
        keys = Secrets.load(settings)
        shape = model_shape(settings.model) if settings.renderer == "helios" else None
        objects = await asyncio.to_thread(self._open_objects, keys)
        ledger = await asyncio.to_thread(open_ledger, url_of(settings))
        gateway = Gateway(
            GatewaySettings(
                api_token=keys.api_token,
                host=settings.host,
                grpc_port=settings.port_of("grpc"),
                http_port=settings.port_of("http"),
                tls_key=settings.tls_key,
                tls_certificate=settings.tls_certificate,
                bucket=settings.s3_bucket,
                inputs=settings.input_directories,
                roots=roots_of(settings.roots),
                deliveries=settings.deliveries,
                logs=settings.logs,
                loras=settings.loras is not None,
                model_dir=settings.model,
                model=shape,
                baseline=settings.compared_with,
                tariff=settings.tariff,
                comparators=comparators_of(settings.comparators),
                notices=NoticeSettings(
                    secret=keys.notices_secret,
                    webhook=keys.notices_webhook,
                    hook=tuple(shlex.split(settings.notices_hook)),
                ),
                cors_origins=settings.cors_origins,
                retention=Retention(
                    chunk_days=settings.keep_chunks_days, event_days=settings.keep_events_days
                ),
            ),
            ledger,
            objects,
            RayCoordinatorLink(),
        )
        await gateway.start()
        gc.freeze()  # full collections (0.3 s each) need not go through what start-up loaded
        logger.info("gateway serves, process %d", os.getpid())
        return gateway

    def _open_objects(self, keys: Secrets) -> S3ObjectStore:
        store = S3ObjectStore(s3_settings(self._settings, keys))
        store.ensure_bucket()
        enforced = probe(store)
        for name, holds, meaning in enforced.rows():
            if holds:
                logger.info("object store: yes %s", name)
            else:
                logger.warning("object store: NO  %s (%s)", name, meaning)
        return S3ObjectStore(s3_settings(self._settings, keys), rehash=enforced.rehash)
