"""Burn-in: a card renders the same chunk for hours, and must neither err nor tire.

`judge` decides (pure), `loop` renders and watches, `golden` compares pictures, `record` remembers.
"""
