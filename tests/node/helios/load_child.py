"""Print by how much a process grows, at its peak, while it loads a transformer, in bytes.

load_child.py DIRECTORY TYPE STREAMED PROFILE
"""

import json
import sys
from pathlib import Path

import torch

from node_agent.models.info import read_config
from node_agent.render.helios.quantize import lay_out
from node_agent.render.helios.slabs.files import empty_transformer, fill
from node_agent.render.helios.slabs.homes import Homes, Parted
from node_agent.render.helios.slabs.plan import Budget, plan, resident
from node_agent.render.profiles import PROFILES

directory, dtype, is_streamed = Path(sys.argv[1]), getattr(torch, sys.argv[2]), sys.argv[3] == "yes"
profile = PROFILES[sys.argv[4]]
config = read_config(directory / "config.json")
lay_out(empty_transformer(config, dtype), profile)  # what libraries load on first use stays


def status(field: str) -> int:
    """A size of this process, as the kernel tells it."""
    [line] = [
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(field)
    ]
    return int(line.split()[1]) * 1024


stock = empty_transformer(config, dtype)
lay_out(stock, profile)
sizes = Parted.of(stock).sizes
everything = Budget(vram=sizes.total * 9, ram=sizes.total * 9)
where = plan(sizes, everything, least=True) if is_streamed else resident(sizes)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = status("VmRSS:")
homes = Homes(stock, where, torch.device("cpu"), page_locked=False)
fill(directory, stock.state_dict(), torch.device("cpu"))
peak = status("VmHWM:") - before
largest = max(tensor.numel() for tensor in stock.state_dict().values()) * dtype.itemsize
print(json.dumps({"peak": peak, "weights": sizes.total, "largest": largest}))
