"""What the coordinator and the gateways need from the world, as narrow protocols."""

from farm.ports.ledger import EVERY_CLIP, Ledger
from farm.ports.objects import Grant, ObjectInfo, ObjectStore, Upload, UploadedPart
from farm.ports.store import Clock, Store

__all__ = [
    "EVERY_CLIP",
    "Clock",
    "Grant",
    "Ledger",
    "ObjectInfo",
    "ObjectStore",
    "Store",
    "Upload",
    "UploadedPart",
]
