"""`farm look`: saved looks, to which projects can be locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from heliostat.v1 import types_pb2 as types

look = typer.Typer(help="Saved looks: what the clips of a show have in common.")

Name = Annotated[str, typer.Argument(metavar="NAME")]


@look.command("save")
@command
def save_look(
    name: Name,
    from_clip: Annotated[
        str,
        typer.Option("--from", metavar="CLIP", help="A finished clip: its id, or BATCH/NAME."),
    ] = "",
    model: Annotated[str, typer.Option(metavar="DIGEST", help="Only this model.")] = "",
    lora: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:SCALE", help="Exactly these LoRAs; may be repeated."),
    ] = None,
    no_loras: Annotated[bool, typer.Option("--no-loras", help="No LoRA at all.")] = False,
    quality: Annotated[str, typer.Option(help="draft, standard or exact.")] = "",
    steps: Annotated[str, typer.Option(help="Such as 2,2,2.")] = "",
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    prefix: Annotated[str, typer.Option(help="Comes before every prompt.")] = "",
    negative: Annotated[str, typer.Option(help="The negative prompt of every clip.")] = "",
    stack: Annotated[
        str, typer.Option(metavar="ID", help="Only cards with this stack (`farm cards --json`).")
    ] = "",
    note: Annotated[str, typer.Option(help="For people.")] = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Save a look: from a finished clip, from what is named here, or both (what is named counts).

    `farm project set PROJECT --look NAME` locks a project to it.
    """
    from farm.client.plain import plain
    from heliostat.v1 import types_pb2 as types

    if lora and no_loras:
        raise typer.BadParameter("LoRAs and none at once: choose one", param_hint="--no-loras")
    asked = types.SavedLook(
        name=name,
        model=model,
        loras=[_lora(text) for text in lora or ()],
        pins_loras=bool(lora) or no_loras,
        quality=quality.lower(),
        steps=_steps(steps),
        guidance_scale=guidance,
        prompt_prefix=prefix,
        negative_prompt=negative,
        stack_id=stack,
        note=note,
    )
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        saved = farm.save_look(asked, from_clip=from_clip)
    if as_json:
        output.print_json(plain(saved))
    else:
        output.say(f"look {saved.name}: {'; '.join(_pins(saved))}")
    return output.OK


@look.command("list")
@command
def list_looks(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List saved looks, what they pin, and which projects are locked to them."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        listed = farm.saved_looks()
        projects = farm.projects()
    locked = {look.name: [p.name for p in projects if p.look == look.name] for look in listed}
    if as_json:
        output.print_json([plain(each) | {"projects": locked[each.name]} for each in listed])
        return output.OK
    output.print_table(
        ("look", "pins", "projects", "saved", "note"),
        (
            (
                each.name,
                "; ".join(_pins(each)),
                ", ".join(locked[each.name]),
                words.local_time(each.saved_at),
                each.note,
            )
            for each in listed
        ),
        set(),
    )
    return output.OK


@look.command("forget")
@command
def forget_look(
    name: Name,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Forget a look that no project is locked to; what was made by it stays."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        farm.forget_look(name)
    if as_json:
        output.print_json({"forgotten": name})
    else:
        output.say(f"look {name} is forgotten")
    return output.OK


def _pins(look: types.SavedLook) -> list[str]:
    loras = ", ".join(f"{lora.name}:{lora.scale:g}" for lora in look.loras) or "none"
    found = {
        "model": look.model[:12],
        "LoRAs": loras if look.pins_loras else "",
        "quality": look.quality,
        "steps": ",".join(map(str, look.steps)),
        "guidance": f"{look.guidance_scale:g}" if look.HasField("guidance_scale") else "",
        "prefix": look.prompt_prefix,
        "negative": look.negative_prompt,
        "stack": look.stack_id,
    }
    return [f"{name} {value}" for name, value in found.items() if value]


def _lora(text: str) -> types.Lora:
    from heliostat.v1 import types_pb2 as types

    name, colon, scale = text.partition(":")
    try:
        return types.Lora(name=name.strip(), scale=float(scale) if colon else 1.0)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write NAME:SCALE", param_hint="--lora") from None


def _steps(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write such as 2,2,2", param_hint="--steps") from None
