"""Actions on events as people take them: buttons, the dismissal, and what is said afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import streamlit as st

from dashboard import inbox, labels
from dashboard.auth import Person
from dashboard.core.review import LONGEST_COMMENT, Action, Decision, DismissalReason, NotAllowed, NotPossible
from dashboard.data import engine, now, person_signed_in, settings
from dashboard.parts import plain
from infra.contracts.events import ReviewState

Seen = Mapping[UUID, ReviewState]
Done = Callable[[], None]

_INTENT = "intent"
SHORTCUTS = {Action.MARK_REVIEWED: "v", Action.NEEDS_COACHING: "o", Action.DISMISS: "x"}
ICONS = {
    Action.MARK_REVIEWED: ":material/check:",
    Action.NEEDS_COACHING: ":material/school:",
    Action.COACHED: ":material/task_alt:",
    Action.DISMISS: ":material/block:",
    Action.RECOGNISE: ":material/thumb_up:",
    Action.RECOGNISED: ":material/thumb_up:",
    Action.REOPEN: ":material/undo:",
}


def buttons(actions: tuple[Action, ...], seen: Seen, key: str, shortcuts: bool = False) -> None:
    """A button for each action that takes no more than a click, and one that opens the dismissal."""
    for place, action in enumerate(a for a in actions if a in ICONS):
        st.button(
            labels.ACTIONS[action] + ("…" if action is Action.DISMISS else ""),
            key=f"{key}-{action}",
            icon=ICONS[action],
            type="primary" if place == 0 else "secondary",
            shortcut=SHORTCUTS.get(action) if shortcuts else None,
            on_click=_intend,
            args=(action, dict(seen)),
        )


def _intend(action: Action, seen: Seen) -> None:
    """Keep what the person saw when they clicked: a browser that is slow to draw may report other boxes ticked."""
    st.session_state[_INTENT] = (action, seen)


def carry_out(done: Done) -> None:
    """Do what a button was clicked for, if one was.

    Args:
        done: called after it was written, before the page is drawn again.
    """
    action, seen = st.session_state.pop(_INTENT, (None, {}))
    if action is Action.DISMISS:
        dismissal(seen, done)
    elif action is not None:
        take(seen, Decision(action), done)


def dismissal(seen: Seen, done: Done) -> None:
    """Asks for the reason, in front of the page."""

    def ask() -> None:
        with st.form("dismissal", border=False):
            st.write("A dismissed event does not count in any score. The driver sees the reason.")
            reasons = list(DismissalReason)
            reason = st.radio("Reason", reasons, None, format_func=labels.REASONS.__getitem__, key="reason")
            comment = st.text_area("Comment", max_chars=LONGEST_COMMENT, key="dismissal-comment")
            chosen = st.form_submit_button("Dismiss", type="primary")
            if chosen and reason is None:
                st.error("Choose a reason.", icon=":material/error:")
            elif chosen:
                take(seen, Decision(Action.DISMISS, reason, comment), done)

    several = f"{len(seen)} events" if len(seen) > 1 else "this event"
    st.dialog(f"Dismiss {several}")(ask)()


def comment_form(action: Action, seen: Seen, key: str) -> None:
    with st.form(key, clear_on_submit=True, border=False):
        label = "Why is this wrong?" if action is Action.CONTEST else "Comment"
        comment = st.text_area(label, max_chars=LONGEST_COMMENT, height=80)
        if st.form_submit_button(labels.ACTIONS[action]):
            take(seen, Decision(action, comment=comment), lambda: None)


def take(seen: Seen, decision: Decision, done: Done) -> None:
    """Write it as whoever is signed in now, and draw the page again; say why where it cannot be written."""
    person = person_signed_in()
    problem = "your session has ended; sign in again" if person is None else _problem(person, seen, decision)
    if problem is not None:
        st.error(plain(problem), icon=":material/error:")
        return
    st.session_state["said"] = _said(decision.action, len(seen))
    done()
    st.rerun()


def say_what_was_done() -> None:
    """The message of an action that was taken on the page before."""
    said = st.session_state.pop("said", None)
    if said:
        st.toast(said, icon=":material/check:")


def _problem(person: Person, seen: Seen, decision: Decision) -> str | None:
    try:
        inbox.act(engine(), settings(), person.actor, seen, decision, now())
    except (inbox.Changed, inbox.UnknownEvent, NotAllowed, NotPossible, ValueError) as problem:
        words = str(problem)
        return words[:1].upper() + words[1:]
    return None


def _said(action: Action, count: int) -> str:
    what = {
        Action.MARK_REVIEWED: "reviewed",
        Action.NEEDS_COACHING: "waiting for coaching",
        Action.COACHED: "coached",
        Action.DISMISS: "dismissed; scores are computed anew",
        Action.RECOGNISE: "to be recognised",
        Action.RECOGNISED: "recognised",
        Action.REOPEN: "back among those to review",
        Action.COMMENT: "commented",
        Action.CONTEST: "contested; a manager will look at it",
    }[action]
    return f"{'Event' if count == 1 else f'{count} events'}: {what}."
