"""Downloads of one set by several processes."""

import time
from concurrent.futures import ThreadPoolExecutor

from lightning_gen.data.downloads import fetch


def test_two_processes_never_download_at_once(tmp_path):
    inside, most = [], []

    def download():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch("set", tmp_path / "new", download), range(4)))
    assert most == [1, 1, 1, 1]
