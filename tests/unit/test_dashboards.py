"""The dashboards are what their Python makes, and each of them can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import FOLDER, files

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(heliostat_\w+)` \| (?:\w+)[^|]* \| [^|]+ \| ([^|]*)\|", re.M)
NAME = re.compile(r"\bheliostat[:_][a-z0-9_:]+")
PART = re.compile(r"_(?:bucket|sum|count)$")
LABELLED = (
    re.compile(r"by \(([^)]*)\) \((?:(?:rate|increase|delta|deriv)\()?(heliostat_\w+)"),
    re.compile(r"()(heliostat_\w+)\{([^}]*)\}"),
)
BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in files().items()}

boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def documented() -> dict[str, set[str]]:
    """docs/metrics.md, which a test holds against the code: name → labels."""
    rows = ROW.findall((ROOT / "docs/metrics.md").read_text(encoding="utf-8"))
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def recorded() -> set[str]:
    """Names of recording rules."""
    path = ROOT / "farm/monitoring/prometheus/rules/recording.yml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return {rule["record"] for group in groups for rule in group["rules"]}


def queries(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_what_is_committed_is_what_is_made() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == files(), "run `make dashboards`"


@boards
def test_it_is_found_by_its_address_and_tag(board: dict[str, Any]) -> None:
    assert re.fullmatch(r"heliostat-[a-z0-9-]{1,30}", board["uid"])
    assert [each["uid"] for each in BOARDS.values()].count(board["uid"]) == 1
    assert board["tags"] == ["heliostat"]
    assert "id" not in board, "an id is one Grafana's own"


@boards
def test_grafana_s_own_model_reads_it_whole(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    for variable in again["templating"]["list"]:
        del variable["id"]
    assert again == board


@boards
def test_every_panel_says_what_it_shows_and_in_which_unit(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        if panel["type"] != "table":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@boards
def test_every_query_goes_to_the_chosen_source(board: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    variables = board["templating"]["list"]
    names = {variable["name"] for variable in variables} | {"__range", "__rate_interval"}
    assert variables[0]["type"] == "datasource"
    for panel in panels(board):
        assert panel["datasource"] == source
        for target in panel["targets"]:
            assert target["datasource"] == source
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used <= names, panel["title"]


@boards
def test_panels_fill_the_page_and_cover_none_other(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@boards
def test_queries_of_a_panel_have_letters_of_their_own(board: dict[str, Any]) -> None:
    for panel in panels(board):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == [chr(ord("A") + place) for place in range(len(letters))]


@boards
def test_gateways_that_tell_the_same_are_never_added_up(board: dict[str, Any]) -> None:
    """What is said of the farm or a card is taken by `max` before it is added up or joined."""
    of_gateways = (
        "exchanges", "grants", "recorded", "verif", "submissions", "notices", "take_", "takes_",
        "retention", "delivery", "storage", "chunk_render_seconds", "chunk_encode_seconds",
    )  # fmt: skip
    bare = re.compile(
        r"sum(?: by \([^)]*\))? ?\((?:(?:rate|increase|delta|deriv)\()?heliostat_(\w+)"
    )
    for panel in panels(board):
        for target in panel["targets"]:
            for name in bare.findall(target["expr"]):
                assert name.startswith(of_gateways), f"{panel['title']}: {target['expr']}"


@boards
def test_it_names_only_what_is_emitted_or_recorded(board: dict[str, Any]) -> None:
    known = documented().keys() | recorded()
    asked = [variable["query"] for variable in board["templating"]["list"]]
    for expr in [*queries(board), *asked]:
        assert {PART.sub("", name) for name in NAME.findall(expr)} <= known, expr


@boards
def test_it_asks_a_metric_only_for_labels_that_it_has(board: dict[str, Any]) -> None:
    labels = documented()
    for expr in queries(board):
        for pattern in LABELLED:
            for by, name, *matchers in pattern.findall(expr):
                used = set(re.findall(r"\w+", by)) | set(re.findall(r"(\w+)=", "".join(matchers)))
                has = labels[PART.sub("", name)] | ({"le"} if name.endswith("_bucket") else set())
                assert used <= has, f"{used - has}: {expr}"


@boards
def test_a_picture_of_cards_is_of_a_few_of_them(board: dict[str, Any]) -> None:
    """Two thousand lines are no picture; a table may have as many rows."""
    for panel in panels(board):
        for target in panel["targets"]:
            if panel["type"] == "timeseries" and target["legendFormat"] == "{{card}}":
                assert target["expr"].startswith(("topk(20,", "bottomk(20,")), panel["title"]
