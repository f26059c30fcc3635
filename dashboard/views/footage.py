"""What a camera saw of an event: the clip, or the still, and the signal that fired it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from html import escape
from pathlib import PurePosixPath

import streamlit as st

from dashboard import parts, signals
from dashboard.auth import Person
from dashboard.core.privacy import choose, may_see_face
from dashboard.data import now, settings, words
from infra.contracts.events import CLIP_KINDS, STILL_KINDS
from infra.contracts.signal_trace import SignalTrace
from infra.store.queries import EventRow, MediaRow

CAMERAS = {"driver": "Driver’s camera", "road": "Road camera", "cabin": "Cabin camera"}
MAKING = timedelta(minutes=5)  # a clip is made within this after its event came in


def show(
    person: Person, event: EventRow, media: Sequence[MediaRow], trace: SignalTrace | None, by_device: bool
) -> None:
    """Clips first; the still where there is no clip; why there is nothing, where there is nothing.

    Args:
        by_device: whether the device's own eyes saw it.
    """
    sees_face = may_see_face(person.role, settings().face_roles)
    kept = choose([item for item in media if item.deleted_at is None], sees_face)
    clips = [item for item in kept if item.kind == "clip"]
    for item in clips:
        _clip(event, item)
    if not clips:
        for item in kept:
            _still(event, item)
    if kept:
        st.caption("Passengers are blurred." if sees_face else "Faces are blurred.")
    else:
        _nothing(event, media, by_device)
    if trace is not None:
        _signal(event, trace)


def _clip(event: EventRow, item: MediaRow) -> None:
    address = parts.still_address(event.event_id, item.path)
    camera = PurePosixPath(item.path).stem.removeprefix("clip-").removesuffix("-driver")
    name = CAMERAS.get(camera, camera)
    lead_s = (event.start_at - item.time).total_seconds()
    said = f"{name}, from {words().time(item.time)}; the event begins {lead_s:.0f} s into it"
    if lead_s < 0:
        said = f"{name}, from {words().time(item.time)}; the event had begun {-lead_s:.0f} s before"
    st.html(
        f'<figure class="rs-figure"><video controls muted playsinline preload="auto" aria-label="Clip: {escape(name)}" '
        f'src="{escape(address)}" style="width: 100%; max-height: 30rem; background: #000"></video>'
        f'<figcaption class="rs-muted rs-small">{escape(said)}</figcaption></figure>'
    )


def _still(event: EventRow, item: MediaRow) -> None:
    caption = escape(words().time(item.time))
    address = escape(parts.still_address(event.event_id, item.path))
    st.html(
        f'<figure class="rs-figure"><img alt="Still of {caption}" src="{address}">'
        f'<figcaption class="rs-muted rs-small">Still, {caption}</figcaption></figure>'
    )


def _nothing(event: EventRow, media: Sequence[MediaRow], by_device: bool) -> None:
    gone = [item.deleted_at for item in media if item.deleted_at is not None]
    if gone:
        st.caption(f"The footage is no longer kept since {words().time(max(gone))}.")
    elif media:
        st.caption("There is footage, and not for your eyes: every picture of it shows a face.")
    elif by_device:
        st.caption("Seen by the device; no footage was sent.")
    elif event.kind in CLIP_KINDS | STILL_KINDS and now() - event.end_at < MAKING:
        st.caption("The clip is being made. Look again in a moment.")
    elif event.kind in CLIP_KINDS | STILL_KINDS:
        st.caption("No camera saw it.")


def _signal(event: EventRow, trace: SignalTrace) -> None:
    drawn = signals.signal_chart(trace, event.start_at, event.end_at)
    if drawn is None:
        return
    st.subheader(signals.signal_name(trace), anchor=False)
    st.altair_chart(drawn)
    dashed = "Dashed: threshold. " if trace.fired and trace.fired.threshold is not None else ""
    st.caption(f"{dashed}Shaded: the event. Dots: one frame each.")
