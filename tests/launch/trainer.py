"""A training of a second for tests of sweeps: it writes a run folder; the loss is (lr - 0.01)^2 + width."""

import json
import os
import sys
import time
from pathlib import Path

given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
if "fail" in given:
    sys.exit("lightning-gen: the model is wrong: want another")
folder = Path(given["run.root"]) / given["run.name"]
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yaml").write_text(json.dumps({"run": {"name": folder.name}, "model": given}))
(folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
for step in range(1, 5):
    loss = (float(given.get("lr", 0)) - 0.01) ** 2 + float(given.get("width", 0)) / step
    diverged = step == 4 and given.get("diverge") == "1"
    with open(folder / "metrics.jsonl", "a") as stream:
        stream.write(json.dumps({"images_seen": 10 * step, "loss": None if diverged else loss}) + "\n")
    time.sleep(float(given.get("pause", 0)))
