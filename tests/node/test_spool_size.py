"""The spool's size is told with every exchange, while attempts come and go in it."""

import shutil
import threading

from node_agent.files import bytes_below


def test_the_bytes_of_all_files_are_counted(tmp_path):
    for attempt in ("one", "two"):
        (tmp_path / attempt).mkdir()
        (tmp_path / attempt / "chunk.m4s").write_bytes(bytes(1000))
    assert bytes_below(tmp_path) == 2000
    assert bytes_below(tmp_path / "nowhere") == 0


def test_attempts_that_vanish_meanwhile_are_no_error(tmp_path):
    (tmp_path / "stays").mkdir()
    (tmp_path / "stays" / "chunk.m4s").write_bytes(bytes(7))
    counted_enough = threading.Event()

    def come_and_go() -> None:
        while not counted_enough.is_set():
            (tmp_path / "goes").mkdir()
            (tmp_path / "goes" / "chunk.m4s").write_bytes(bytes(100))
            shutil.rmtree(tmp_path / "goes")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        sizes = {bytes_below(tmp_path) for _ in range(2000)}
    finally:
        counted_enough.set()
        thread.join()
    assert sizes <= {7, 107}
