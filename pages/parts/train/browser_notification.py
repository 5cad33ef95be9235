"""A desktop notification when a run ends, for those who ask for it. It goes through the browser and nowhere else."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.errors import UserMistake
from core.runs.run import Run, read_run
from pages.parts.shell.cache import score_of
from pages.parts.shell.escape import shown
from pages.parts.shell.formatting import STATUS, percent_of, span

KEY = "notice"
HTML = """
<button type="button" aria-pressed="false">
  <svg viewBox="0 0 24 24" width="15" height="15" aria-hidden="true"><path fill="currentColor"
    d="M12 22a2 2 0 0 0 2-2h-4a2 2 0 0 0 2 2zm6-6v-5c0-3.1-1.6-5.6-4.5-6.3V4a1.5 1.5 0 0 0-3 0v.7C7.6 5.4 6 7.9 6 11v5
    l-2 2v1h16v-1l-2-2z"/></svg>
  <b></b>
</button><span role="status"></span>
"""
CSS = """
:host, div { font-family: var(--st-font); font-size: 0.875rem; color: var(--st-text-color); }
button { font: inherit; color: inherit; background: transparent; cursor: pointer; padding: 0.15rem 0.6rem;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); margin-right: 0.6rem; }
button:hover, button[aria-pressed="true"] { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
b { font-weight: 400; margin-left: 0.2rem; }
svg { vertical-align: -2px; }
span { opacity: 0.75; }
"""
JS = """
const notified = new Set();
const CANNOT = "This browser cannot notify from this page.";
const REFUSED = "Your browser refuses notifications from this page. Allow them for this address, then click again.";

export default function ({ data, parentElement, setStateValue }) {
  const button = parentElement.querySelector("button"), line = parentElement.querySelector("span");
  const can = "Notification" in window && window.isSecureContext;
  const wanted = data.wanted === data.run && data.run !== "";
  const on = wanted && can && Notification.permission === "granted";
  button.hidden = !data.live;
  button.querySelector("b").textContent = on ? "You will be notified" : "Notify me when it ends";
  button.setAttribute("aria-pressed", String(on));
  line.textContent = !data.live || !wanted || on ? "" : can ? REFUSED : CANNOT;
  button.onclick = async () => {
    if (on) { setStateValue("wanted", ""); return; }
    if (!can) { line.textContent = CANNOT; return; }
    const answer = await Notification.requestPermission();
    if (answer === "granted") { setStateValue("wanted", data.run); } else { line.textContent = REFUSED; }
  };
  const end = data.ended;
  if (end && can && Notification.permission === "granted" && !notified.has(end.run)) {
    notified.add(end.run);
    const notice = new Notification(end.title, { body: end.body, tag: end.run });
    notice.onclick = () => { window.focus(); notice.close(); };
  }
}
"""


def draw_browser_notification(run: Run) -> None:
    """A switch for a run that waits or trains: its end is notified while this page is open, whatever run it shows."""
    wanted = str((st.session_state.get(KEY) or {}).get("wanted") or "")
    ended = end_of(wanted) if wanted else None
    live = run.state.is_live
    if not live and not wanted:
        return
    _component()(
        key=KEY,
        data={"run": run.id, "live": live, "wanted": wanted, "ended": ended},
        default={"wanted": ""},
        on_wanted_change=_nothing,
    )


def end_of(run_id: str) -> dict[str, str] | None:
    """Id, title and text of the notification for a run that has ended; None while it has not."""
    try:
        run = read_run(run_id)
    except UserMistake:
        return None  # it was deleted
    if run.state.is_live:
        return None
    right, n = score_of(run)
    accuracy = f"{percent_of(right, n)} test pictures right, " if n else ""
    return {
        "run": run.id,
        "title": f"{shown(run.title, 60)}: {STATUS[run.state.status][0].lower()}",
        "body": f"{accuracy}after {span(run.state.whole_seconds)}."
        if run.state.step
        else shown(run.state.message, 120),
    }


def _nothing() -> None:
    """The component keeps its state; the rerun that follows draws it again."""


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component("atelier_notice", html=HTML, css=CSS, js=JS)
