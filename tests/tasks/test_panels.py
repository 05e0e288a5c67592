"""Pictures under their titles."""

import numpy as np
from PIL import Image

from lightning_gen.tasks.common.panels import write_panels


def test_panels_stand_row_by_row_and_a_lone_one_takes_one_column(tmp_path):
    picture = np.full((10, 40, 3), 7, np.uint8)
    sizes = []
    for count in (1, 2, 3):
        write_panels(tmp_path / "x.png", [(f"number {i}", picture) for i in range(count)])
        with Image.open(tmp_path / "x.png") as drawn:
            sizes.append(drawn.size)
    assert sizes == [(450, 140), (900, 140), (900, 280)]
