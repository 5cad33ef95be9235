"""A real server to visit, and what a person's hands do in a browser."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
AT_REST = "[data-testid='stApp'][data-test-connection-state='CONNECTED'][data-test-script-state='notRunning']"
DROP = """([zone, name, kind, content]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type: kind}));
  zone.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: files}));
}"""


class Server:
    """`streamlit run` on a free port; kill() is the hard way, start() again is what a redeploy does."""

    def __init__(self, home: Path, threads: int | None = 1) -> None:
        """`threads` of torch for all that it starts; None leaves the choice to the program."""
        self.home = home
        self.options: tuple[str, ...] = ()  # of streamlit, beside those of every server here
        self.environment = {"ATELIER_HOME": str(home)} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.prepare()
        self.start()

    def prepare(self) -> None:
        """What a server needs that has a port and does not run yet."""

    base = ""  # the sub-path under which it serves

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--server.headless", "true", "--server.port", str(self.port), "--server.fileWatcherType", "none"]
        options += self.options
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", *options],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.address}{self.base}/_stcore/health", timeout=2) as reply:
                    if reply.read() == b"ok":
                        return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.home / "server.log").read_text())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def at_rest(page):
    """The page once its title is there and its script has ended; before it begins, it does not run either."""
    page.wait_for_selector("h1")
    page.wait_for_selector(AT_REST)
    return page


def abroad(url: str) -> bool:
    """Whether a request leaves this machine: no page of ours may make one."""
    return not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "http://localhost"))


def drop(page, key: str, name: str, kind: str, content: bytes) -> None:
    """Drop a file from outside onto the uploader with that key, as a person does with the mouse."""
    zone = page.locator(f".st-key-{key} [data-testid='stFileUploaderDropzone']").first
    zone.wait_for()
    page.evaluate(DROP, [zone.element_handle(), name, kind, base64.b64encode(content).decode()])


def move_slider(page, key: str, arrow: str, wanted: str) -> None:
    """Press an arrow on a slider until it shows what is wanted."""
    slider = page.locator(f".st-key-{key} input[type=range]")
    slider.focus()
    for _ in range(40):
        if page.locator(f".st-key-{key}").get_by_test_id("stSliderThumbValue").inner_text() == wanted:
            return
        page.keyboard.press(arrow)
        page.wait_for_timeout(300)  # a person's finger
    raise AssertionError(f"{key} never became {wanted}")
