"""A notice as a signed HTTP POST: a CloudEvent of version 1.0, signed as Standard Webhooks does it.

https://github.com/cloudevents/spec (structured JSON mode), https://www.standardwebhooks.com: the
signature is the HMAC-SHA256 of `ID.TIMESTAMP.BODY`, and a retry has the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from farm.domain.notices import Notice

TYPE_PREFIX: Final = "ai.heliostat.batch."
SECONDS_MAX: Final = 10.0
"""One that never answers is given up so soon, and tried again later."""
CONTENT_TYPE: Final = "application/cloudevents+json"


class NotTaken(Exception):
    """The other side did not take a notice; the text has no secret in it."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good
        """It will not take it the next time either."""


def cloud_event(notice: Notice, farm_id: str, batch: Mapping[str, Any]) -> bytes:
    """The body: what happened, when, and the batch as it is now."""
    event = {
        "specversion": "1.0",
        "id": event_id(notice, farm_id),
        "source": f"heliostat:{farm_id}",
        "type": TYPE_PREFIX + notice.kind.value,
        "subject": notice.batch_id,
        "time": datetime.fromtimestamp(notice.at, tz=UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"detail": notice.detail, "batch": batch},
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def event_id(notice: Notice, farm_id: str) -> str:
    """The same for every try, so that who has heard it already knows it again."""
    return f"{farm_id[:16] or 'farm'}-{notice.number}"


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """`v1,BASE64` over `ID.TIMESTAMP.BODY`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class Poster:
    """Posts notices, one at a time each; call it in a thread."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._http = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(total=SECONDS_MAX), maxsize=4
        )

    def post(self, url: str, event_id: str, body: bytes, now: float) -> None:
        """Return once it is taken (2xx). Raises `NotTaken`; redirects are not followed."""
        headers = {
            "content-type": CONTENT_TYPE,
            "user-agent": "heliostat",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature(self._secret, event_id, int(now), body),
        }
        host = urlsplit(url).hostname or "?"
        try:
            answer = self._http.request(
                "POST", url, body=body, headers=headers, redirect=False, preload_content=False
            )
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise NotTaken(f"{host} cannot be reached ({type(error).__name__})") from None
        answer.close()  # what it says beside its status may have no end
        if answer.status == 410:
            raise NotTaken(f"{host} is gone (410)", for_good=True)
        if not 200 <= answer.status < 300:
            raise NotTaken(f"{host} answered {answer.status}")

    def close(self) -> None:
        """Close its connections."""
        self._http.clear()
