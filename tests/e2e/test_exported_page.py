"""The page of an export, in Chromium, served as plain files: it answers as the program does."""

import functools
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image

from core.export.export import export_run
from core.inference.predictor import load_predictor
from core.runs.run import open_run
from tests import tiny
from tests.pictures import encoded

pytestmark = pytest.mark.browser
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MODULES = {"mjs": "text/javascript", "wasm": "application/wasm"}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The folder with the files of onnxruntime-web that the page needs, from npm."""
    if not shutil.which("npm"):
        pytest.skip("npm is not here, and onnxruntime-web comes from it")
    folder = tmp_path_factory.mktemp("npm")
    packed = subprocess.run(["npm", "pack", RUNTIME], cwd=folder, capture_output=True, text=True, timeout=180)
    if packed.returncode:
        pytest.skip(f"npm cannot get {RUNTIME}: {packed.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for name in RUNTIME_FILES:
            file = archive.extractfile(f"package/dist/{name}")
            assert file is not None
            (folder / name).write_bytes(file.read())
    return folder


@pytest.fixture(scope="module")
def exported(home_with_a_run, tmp_path_factory):
    """(predictor, folder): the page of the tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home_with_a_run))
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        (folder,) = (home_with_a_run / "runs").iterdir()
        target = tmp_path_factory.mktemp("web") / "export"
        list(export_run(open_run(folder), target, ["web"]))
        yield load_predictor(open_run(folder)), target


@pytest.fixture
def site(exported, tmp_path):
    """(address, folder): a plain web server over a copy of the export."""
    folder = shutil.copytree(exported[1], tmp_path / "site")
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def log_message(self, *_):
        pass


def pictures() -> dict[str, bytes]:
    """From blue at the top to orange at the bottom, so that the way up matters; in forms that a file may have."""
    ramp = np.linspace(0, 1, 48)[:, None, None]
    blue, orange = (np.array(tiny.COLOURS[name]) for name in ("blue", "orange"))
    pixels = np.broadcast_to(blue * (1 - ramp) + orange * ramp, (48, 80, 3)).astype(np.uint8)
    plain, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 3  # upside down
    faded = plain.convert("RGBA")
    faded.putalpha(Image.new("L", plain.size, 128))
    return {
        "plain.png": encoded(plain),
        "plain.jpg": encoded(plain, "JPEG", quality=95),
        "turned.jpg": encoded(plain, "JPEG", quality=95, exif=turned),
        "faded.png": encoded(faded),
        "large.png": encoded(plain.resize((1500, 1203))),
    }


def answers_of(page, files: dict[str, bytes]) -> dict[str, dict[str, float]]:
    """File name -> class -> probability, as the page has them."""
    payload = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    page.set_input_files("#files", payload)
    page.wait_for_function("n => document.querySelectorAll('article').length === n", arg=len(files))
    found = page.eval_on_selector_all(
        "article", "all => all.map(one => [one.querySelector('p').textContent, one.dataset.answer])"
    )
    return {name: dict(json.loads(answer)) for name, answer in found}


def test_a_page_beside_its_runtime_answers_as_the_program(page, site, runtime, exported):
    address, folder = site
    for name in RUNTIME_FILES:
        shutil.copy(runtime / name, folder)
    files = pictures()
    page.goto(address)
    found = answers_of(page, files)
    expected = {one.file: dict(one.classes) for one in exported[0].predict(list(files.items()))}
    assert abs(expected["plain.jpg"]["blue"] - expected["turned.jpg"]["blue"]) > 0.01  # the way up matters
    for name in files:
        assert found[name] == pytest.approx(expected[name], abs=1e-5 if name in EXACT else 0.02), name
    assert page.problems == []


EXACT = ("plain.png", "large.png")  # others are decoded, or laid on white, by the browser


def test_a_page_without_it_asks_its_public_address_and_says_where_that_fails(page, site, runtime):
    address, _ = site
    public = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/"

    def serve(route):
        name = route.request.url.removeprefix(public)
        route.fulfill(
            body=(runtime / name).read_bytes(),
            content_type=MODULES[name.rpartition(".")[2]],
            headers={"Access-Control-Allow-Origin": "*"},
        )

    page.route("https://**", lambda route: route.abort())
    page.goto(address)
    page.get_by_text("neither beside this page nor reachable").wait_for()
    page.route(f"{public}*", serve)
    page.goto(address)
    assert answers_of(page, {"plain.png": pictures()["plain.png"]})
    assert all(url.startswith(public) for url in page.problems)


def test_names_of_classes_are_texts_and_what_is_no_picture_is_said(page, site, runtime):
    address, folder = site
    for name in RUNTIME_FILES:
        shutil.copy(runtime / name, folder)
    evil = "<img src=x onerror=document.title='broken'>"
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(facts | {"classes": [evil, evil]}))
    page.goto(address)
    answers_of(page, {"plain.png": pictures()["plain.png"]})
    assert page.locator("article h2").inner_text() == evil
    assert page.title() == facts["title"]
    page.set_input_files("#files", [{"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"}])
    page.get_by_text("notes.png is no picture that this browser can read.").wait_for()
    small = io.BytesIO()
    Image.new("RGB", (4, 40)).save(small, "PNG")
    page.set_input_files("#files", [{"name": "small.png", "mimeType": "image/png", "buffer": small.getvalue()}])
    page.get_by_text("fewer than 16 pixels").wait_for()
