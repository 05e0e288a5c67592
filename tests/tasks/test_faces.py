"""The page of faces: its state as a link, its files, and in a browser that a slider moves the picture."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.serving import page_command
from lightning_gen.tasks.common import own_picture
from lightning_gen.tasks.common.own_picture import cropped, find_code, fit_encoder
from lightning_gen.tasks.common.portrait import PAGE, Portrait, Studio, as_gif, as_mp4, as_png, state_of
from tests.pages import browser, served, wait


def test_a_state_is_its_json_and_a_broken_link_is_the_start():
    one = Portrait(7, 0.5, {"size": 0.3}, ["tilt"], {1: 2.0})
    assert state_of(one.as_json(), ["size", "tilt"]) == one
    assert state_of(one.as_json(), ["tilt"]) == Portrait(7, 0.5, {}, ["tilt"], {1: 2.0})
    broken = ["", "[1]", "{}", json.dumps(vars(one) | {"seed": -1}), json.dumps(vars(one) | {"truncation": "nan"})]
    for text in (*broken, "[" * 9000, json.dumps(vars(one) | {"wanted": 3})):
        assert state_of(text, ["size"]) == Portrait()


def test_pictures_and_files_of_a_studio(axes_run):
    studio = Studio(axes_run, "last")
    first, second = studio.axes.controls[:2]
    portrait = Portrait(3, 0.8)
    start = studio.start(portrait)
    assert studio.steered(portrait, start) is start
    assert studio.start(Portrait(3, 0.8)) is start  # what was made is kept
    assert not torch.equal(studio.start(Portrait(3, 0.8, unnamed={0: 1.0})).code, start.code)
    value = studio.measured(start)[first]
    moved = replace(portrait, wanted={first: value + 0.1}, locked=[second])
    after = studio.steered(moved, start)
    path = studio.path(moved, start, first)
    assert path.kept[0] == start.scores[studio.index(first)]
    assert studio.steered(moved, start) is after
    while studio.follow(path):
        pass
    reached = studio.measured(path.nodes[-1])[first]
    assert studio.met(replace(moved, wanted={first: reached}), first, path.nodes[-1])
    assert not studio.met(replace(moved, wanted={first: reached + 9}), first, path.nodes[-1])
    [picture] = studio.enlarged(after.image[None])
    assert picture.shape == (320, 320, 3)
    assert as_png(picture).startswith(b"\x89PNG")
    frames = studio.way(start.code, after.code + 1, 3)
    assert as_gif(frames).startswith(b"GIF89a")
    film = as_mp4(frames)
    assert film is None or film[4:8] == b"ftyp"


def test_the_code_of_a_picture_of_ones_own(axes_run):
    """Of a sample the code is known: steps come nearer to its picture than the encoder's guess."""
    space = Studio(axes_run, "last").space
    encoder = fit_encoder(space, 128, 30)
    image = space.images(space.draw(1, 5))[0]
    found = find_code(space, image, lambda: encoder, 30)
    assert found.residual < found.guessed
    assert torch.equal(space.images(found.code[None]), space.images(found.code[None]))
    # A picture file: a red square in a large white one, of which a quarter is cut out.
    picture = np.full((40, 60, 3), 255, dtype=np.uint8)
    picture[20:, 40:] = (200, 0, 0)
    cut = cropped(as_png(picture), "x.png", space.module.spec, 1.0, 1.0, 0.5)
    assert cut.shape == space.module.spec.shape
    assert cut[:, 8, 8].tolist() == [200, 0, 0]
    with pytest.raises(UserError, match="cannot be decoded"):
        cropped(b"no picture", "x.png", space.module.spec, 0.5, 0.5, 1.0)


def test_what_a_user_gets_wrong_is_one_line(gan, axes_run, capsys):
    assert main(["faces", str(gan)]) == 2
    assert "has no axes: want lightning-gen axes" in capsys.readouterr().err
    assert main(["faces", str(axes_run), "--port", "70000"]) == 2
    assert "port is 70000: want 1 to 65535" in capsys.readouterr().err


def _served(run):
    cache = str(run.parent / "cache")
    return served(lambda port: page_command(PAGE, port, [str(run), "last", ""]), LIGHTNING_GEN_CACHE=cache)


def _now(page, name):
    text = page.get_by_text(re.compile(rf"^{name}: .* at first$")).inner_text()
    return tuple(float(v) for v in re.findall(r"-?\d+\.\d+", text))


OWN = {"name": "x.png", "mimeType": "image/png", "buffer": as_png(np.full((40, 40, 3), 90, dtype=np.uint8))}


def test_in_a_browser_a_slider_moves_the_picture_and_a_lock_holds(axes_run, monkeypatch):
    pytest.importorskip("streamlit", reason="no streamlit: pip install lightning-gen[app]")
    monkeypatch.setattr(own_picture, "fit_encoder", partial(fit_encoder, draws=128, steps=30))
    own_picture.style_encoder(Studio(axes_run, "last").space)  # into the cache: the page has it at once
    with browser() as play, _served(axes_run) as url:
        wait(url)
        page = play.new_page(viewport={"width": 1300, "height": 900})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.set_default_timeout(60000)
        page.goto(url, timeout=60000)
        page.get_by_text("before", exact=True).wait_for()
        about = json.loads(next((axes_run / "axes").glob("*.json")).read_text())
        moved, held = about["controls"][:2]
        assert not [name for name in about["controls"] if "ethnicity" in name]
        picture = page.locator("[data-testid=stImage] img")
        first = picture.nth(1).get_attribute("src")
        assert picture.nth(0).get_attribute("src") == first  # nothing is moved yet
        page.get_by_text("lock", exact=True).nth(1).click()
        slider = page.locator("[data-testid=stSlider]").filter(has_text=moved).get_by_role("slider")
        for _ in range(12):
            slider.press("ArrowRight")
        script = "old => !document.querySelectorAll('[data-testid=stImage] img')[1].src.endsWith(old)"
        page.wait_for_function(script, arg=first)
        page.get_by_text(re.compile(rf"^{moved} of this picture goes from")).wait_for()
        page.get_by_text(f"Along {moved}, to both ends").wait_for()
        page.wait_for_function("location.search.includes('wanted')")
        now, start = _now(page, held)
        assert abs(now - start) <= 0.1 * max(1.0, abs(start))
        # A picture of one's own, which is shown first, takes the place of the seed's.
        first = picture.nth(0).get_attribute("src")
        page.get_by_text("Your own picture").click()
        page.locator("input[type=file]").set_input_files(files=[OWN])
        page.get_by_role("button", name="Find its code").click()
        page.get_by_text("Distance of pixels, as a share of their range").wait_for()
        page.wait_for_function(script, arg=first)
        assert all(address.startswith((url, "data:", "blob:")) for address in asked), asked
