"""Checks of what the machine renders with: PyTorch, the model, the encoder, the way to the farm."""

from __future__ import annotations

from dataclasses import dataclass

from node_agent.doctor.finding import Finding, State, bad, good, unknown, warning

INSTALL_CUDA = "make install LOCK=cuda"
PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """What the installed PyTorch says of itself, in a process of its own."""

    version: str = ""
    """"" where it is not installed."""
    cuda_build: str | None = None
    """CUDA that it was built for; None for a CPU build."""
    devices: tuple[str, ...] = ()
    """Cards that computed something right."""
    problem: str = ""
    """Why it cannot be imported, or a card not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model's directory, held against its manifest."""

    directory: str
    name: str = ""
    digest: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """A chunk's encode."""

    encoder: str = ""
    seconds: float = 0.0
    size: int = 0
    """Bytes."""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """A call to the farm."""

    endpoint: str
    seconds: float | None = None
    """To connect by TCP; None where it failed."""
    serving: bool | None = None
    """What the gateway's health check says; None where it does not answer."""
    problem: str = ""


def check_torch(facts: TorchFacts | None, cards: int) -> Finding:
    """PyTorch can use every card; without cards any build will do."""
    if facts is None:
        return unknown(
            "PyTorch",
            "it did not answer in time: the driver may hang",
            "restart the machine, and examine it again",
        )
    if not facts.version:
        return bad("PyTorch", f"it cannot be imported: {facts.problem}", "make install")
    build = f"CUDA {facts.cuda_build}" if facts.cuda_build else "CPU build"
    what = f"{facts.version}, {build}"
    if not cards:
        return good("PyTorch", what)
    if facts.cuda_build is None:
        return bad("PyTorch", f"{what}: it cannot use the cards", INSTALL_CUDA)
    if facts.problem or not facts.devices:
        reason = facts.problem or "it sees no card"
        return bad(
            "PyTorch",
            f"{what}: {reason}",
            "see that the driver serves this CUDA and that CUDA_VISIBLE_DEVICES is right",
        )
    usable = f"{what}, {len(facts.devices)} of {cards} cards computed right"
    if len(facts.devices) < cards:
        return warning("PyTorch", usable, "see that CUDA_VISIBLE_DEVICES hides no card")
    return good("PyTorch", usable)


def check_model(facts: ModelFacts | None) -> Finding:
    """Every file of the model is the manifest's."""
    if facts is None:
        return unknown("model", "no model was named", "name its directory: --model DIR")
    if not facts.problems:
        return good("model", f"{facts.directory}: {facts.name}, digest {facts.digest[:12]}")
    shown = "; ".join(facts.problems[:PROBLEMS_SHOWN])
    more = len(facts.problems) - PROBLEMS_SHOWN
    what = f"{facts.directory}: {shown}{f'; and {more} more' if more > 0 else ''}"
    return bad("model", what, "fetch the model again, or name another directory")


def check_encoder(facts: EncoderFacts | None) -> Finding:
    """The encoder opens, and encodes a chunk."""
    if facts is None:
        return unknown("encoder", "the encoder was not tried")
    if facts.problem:
        return bad(
            "encoder",
            f"a chunk cannot be encoded: {facts.problem}",
            "install the node's packages again: make install",
        )
    took = f"a small chunk in {facts.seconds:.2f} s, {facts.size} bytes"
    return good("encoder", f"{facts.encoder}: {took}")


def check_network(facts: NetworkFacts | None) -> Finding:
    """The farm's gateway is reached, and serves."""
    if facts is None:
        return unknown("network", "no farm was named", "name its gateway: --farm HOST:PORT")
    if facts.seconds is None:
        return bad(
            "network",
            f"{facts.endpoint} is not reached: {facts.problem}",
            "see that the farm runs (`farm status`), and that no firewall is between",
        )
    what = f"{facts.endpoint}: connected in {facts.seconds * 1000:.0f} ms"
    if facts.serving is None:
        return bad(
            "network",
            f"{what}, no answer to a health check: {facts.problem}",
            "see that this is the gRPC port; where the farm speaks TLS, give --ca FILE",
        )
    if not facts.serving:
        return Finding(
            name="network",
            state=State.WARNING,
            what=f"{what}; the gateway says that it does not serve now",
            remedy="it is starting or stopping: examine again in a minute",
        )
    return good("network", f"{what}, serving")
