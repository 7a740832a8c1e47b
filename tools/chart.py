"""`python tools/chart.py` makes anew what the Helm chart has from elsewhere.

The recording rules, alerts and dashboards are farm/monitoring's, the version is Heliostat's, and
the table of values in the README comes from the comments of values.yaml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from farm import __version__

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "heliostat"
MONITORING = ROOT / "farm" / "monitoring"
SOURCES = {"rules": MONITORING / "prometheus" / "rules", "dashboards": MONITORING / "grafana"}

INTRO = """# Heliostat on Kubernetes

A farm as a RayCluster of [KubeRay](https://github.com/ray-project/kuberay) 1.6 or later: the head
with coordinator and gateway, and a worker group for each type of card.
[docs/kubernetes.md](../../docs/kubernetes.md) says how to install it, what it needs, and what was
not tried.

```
helm install farm helm/heliostat --namespace farm --create-namespace \\
  --values helm/heliostat/values-trial.yaml
```

`values-trial.yaml` is a whole farm in one pod, `values-production.yaml` an example of a farm of
cards. A key that does not exist is refused. This file is made by `make chart`.

## Values

| value | default | what it is |
|---|---|---|
"""

GROUP = """
## A worker group

| key | what it is |
|---|---|
"""

_KEY = re.compile(r"( *)([A-Za-z]\w*):(?: (.*))?$")


def files() -> dict[Path, str]:
    """What the chart has from elsewhere: path → content."""
    made = {
        CHART / "files" / name / path.name: path.read_text(encoding="utf-8")
        for name, folder in SOURCES.items()
        for path in sorted(folder.glob("*.*"))
    }
    description = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    description = re.sub(r"(?m)^version: .*$", f"version: {__version__}", description)
    description = re.sub(r"(?m)^appVersion: .*$", f'appVersion: "{__version__}"', description)
    made[CHART / "Chart.yaml"] = description
    made[CHART / "README.md"] = INTRO + "".join(map(_row, values())) + GROUP + _group()
    return made


def values() -> Iterator[tuple[str, Any, str]]:
    """Every value that can be set: its path, default, and description; "" where it has none."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    described = _described(text)
    for path, default in _leaves(yaml.safe_load(text), ()):
        yield ".".join(path), default, described.get(path, "")


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What holds no further named values; `resources` are Kubernetes's own affair."""
    if isinstance(value, Mapping) and value and path[-1:] != ("resources",):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _described(text: str) -> dict[tuple[str, ...], str]:
    """Key → the comment above it."""
    found: dict[tuple[str, ...], str] = {}
    comment: list[str] = []
    path: tuple[str, ...] = ()
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif key := _KEY.match(line):
            path = (*path[: len(key[1]) // 2], key[2])
            found[path] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def _group() -> str:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    keys = schema["properties"]["workers"]["items"]["properties"]
    return "".join(f"| `{key}` | {each['description']} |\n" for key, each in keys.items())


def _row(value: tuple[str, Any, str]) -> str:
    path, default, description = value
    shown = "" if default == "" else f"`{json.dumps(default, ensure_ascii=False)}`"
    return f"| `{path}` | {shown} | {description} |\n"


def main() -> None:
    """Write them, and remove what is none any more."""
    made = files()
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    for path in (CHART / "files").rglob("*.*"):
        if path not in made:
            path.unlink()


if __name__ == "__main__":
    main()
