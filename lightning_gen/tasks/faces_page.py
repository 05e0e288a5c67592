"""The page that `lightning-gen faces` serves; Streamlit runs this file as a script."""

import random
import sys
from pathlib import Path
from typing import Any

import streamlit as st
import torch

from lightning_gen.config.trust import grant
from lightning_gen.errors import UserError
from lightning_gen.files import write_json
from lightning_gen.serving import as_text
from lightning_gen.tasks.common.axis_path import AxisPath, Node
from lightning_gen.tasks.common.own_panel import own_panel
from lightning_gen.tasks.common.portrait import Portrait, Studio, as_gif, as_mp4, as_png, state_of

__all__ = ["page"]

_STYLE = "<style>.stMainBlockContainer {padding-top: 2.5rem; max-width: 75rem} img {image-rendering: pixelated}</style>"
#: attributes with a slider at first
_FEW = 4


@st.cache_resource
def _studio(run: str, checkpoint: str, label: str, written: float) -> Studio:
    torch.set_num_threads(1)
    return Studio(Path(run), checkpoint, int(label) if label else None)


def page(run: str, checkpoint: str, label: str) -> None:
    """Everything."""
    st.set_page_config("lightning-gen faces", layout="wide")
    st.html(_STYLE)
    try:
        newest = max(path.stat().st_mtime for path in (Path(run) / "axes").glob("*.json"))
        studio = _studio(run, checkpoint, label, newest)
    except UserError as error:
        st.error(as_text(str(error)))
        return
    with torch.no_grad():
        _page(studio, state_of(st.query_params.get("state", "{}"), studio.axes.controls))


def _page(studio: Studio, link: Portrait) -> None:
    left, middle, right = st.columns([1, 2.4, 1.8], gap="medium")
    with left:
        portrait = _picture_of(link)
        chosen = _chosen(studio, link)
    portrait.unnamed = _unnamed(studio, left, link)
    own = own_panel(studio, left)
    portrait.own = own[0] if own else ""
    start = studio.start(portrait, own[1].code if own else None)
    with right:
        _sliders(studio, portrait, link, chosen, studio.measured(start))
        after = studio.steered(portrait, start)
        places = _readings(studio, portrait, chosen, start, after)
    with middle:
        strip = _pictures(studio, portrait, start, after)
    _tabs(studio, portrait, after)
    st.query_params["state"] = portrait.as_json()
    _follow(studio, portrait, start, places, strip)


def _picture_of(link: Portrait) -> Portrait:
    """Seed, dice, truncation."""
    state = st.session_state
    state.setdefault("seed", link.seed)
    state.setdefault("truncation", link.truncation)
    st.button("Dice", on_click=lambda: state.update(seed=random.randrange(2**31)), width="stretch")
    seed = st.number_input("seed", 0, 2**32 - 1, step=1, key="seed")
    about = "1: as drawn; less: nearer to the mean picture, more usual and less diverse"
    truncation = st.slider("truncation", 0.0, 1.5, step=0.05, key="truncation", help=about)
    return Portrait(int(seed), float(truncation))


def _chosen(studio: Studio, link: Portrait) -> list[str]:
    """The attributes with a slider."""
    controls = studio.axes.controls
    with st.expander("Advanced options"):
        default = list(dict.fromkeys([*controls[:_FEW], *link.wanted, *link.locked]))
        return st.multiselect("features to control", controls, default=default, key="controls")


def _unnamed(studio: Studio, place: Any, link: Portrait) -> dict[int, float]:
    """A direction without a name, to try and to name."""
    words = studio.axes.about["unnamed"]
    with place, st.expander("Unnamed axes"):
        index = st.selectbox("axis", range(len(words)), format_func=lambda i: words[i], key="unnamed")
        if index is None:
            return link.unnamed
        start = min(max(link.unnamed.get(index, 0.0), -3.0), 3.0)
        way = st.slider("along it", -3.0, 3.0, start, 0.25, key=f"unnamed {index}")
        name = st.text_input("a name for it", max_chars=40, key=f"name {index}")
        if st.button("Save the name") and name:
            words[index] = name
            write_json(studio.folder / f"{studio.axes.about['hash']}.json", studio.axes.about)
        return {int(index): way} if way else {}


def _sliders(studio: Studio, portrait: Portrait, link: Portrait, chosen: list[str], before: dict[str, float]) -> None:
    """A slider and a lock for each attribute; those that were moved are wanted, the one that was moved last comes
    last."""
    order = st.session_state.get("order", list(link.wanted))
    order = [*(name for name in chosen if name not in order), *order]
    for name in chosen:
        low, high = _reach(studio, name, before[name])
        first = min(max(before[name], low), high)
        same = (link.seed, link.truncation, link.own) == (portrait.seed, portrait.truncation, portrait.own)
        value = min(max(link.wanted.get(name, first), low), high) if same else first
        one, two = st.columns([3, 1], vertical_alignment="bottom")
        # A slider of another picture is another slider: it starts at what is read off that one.
        key = f"{name}/{portrait.own or portrait.seed}/{portrait.truncation}/{sorted(portrait.unnamed.items())}"
        now = one.slider(as_text(name), low, high, value, (high - low) / 100, format="%.2f", key=key)
        if two.checkbox("lock", value=name in link.locked, key=f"lock {name}"):
            portrait.locked.append(name)
        if abs(now - first) > 0.6 * (high - low) / 100:
            portrait.wanted[name] = float(now)
            if st.session_state.get(f"was {key}", value) != now:
                order = [*(one for one in order if one != name), name]
        st.session_state[f"was {key}"] = now
    st.session_state["order"] = order
    portrait.wanted = {name: portrait.wanted[name] for name in order if name in portrait.wanted}


def _reach(studio: Studio, name: str, value: float) -> tuple[float, float]:
    """Between which values the data lie, and this picture's own value."""
    found = studio.axes.about["ranges"][name]
    low, high = min(found["low"], value), max(found["high"], value)
    return (low, high) if high - low > 1e-3 else (low - 0.5, high + 0.5)


def _readings(studio: Studio, portrait: Portrait, chosen: list[str], start: Node, after: Node) -> dict[str, Any]:
    """What is read now and at first; the places, by attribute, for how far it goes."""
    now, first, places = studio.measured(after), studio.measured(start), {}
    for name in chosen:
        st.caption(f"{as_text(name)}: {now[name]:.2f} now, {first[name]:.2f} at first")
        if name in portrait.wanted and not studio.met(portrait, name, after):
            st.caption(f"{portrait.wanted[name]:.2f} was asked for: this picture goes no further")
        places[name] = st.empty()
    return places


def _pictures(studio: Studio, portrait: Portrait, start: Node, after: Node) -> Any:
    """Before and after; the place for the strip."""
    first, second = studio.enlarged(torch.stack([start.image, after.image]))
    one, two = st.columns(2)
    one.image(first, caption="before", width="stretch")
    two.image(second, caption="after", width="stretch")
    strip = st.container()
    st.download_button("PNG", as_png(second), f"face-{portrait.seed}.png", "image/png")
    return strip


def _follow(studio: Studio, portrait: Portrait, start: Node, places: dict[str, Any], strip: Any) -> None:
    """When everything is shown, find out how far each attribute goes, that which was moved last or else all of them.
    Whoever moves a slider meanwhile interrupts it: Streamlit ends a script at the next element that it shows."""
    last = next((name for name in reversed(portrait.wanted) if name in places), None)
    for name in places if last is None else [last]:
        path = studio.path(portrait, start, name)
        while studio.follow(path):
            places[name].caption(f"looking how far {as_text(name)} goes")
        low, high = (studio.measured(path.nodes[end])[name] for end in (0, -1))
        places[name].caption(f"{as_text(name)} of this picture goes from {low:.2f} to {high:.2f}")
        if name == last:
            with strip:
                _strip(studio, path, name)


def _strip(studio: Studio, path: AxisPath, name: str) -> None:
    """Seven pictures or fewer along a path that has been followed."""
    nodes = path.nodes
    count = min(7, len(nodes))
    some = [nodes[round(i * (len(nodes) - 1) / max(count - 1, 1))] for i in range(count)]
    st.caption(f"Along {as_text(name)}, to both ends, those locked or moved before held")
    for column, node in zip(st.columns(7), some, strict=False):
        [picture] = studio.enlarged(node.image[None])
        column.image(picture, caption=f"{studio.measured(node)[name]:.2f}", width="stretch")


def _tabs(studio: Studio, portrait: Portrait, after: Node) -> None:
    leaks, between, state, about = st.tabs(["What leaks", "Interpolation", "State", "Data and readers"])
    with leaks:
        _leaks(studio)
    with between:
        other = st.number_input("to the picture of seed", 0, 2**32 - 1, portrait.seed + 1, key="other")
        if st.button("Make a GIF"):
            _film(studio.way(after.code, studio.start(Portrait(int(other), portrait.truncation)).code))
    with state:
        st.caption("The address of this page holds the same.")
        st.code(portrait.as_json(), language="json")
        st.download_button("JSON", portrait.as_json(), "face.json", "application/json")
    with about:
        _about(studio)


def _film(frames: list[Any]) -> None:
    film = as_gif(frames)
    st.image(film)
    st.download_button("GIF", film, "faces.gif", "image/gif", on_click="ignore")
    if (moving := as_mp4(frames)) is not None:
        st.download_button("MP4", moving, "faces.mp4", "video/mp4", on_click="ignore")
    else:
        st.caption("MP4 wants imageio-ffmpeg: pip install imageio-ffmpeg")


def _leaks(studio: Studio) -> None:
    facts, names = studio.about(), studio.axes.names
    ways = {"off": "Locks off", "linear": "Locks on, linear", "closed": "Locks on, closed at each picture"}
    for way, title in ways.items():
        st.caption(f"{title}: change of each reading, in its standard deviations, as one is raised by one")
        found = facts["leakage"][way]
        rows = zip(studio.axes.controls, found["change"], found["identity"], strict=True)
        cells = [
            {"steered": as_text(name)}
            | {as_text(n): f"{v:+.2f}" for n, v in zip(names, change, strict=True)}
            | {"identity": f"{far:.2f}"}
            for name, change, far in rows
        ]
        st.table(cells, hide_index=True)
    st.caption("Identity: distance of the reader's features before and after, by that of two pictures. Labels of the "
               "data are correlated too, and no lock can be expected to know better than they:")  # fmt: skip
    st.table([
        {"": as_text(a)} | {as_text(b): f"{v:+.2f}" for b, v in zip(names, row, strict=True)}
        for a, row in zip(names, facts["labels"], strict=True)
    ], hide_index=True)  # fmt: skip


def _about(studio: Studio) -> None:
    facts = studio.about()
    st.markdown(
        f"The pictures are made by a model of {facts['data']['images']:,} pictures of "
        f"{as_text(facts['data']['name'])}; nobody on them exists. Axes and values come from a reader trained on "
        "the annotations of these pictures, and errs as they do: an age is a guess from a look, a gender is one of two "
        "that annotators chose. Ethnicity has no slider; where the data knows it, it only measures what else changes. "
        "For research."
    )
    st.table([{"attribute": as_text(n), kind: f"{v:.2f}"} for n, (kind, v) in facts["reader"].items()], hide_index=True)


if __name__ == "__main__":
    grant(sys.argv[4:])
    page(*sys.argv[1:4])
