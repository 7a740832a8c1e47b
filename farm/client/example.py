"""The batch that `farm init` writes: each part of the format once, to be changed or removed."""

from __future__ import annotations

from typing import Final

from farm.client.batch_schema import SCHEMA_NAME

EXAMPLE: Final = f"""\
# yaml-language-server: $schema={SCHEMA_NAME}
#
# A batch of clips for Heliostat. `farm validate FILE` checks it, `farm submit FILE` submits it.
# Every part but `clips` may be left out.

# What is said of the batch as a whole; options of `farm submit` go before it.
batch:
  name: fox_study
  # project: show            # whose work it is; `farm project set show` makes it
  priority: 0                # higher goes first
  # deadline: "+8h"          # or 09:00, or 2026-11-25T09:00
  # first_look: yes          # hold each clip after its first chunk, until it is approved
  # budget: {{money: 20}}      # or hours (of cards), or kwh: paused at the first that is reached
  # webhook: https://example.com/hook
  # What files are called: fields in braces, / for folders; {{version}} has to be in it.
  output: "{{sequence}}/{{id}}_v{{version:03}}"

# Fields of all clips that say no other.
defaults:
  frames: 120                # 5 seconds at 24 frames per second
  size: 640x384              # multiples of 64
  quality: standard          # draft, standard or exact
  sequence: sq010            # any column of your own comes back with the take

# What {{style}} stands for in prompts. A clip's own column of that name goes before it.
variables:
  style: soft morning light, shallow depth of field

# Named sets of fields, which clips take by `template`.
templates:
  closeup:
    prompt: "Close-up of {{animal}} in fresh snow, {{style}}"

clips:
  - id: sh010
    prompt: "A wide, snowy valley at dawn, {{style}}"
    seed: 7

  - id: sh020
    template: closeup
    animal: a red fox

  # A clip for each seed: sh030.seed1 to sh030.seed4.
  - id: sh030
    template: closeup
    animal: an arctic hare
    wedge: {{seed: 1..4}}

  # Prompts that follow the first: from chunk 2 on (chunks have 33 frames), or from a time on.
  - id: sh040
    prompt: "A red fox sleeps, {{style}}"
    schedule:
      - {{at: 2, prompt: "The fox wakes and looks up, {{style}}"}}
"""
