"""What a node's agents render with: said on the node, and read by its agents on the node."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from heliostat.logs.settings import ENDPOINT_VARIABLE, LEVEL_VARIABLE
from node_agent.lane_widths import WIDTHS_NAME, lanes_for
from node_agent.node_file import DEFAULT_PATH
from node_agent.releases.catalog import releases_dir
from node_agent.render.child import ChildOptions

NODE_VARIABLE: Final = "HELIOSTAT_NODE"
"""Names the file of a node's settings; agents inherit it from their node's Ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One machine, or the part of it that one Ray node stands for."""

    directory: Path
    """Where the node's agents and `farm-node` tell each other things."""
    spool: Path
    """Where cards keep what is not uploaded yet, a directory for each."""
    stamps: Path
    """File that remembers the models' verified hashes."""
    releases: Path = field(default_factory=releases_dir)
    """Versions of Heliostat that its cards can be brought to."""
    cpu_cards: int = 0
    """The first slots are CPUs that stand in for cards; the rest are `cuda:0` and so on."""
    renderer: str = "helios"
    model: Path | None = None
    seconds_per_chunk: float = 0.0
    """The test card's pace."""
    lanes: int = 0
    """0 takes what was measured on this node for the card and the model, else 1."""
    vram_bytes: int | None = None
    """The most of each card's memory to take; None is what is free."""
    ram_bytes: int | None = None
    """The most of the host's memory to take, for each card."""
    pageable: bool = False
    profile: str | None = None
    loras: Path | None = None
    inputs: tuple[str, ...] | None = ()
    """Directories that clips may start from files of; None is anywhere."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Shared storage by its name: where it is mounted here."""
    tags: tuple[str, ...] = ()
    """What clips may ask of its cards by name, beside the node file's tags of each."""
    idle_unload_seconds: float = 0.0
    """A card that is paused and holds nothing frees its GPU after so long."""
    upload_mbit: float = 0.0
    """The most that it gives to neighbours of a model, in Mbit/s; 0 is what there is."""
    model_port: int = 0
    """Where it gives them; 0 is any port that is free."""
    node_file: Path = DEFAULT_PATH
    """What the operator says of the cards."""
    log_level: str = ""
    """Of its agents' logs; empty is as the environment says."""
    traces_endpoint: str = ""
    """Where OpenTelemetry's spans go, by OTLP over HTTP; empty is as the environment says."""

    @property
    def path(self) -> Path:
        """The file that these settings are kept in."""
        return self.directory / "node.json"

    def log_file(self, card_id: str) -> Path:
        """Where a card's agent and its render child log."""
        return self.directory / "agents" / f"{card_id}.jsonl"

    @property
    def environment(self) -> dict[str, str]:
        """What its agents are to have in their environment because of these settings."""
        said = {LEVEL_VARIABLE: self.log_level, ENDPOINT_VARIABLE: self.traces_endpoint}
        return {name: value for name, value in said.items() if value}

    def device(self, slot: int) -> str:
        """What card `slot` is: `cpu` or `cuda:N`."""
        return "cpu" if slot < self.cpu_cards else f"cuda:{slot - self.cpu_cards}"

    def kept(self, card_id: str) -> Path:
        """Where a card keeps what it renders before it is brought to another release."""
        return self.directory / "golden" / card_id

    def child(self, slot: int, model: Path | None = None) -> ChildOptions:
        """How the render child of card `slot` runs; `model` is another than the node's own."""
        model = model or self.model
        return ChildOptions(
            renderer=self.renderer,
            model=model,
            stamps=self.stamps,
            device=self.device(slot),
            seconds_per_chunk=self.seconds_per_chunk,
            lanes=self.lanes or self._measured_lanes(slot, model),
            loras=self.loras,
            vram_bytes=self.vram_bytes,
            ram_bytes=self.ram_bytes,
            pageable=self.pageable,
            profile=self.profile,
        )

    def _measured_lanes(self, slot: int, model: Path | None) -> int:
        return lanes_for(self.stamps.with_name(WIDTHS_NAME), self.device(slot), model)

    def save(self) -> None:
        """Write them in one step. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")
        temporary.replace(self.path)

    @classmethod
    def of_this_node(cls) -> NodeSettings:
        """Those that `HELIOSTAT_NODE` names. Raises KeyError, OSError, ValueError."""
        content = json.loads(Path(os.environ[NODE_VARIABLE]).read_text(encoding="utf-8"))
        known = {each.name for each in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        for name in ("directory", "spool", "stamps", "releases", "model", "loras", "node_file"):
            if values.get(name) is not None:
                values[name] = Path(values[name])
        for name in ("inputs", "tags"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)
