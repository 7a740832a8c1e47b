"""What was acknowledged is there, whenever the writer was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from farm.store import open_ledger, open_store

WRITER = """
import sys
from farm.domain.batch import Batch
from farm.domain.clip import EventKind, Holder, Leased, step
from farm.domain.ledger import ClipChange, Commit, RequestRow
from farm.domain.spec import ClipSpec, NewClip
from farm.store import open_store

store = open_store(sys.argv[1])
epoch = store.claim_epoch(1.0)
store.stage_batch(epoch, Batch(batch_id="b", name="n", project="p", created_at=1.0))
spec = ClipSpec(prompt="p", frames=33, height=64, width=64, fps=24, seed=1)
store.stage_clips(
    epoch, "b", [NewClip(ordinal=n, row=n, name=str(n), spec=spec) for n in range(1, 2001)]
)
store.publish_batch(epoch, 1.0, "b", RequestRow("r", "d", "b", 2000))
store.stage_batch(epoch, Batch(batch_id="half", name="n", project="p", created_at=1.0))
store.stage_clips(epoch, "half", [NewClip(ordinal=1, row=1, name="x", spec=spec)])
for clip in store.clips_in_memory("b"):
    after = step(clip, Leased(Holder("card", "i")))
    store.commit(epoch, 2.0, Commit(clips=[ClipChange(clip, after, EventKind.LEASE)]))
    print(clip.clip_id, flush=True)
"""


@pytest.mark.parametrize("acknowledged_min", [1, 37, 150])
def test_everything_acknowledged_survives_kill_9(tmp_path: Path, acknowledged_min: int):
    path = tmp_path / "farm.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        acknowledged = [writer.stdout.readline().strip() for _ in range(acknowledged_min)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += writer.stdout.read().splitlines()
        assert writer.wait() == -signal.SIGKILL
    store, ledger = open_store(path), open_ledger(path)
    leased = [row.clip.clip_id for row in ledger.clips("b", limit=2000, states=[ClipState.LEASED])]
    # One more may be written than the writer lived to say.
    assert leased[: len(acknowledged)] == acknowledged
    assert len(leased) - len(acknowledged) in (0, 1)
    events = [e.clip_id for e in ledger.events(after=0, limit=5000) if e.kind == "lease"]
    assert events == leased
    assert ledger.progress(["b"])["b"].clips[ClipState.LEASED] == len(leased)
    assert store.discard_staged(store.claim_epoch(3.0)) == 1
    ledger.close()
    store.close()
