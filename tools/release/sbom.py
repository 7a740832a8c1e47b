"""Writes a software bill of materials for each part of a release: dist/sbom-NAME.cdx.json.

CycloneDX 1.6, with package URLs, the lock's hashes, licences and what wheels bundle. The same locks
give the same bytes: its time is SOURCE_DATE_EPOCH (that of the last commit, when it is not set).
"""

import argparse
import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from farm import __version__

from .parts import RELEASED, ROOT, Part, facts, parts_of

NAMESPACE = uuid.UUID("5a1c5b1e-6f5f-5c0f-9f43-0d2f3a0e1c11")
"""Of the serial numbers: the same content has the same one."""
_LICENCES = LicenseFactory()


def bill(released: str, parts: list[Part], moment: datetime) -> str:
    """The bill of one of `RELEASED`, as JSON. Raises ValueError when the schema refuses it."""
    kind = ComponentType.LIBRARY if released == "client" else ComponentType.CONTAINER
    name = "heliostat" if released == "client" else f"heliostat-{released}"
    subject = Component(
        name=name,
        version=__version__,
        type=kind,
        bom_ref=f"{name}@{__version__}",
        purl=PackageURL("pypi", None, "heliostat", __version__),
        licenses=[_LICENCES.make_from_string("Apache-2.0")],
    )
    bom = Bom(components=[_component(part) for part in parts])
    bom.metadata.component = subject
    bom.metadata.timestamp = moment
    bom.register_dependency(subject, bom.components)
    content = json.dumps([repr(part) for part in parts])
    bom.serial_number = uuid.uuid5(NAMESPACE, f"{name} {__version__} {moment} {content}")
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if errors is not None:
        raise ValueError(f"{released}: no valid CycloneDX: {errors}")
    return text + "\n"


def _component(part: Part) -> Component:
    if part.python:
        purl = PackageURL("pypi", None, part.name, part.version)
        source = f"https://pypi.org/project/{part.name}/{part.version}/"
    else:
        purl, source = PackageURL("generic", None, part.name, part.version), part.texts[0]
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=each) for each in part.sha256]
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=[_LICENCES.make_from_string(part.licence)],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(source), hashes=hashes
            )
        ],
        properties=[Property(name="heliostat:licence-text", value=text) for text in part.texts],
        components=[
            Component(
                name=library.name,
                type=ComponentType.LIBRARY,
                bom_ref=f"{purl}#{library.name}",
                licenses=[_LICENCES.make_from_string(library.licence)],
            )
            for library in part.libraries
        ],
    )


def source_date() -> datetime:
    """SOURCE_DATE_EPOCH, or when the last commit was made."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.check_output(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True
    )
    return datetime.fromtimestamp(int(epoch), UTC)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    known, moment = facts(), source_date()
    for released in RELEASED:
        path = out / f"sbom-{released}.cdx.json"
        path.write_text(bill(released, parts_of(released, known), moment), encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
