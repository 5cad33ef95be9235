"""nginx in front of a server, by the file of docs/serving: another port, and nothing else changed."""

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.browser import ROOT, Server

PASSWORD = "correct horse"
MAIN = """daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  include {folder}/atelier.conf;
}}
"""


class BehindNginx(Server):
    """A server under /atelier whose people open it at another address."""

    base = "/atelier"

    def prepare(self) -> None:
        secrets = self.home / "secrets.toml"
        secrets.write_text(f'[people]\npassword = "{PASSWORD}"\n')
        self.environment |= {"STREAMLIT_SERVER_ALLOWED_HOSTS": "atelier.localhost 127.0.0.1"}
        self.options = ("--server.baseUrlPath", "atelier", "--secrets.files", str(secrets))


def is_here() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def nginx(folder: Path, server: Server):
    """The address under which nginx gives the server on, until the block is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rules = (ROOT / "docs" / "serving" / "nginx.conf").read_text()
    assert "listen 80;" in rules and "127.0.0.1:8501" in rules
    rules = rules.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "127.0.0.1:8501", f"127.0.0.1:{server.port}"
    )
    folder.mkdir(exist_ok=True)
    (folder / "atelier.conf").write_text(rules)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://atelier.localhost:{port}/atelier"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
