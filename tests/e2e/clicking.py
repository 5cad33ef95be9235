"""What a page offers to click, one click with the rest that follows, and what must never be seen after it."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.e2e.browser import abroad

FOUND = """(() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const ours = '[data-testid=stMain], [role=dialog], [data-testid=stPopoverBody], [data-testid=stMenuButtonBody]';
  const wanted = `button, a[href], summary, [role=tab], [role=menuitem], [data-testid=stCheckbox] label,
    [data-testid=stRadioOption], [data-testid=stSelectbox] input, [data-testid=data-grid-canvas]`;
  const streamlits = `a.skip, [data-testid=stElementToolbar], [data-testid=stBaseButton-elementToolbar],
    [aria-label^=Help], [data-testid=stHeaderActionElements], [data-testid=stSelectbox] button,
    [data-testid=stMultiSelect], [data-testid=stPlotlyChart]`;
  const act = '[data-testid=stButton], [data-testid=stDownloadButton], [data-testid=stFileUploader], [role=menuitem]';
  const opens = 'summary, [data-testid=stPopoverButton], [data-testid=stMenuButtonButton]';
  const dialog = all('[role=dialog]:not([data-testid=stPopoverBody])').at(-1);
  const shown = one => one.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true})
    && !one.disabled && one.ariaDisabled !== 'true' && one.closest(ours) && !one.closest(streamlits)
    && (!dialog || dialog.contains(one) || one.closest('[data-testid=stPopoverBody]'));
  const tags = {CANVAS: 'row', INPUT: 'choice', A: 'link'};
  const kind = one => tags[one.tagName] ?? (one.matches(opens) ? 'opener' : one.closest(act) ? 'button' : 'option');
  const key = one => [...one.closest('[class*="st-key-"]')?.classList ?? []].find(it => it.startsWith('st-key-')) ?? '';
  const label = one => {
    if (one.tagName === 'CANVAS') return 'a table';
    const bare = (one.querySelector('summary strong') ?? one).cloneNode(true);
    bare.querySelectorAll('[data-testid*=Icon]').forEach(icon => icon.remove());
    return (bare.textContent || one.ariaLabel || '').replace(/\\s+/g, ' ').trim().slice(0, 60);
  };
  return all(wanted).filter(shown).map(one => ({one, kind: kind(one), key: key(one), label: label(one), to: one.href}));
})()"""
LISTED = f"() => {FOUND}.map(({{kind, key, label, to}}) => ({{kind, key, label, to}}))"
NTH = f"place => {FOUND}[place]?.one"
SEEN = """() => {
  const words = one => one ? one.innerText.trim() : '';
  const [main, heading, links] = ['[data-testid=stMain]', 'h1', '.st-key-links'].map(it => document.querySelector(it));
  return {heading: words(heading), body: words(main).length - words(heading).length - words(links).length,
    all: document.body.innerText, exceptions: [...document.querySelectorAll('[data-testid=stException]')].map(words)};
}"""
RESTS = """() => {
  const {testConnectionState, testScriptState} = document.querySelector('[data-testid=stApp]')?.dataset ?? {};
  return testConnectionState === 'CONNECTED' && testScriptState === 'notRunning';
}"""
STILL = """() => new Promise(done => {
  const began = performance.now();
  let last = began;
  const changes = new MutationObserver(() => { last = performance.now(); });
  changes.observe(document.body, {subtree: true, childList: true, characterData: true});
  const look = () => {
    const now = performance.now();
    if (now - last < 100 && now - began < 3000) return later();
    changes.disconnect();
    done();
  };
  const later = () => requestIdleCallback(() => setTimeout(look, 30), {timeout: 1000});
  later();
})"""  # nothing is drawn any more: a busy browser draws seconds after the script has ended; without a timeout
# a page behind a new tab would be waited for without an end, as a browser has no time for what nobody sees
ACTS = ("button", "link")  # they do something; the others choose or open what can then be seen
PATIENCE = 30.0  # seconds in which a click is answered, also by a busy machine


@dataclass(frozen=True)
class Control:
    """Something to click. Its numbers and ids do not count: one picture or run of a list stands for all of them."""

    kind: (
        str  # "button", "link", "opener" (an expander, a popover, a menu), "option", "choice" (of a select box), "row"
    )
    key: str
    label: str
    place: int = field(compare=False)  # among all that can be clicked now

    def __str__(self) -> str:
        return f"{self.kind} “{self.label or self.key}”"


class Pulse:
    """When the browser asked the server last, and when a script of the server ended last, on the monotonic clock."""

    def __init__(self, page) -> None:
        self.asked, self.ended = 0.0, 0.0
        page.on("websocket", self._listen)

    def _listen(self, socket) -> None:
        socket.on("framesent", self._send)
        socket.on("framereceived", self._receive)

    def _send(self, content: bytes | str) -> None:
        if _kind(BackMsg, content) == "rerun_script":
            self.asked = time.monotonic()

    def _receive(self, content: bytes | str) -> None:
        if _kind(ForwardMsg, content) == "script_finished":
            self.ended = time.monotonic()


def _kind(message: type[BackMsg] | type[ForwardMsg], content: bytes | str) -> str | None:
    return message.FromString(content if isinstance(content, bytes) else content.encode()).WhichOneof("type")


def watch(page):
    """The page, from now on with what rest() needs; a dialog of files that a click asks for is not shown."""
    page.pulse = Pulse(page)
    page.on("filechooser", lambda chooser: chooser.set_files([]))
    return page


def controls(page) -> list[Control]:
    """What can be clicked now, the first of each sort; while a dialog is open, only what is in it."""
    found: dict[Control, Control] = {}
    for place, one in enumerate(page.evaluate(LISTED)):
        if not abroad(one.get("to") or "data:"):
            control = _as_control(one["kind"], _general(one["key"]), _general(one["label"]), place)
            found.setdefault(control, control)
    return list(found)


def _as_control(kind: str, key: str, label: str, place: int) -> Control:
    # a button whose key holds an id is one of a list, and is called after what it stands for
    return Control(kind, key, "" if kind == "button" and "#" in key else label, place)


def _general(name: str) -> str:
    """Without numbers, ids and hashes, without the mark of a setting that was changed and the name of one to reset."""
    name = re.sub(r"(?<=st-key-reset-).+", "#", name.replace(" · changed", ""))
    return re.sub(r"(?=[a-z0-9]*\d)[a-z0-9]{10,}|\d+([.,]\d+)*", "#", name)


def click(page, control: Control, seconds: float = 0.0) -> bool:
    """Click it and wait for the page to rest; False where it does not come within the seconds."""
    end = time.monotonic() + seconds
    try:
        return _click(page, control, end)
    except Exception:  # of Playwright: a clock has just redrawn it, or a popover lies over it, which a person closes
        page.keyboard.press("Escape")
        return _click(page, control, end)


def _click(page, control: Control, end: float) -> bool:
    while (element := _find(page, control)) is None:
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(50)
    began = time.monotonic()
    _press(page, control, element)
    rest(page, began)
    return True


def _find(page, control: Control):
    place = next((one.place for one in controls(page) if one == control), None)
    return None if place is None else page.evaluate_handle(NTH, place).as_element()


def _press(page, control: Control, element) -> None:
    if control.kind == "row":  # the box that ticks the first row of a table
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        page.mouse.click(box["x"] + 20, box["y"] + 52)
        return
    element.click(timeout=5_000)
    if control.kind == "choice":  # what stands below that which is chosen
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")


def rest(page, since: float | None = None) -> None:
    """Until the server has answered what was asked `since` (now), and the page draws nothing more."""
    since = time.monotonic() if since is None else since
    page.wait_for_timeout(100)  # a click takes a moment to become a question
    asked = page.pulse.asked
    while asked >= since and page.pulse.ended < asked and time.monotonic() < asked + PATIENCE:
        page.wait_for_timeout(30)
    for _ in range(2):  # a script that asks for another run of itself rests for a moment
        page.wait_for_function(RESTS, polling=50)
        page.evaluate(STILL)


def wrongs(page) -> Iterator[str]:
    """What no page may ever show, and what went wrong in the browser since this was asked last."""
    seen = page.evaluate(SEEN)
    if not seen["heading"] or not seen["body"]:  # a page that is just being left and the next one is not there yet?
        with suppress(Exception):  # of Playwright: it is wrong, as is said below
            page.wait_for_selector("h1", timeout=10_000)
        rest(page)
        seen = page.evaluate(SEEN)
    if not seen["heading"]:
        yield "no heading"
    if not seen["body"]:
        yield "a blank page"
    for sentence in ("Something went wrong", "Page not found", "Connection error"):
        if sentence in seen["all"]:
            yield f"it says “{sentence}”"
    yield from (f"an exception: {told[:200]}" for told in seen["exceptions"])
    yield from (f"in the browser: {told}" for told in page.problems)
    page.problems.clear()
