"""The part of the page of faces that takes a picture of the user's own."""

import hashlib
from typing import Any

import streamlit as st

from lightning_gen.errors import UserError
from lightning_gen.serving import as_text
from lightning_gen.tasks.common.own_picture import Found, cropped
from lightning_gen.tasks.common.portrait import Studio

__all__ = ["own_panel"]

#: bytes of a picture that is looked at
_LARGEST = 20_000_000


def own_panel(studio: Studio, place: Any) -> tuple[str, Found] | None:
    """Ask for a picture, cut it, find its code; give the digest and the code while it is to be steered."""
    with place, st.expander("Your own picture"):
        upload = st.file_uploader("a picture of a face", ["png", "jpg", "jpeg", "webp"], key="own")
        if upload is None:
            return None
        content = upload.getvalue()
        if len(content) > _LARGEST:
            st.error(f"the picture has {len(content) >> 20} MB: want {_LARGEST >> 20} or less")
            return None
        side = st.slider("part of the picture", 0.2, 1.0, 1.0, 0.05, key="own side")
        left = st.slider("left to right", 0.0, 1.0, 0.5, 0.05, key="own left")
        top = st.slider("top to bottom", 0.0, 1.0, 0.5, 0.05, key="own top")
        try:
            return _steered(studio, content, upload.name, (left, top, side))
        except UserError as error:
            st.error(as_text(str(error)))
            return None


def _steered(studio: Studio, content: bytes, name: str, square: tuple[float, float, float]) -> tuple[str, Found] | None:
    """Show the square; once its code has been found, show how near its picture is."""
    spec = studio.space.module.spec
    image = cropped(content, name, spec, *square)
    shown = image.permute(1, 2, 0).expand(-1, -1, 3)
    st.image(shown.numpy(), caption="cut so that the face lies as in the data; nothing aligns it", width=160)
    digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()[:8]
    found: dict[str, Found] = st.session_state.setdefault("own codes", {})
    if st.button("Find its code", width="stretch"):
        with st.spinner("The first time, an encoder is trained on the model's own samples, for about a minute"):
            found[digest] = studio.find(image)
    if digest not in found:
        return None
    code = found[digest]
    st.caption(f"Distance of pixels, as a share of their range: {code.guessed:.3f} guessed, {code.residual:.3f} found")
    return (digest, code) if st.checkbox("steer this picture", True, key=f"steer {digest}") else None
