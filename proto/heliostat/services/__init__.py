"""Head and node as services of systemd: their units, and how they come onto a machine and off it.

Both halves of Heliostat use it: `farm install` and `farm-node install`.
"""
