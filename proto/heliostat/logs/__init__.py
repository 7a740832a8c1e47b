"""Logs of both halves: how lines are written (`setup`), read back (`reading`), and how many."""
