"""Pictures with numbers: from their names, and from a table."""

import pytest
import torch

from lightning_gen.data.attributes import AttributeImages
from lightning_gen.errors import UserError

NAMES = ["26_1_0_2017.jpg", "61_1_2017.jpg", "3_0_2_1.jpg", "80_0_1_5.jpg", "44_1_1_9.jpg", "7_0_0_3.jpg"]


@pytest.fixture
def root(tmp_path):
    from PIL import Image

    (tmp_path / "faces").mkdir()
    for i, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / "faces" / name, quality=95)
    return tmp_path / "faces"


def _rows(data):
    found = {}
    for split in ("train", "val", "test"):
        for batch in data.batches(split, 4):
            found |= {
                round(float(image[0].float().mean()) / 40): row.tolist()
                for image, row in zip(batch["image"], batch["attributes"], strict=True)
            }
    return found


def test_numbers_come_from_the_names_and_pictures_without_are_left_out(root, capsys):
    data = AttributeImages(str(root), ["age", "gender", "ethnicity"], {"ethnicity": 3}, batch_size=2)
    assert data.attribute_names == ("age", "gender", "ethnicity_0", "ethnicity_1", "ethnicity_2")
    assert data.spec.attributes == 5
    found = _rows(data)
    assert found[0] == [26, 1, 1, 0, 0]
    assert found[2] == [3, 0, 0, 0, 1]
    assert 1 not in found  # its third part is a date, no code below 3
    assert len(found) == 5
    assert "1 pictures of" in capsys.readouterr().err


def test_numbers_come_from_a_table(root, tmp_path):
    lines = ["file,smile,age", *(f"{name},{i % 2},{i}.5" for i, name in enumerate(NAMES))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    data = AttributeImages(str(root), ["age", "smile"], table=str(tmp_path / "table.csv"))
    assert _rows(data) == {i: [i + 0.5, i % 2] for i in range(6)}
    assert data.fingerprint != AttributeImages(str(root), ["age"]).fingerprint


def test_what_a_user_gets_wrong_is_one_line(root, tmp_path):
    (tmp_path / "table.csv").write_text("file,age\nnobody.jpg,3\n")
    wrong = [
        ({"attributes": ["age"], "categories": {"sex": 2}}, "data.categories has sex: want names of data.attributes"),
        ({"attributes": ["age", "a", "b", "c", "d"]}, "no picture has age, a, b, c, d; want names like AGE_A_B_C_D_"),
        ({"attributes": ["age"], "table": str(tmp_path / "none.csv")}, "none.csv, which cannot be read: want a CSV"),
        ({"attributes": ["smile"], "table": str(tmp_path / "table.csv")}, "without a column smile: want one for each"),
        ({"attributes": ["age"], "table": str(tmp_path / "table.csv")}, "want a row for each in the table"),
        ({"attributes": ["age"], "categories": {"age": 2}}, "no picture has age; want names like AGE_"),
    ]
    for arguments, words in wrong:
        with pytest.raises(UserError) as caught:
            AttributeImages(str(root), **arguments)
        assert words in str(caught.value)
    assert torch.is_tensor(AttributeImages(str(root), ["age"]).catalogue.columns["attributes"])
