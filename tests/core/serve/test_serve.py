"""The server: the answers of predict over HTTP, what it refuses and in which words, many clients at once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from core.cli.app import main
from core.errors import UserMistake
from core.serve.app import check_host, make_app, open_socket, read_token
from core.serve.guard import CLIENTS, Rate, ServeLimits, is_loopback
from tests.core.serve.client import ask, predict
from tests.tiny import colour_pictures
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-that-is-long-enough"


@contextmanager
def serving(limits: ServeLimits | None = None, token: str | None = None):
    """The port of a server in this process, whose answers are the lengths of the files."""

    def answer(pictures):
        return [{"file": name, "length": len(content)} for name, content in pictures]

    app = make_app("abcdefghijkl", "tiny", answer, limits or ServeLimits(), token)
    listening = open_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def test_several_pictures_are_answered_in_their_order():
    with serving() as port:
        reply = predict(port, [("b.png", b"123"), ("a.png", b"1"), ("a.png", b"")])
        assert reply.status == 200
        assert reply.document == [
            {"file": "b.png", "length": 3},
            {"file": "a.png", "length": 1},
            {"file": "a.png", "length": 0},
        ]
        assert ask(port, "GET", "/health").document == {"status": "ok", "run": "abcdefghijkl"}


def test_openapi_describes_the_request_and_the_answer():
    with serving() as port:
        document = ask(port, "GET", "/openapi.json").document
        assert ask(port, "GET", "/docs").status == 404  # it would load scripts of another site
    assert set(document["paths"]) == {"/health", "/predict"}
    answer = document["components"]["schemas"]["PictureAnswer"]["properties"]
    assert set(answer) == {"file", "classes", "none_of_these", "unlike", "error", "model"}
    assert set(document["components"]["schemas"]["Share"]["properties"]) == {"class", "probability", "calibrated"}


def test_too_many_pictures_and_too_many_bytes_are_refused():
    with serving(ServeLimits(pictures=2, request_bytes=5_000)) as port:
        few = predict(port, [("a.png", b"1")] * 3)
        assert few.status == 413 and "2 pictures; this one has 3" in few.document["detail"]
        large = predict(port, [("a.png", bytes(6_000))])
        assert large.status == 413 and "MB" in large.document["detail"]
        assert predict(port, [("a.png", bytes(4_000))]).status == 200


def test_a_body_that_does_not_say_its_length_is_counted():
    with serving(ServeLimits(request_bytes=5_000)) as port:
        form = "multipart/form-data; boundary=b"
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        pieces = [head, *[bytes(1_000)] * 8]
        assert ask(port, "POST", "/predict", iter(pieces), content_type=form).status == 413


def test_who_asks_too_often_is_told_when_to_come_again():
    with serving(ServeLimits(requests_a_minute=3)) as port:
        replies = [ask(port, "GET", "/health") for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 20
        assert "3 requests a minute" in replies[-1].document["detail"]


def test_tokens_come_back_with_time_and_the_oldest_addresses_are_forgotten():
    now = [0.0]
    rate = Rate(60, clock=lambda: now[0])
    assert [rate.wait("a") for _ in range(60)] == [0.0] * 60
    assert rate.wait("a") == pytest.approx(1.0)
    assert rate.wait("b") == 0.0  # everybody has a bucket
    now[0] = 1.0
    assert rate.wait("a") == 0.0 and rate.wait("a") > 0
    for number in range(CLIENTS + 5):
        rate.wait(str(number))
    assert len(rate._buckets) == CLIENTS


def test_a_token_is_demanded_of_everything_but_health():
    with serving(token=TOKEN) as port:
        files = [("a.png", b"1")]
        assert predict(port, files).status == 401
        assert predict(port, files, authorization=f"Bearer {TOKEN}x").status == 401
        assert predict(port, files, authorization=f"Bearer {TOKEN}").status == 200
        assert ask(port, "GET", "/openapi.json").status == 401
        assert ask(port, "GET", "/health").status == 200
        # with a token it may be reached by any name
        assert predict(port, files, authorization=f"Bearer {TOKEN}", host="art.example").status == 200


def test_pages_of_other_sites_are_kept_out_where_there_is_no_token():
    with serving() as port:
        files = [("a.png", b"1")]
        assert predict(port, files, host="evil.example").status == 403  # DNS rebinding
        assert predict(port, files, origin="https://evil.example").status == 403
        assert predict(port, files, origin=f"http://localhost:{port}").status == 200


def test_a_form_without_pictures_is_refused():
    with serving() as port:
        assert predict(port, []).status == 422
        assert ask(port, "POST", "/predict", b"{}", content_type="application/json").status == 422
        assert ask(port, "GET", "/predict").status == 405


def test_beyond_this_machine_a_token_is_needed(tmp_path):
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.7", "art.example", ""))
    check_host("0.0.0.0", TOKEN)
    with pytest.raises(UserMistake, match="needs --token-file"):
        check_host("0.0.0.0", None)


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two words that are long enough", "ünïcödé-ünïcödé-ünïcödé".encode()]
)
def test_a_token_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UserMistake, match="token"):
        read_token(tmp_path / "token")


def test_a_token_is_what_stands_in_the_file(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(UserMistake, match="cannot be read"):
        read_token(tmp_path / "no file")


def test_mistakes_on_the_command_line_are_sentences(tiny_run, capsys):
    assert main(["serve", tiny_run.id, "--host", "0.0.0.0"]) == 2
    assert "needs --token-file" in capsys.readouterr().err
    with open_socket("127.0.0.1", 0) as taken:
        assert main(["serve", tiny_run.id, "--port", str(taken.getsockname()[1])]) == 2
    assert "Nothing can listen on 127.0.0.1" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ the command, for real


@pytest.fixture(scope="module")
def command(home_with_a_run):
    """(port, process) of python -m core serve latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "core", "serve", "latest", "--port", "0"],
        cwd=ROOT,
        env=os.environ | {"ATELIER_HOME": str(home_with_a_run), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " answers at http://127.0.0.1:" in line
    yield int(line.partition("127.0.0.1:")[2].partition("/")[0]), process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_the_answer_is_that_of_predict_and_of_the_page(command, home_with_a_run, tmp_path, monkeypatch, capsys):
    from core.inference.predictor import load_predictor
    from core.runs.run import read_run

    port, _ = command
    monkeypatch.setenv("ATELIER_HOME", str(home_with_a_run))
    monkeypatch.chdir(tmp_path)
    files = [(f"{number}.png", content) for number, (_, _, _, content) in enumerate(colour_pictures(4))]
    files.append(("notes.png", b"not a picture"))
    for name, content in files:
        Path(name).write_bytes(content)
    rows = predict(port, files).document
    assert main(["predict", "latest", *[name for name, _ in files], "--json"]) == 1  # one cannot be read
    assert rows == json.loads(capsys.readouterr().out)
    page = load_predictor(read_run("latest")).predict(files)
    assert [[(one["class"], one["probability"]) for one in row["classes"]] for row in rows] == [
        list(prediction.classes) for prediction in page
    ]
    assert rows[-1]["error"] == page[-1].error


@pytest.mark.slow
def test_fifty_clients_at_once_each_get_their_own_answer(command):
    port, _ = command
    files = [(name.replace("/", "-"), content) for name, _, _, content in colour_pictures()]
    alone = {name: predict(port, [(name, content)]).document[0] for name, content in files}
    begin = threading.Barrier(50)

    def client(number: int) -> list[tuple[int, object, object]]:
        begin.wait()
        asked = [files[(number + k) % len(files)] for k in range(4)]
        replies = [predict(port, [one]) for one in asked]
        return [(r.status, r.document[0], alone[name]) for r, (name, _) in zip(replies, asked, strict=True)]

    with ThreadPoolExecutor(50) as clients:
        found = [reply for replies in clients.map(client, range(50)) for reply in replies]
    assert len(found) == 200
    assert all(status == 200 and got == expected for status, got, expected in found)


@pytest.mark.slow
def test_ctrl_c_ends_it_and_frees_the_port(command):
    port, process = command
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) in (0, 1)
    for _ in range(50):
        try:
            open_socket("127.0.0.1", port).close()
            return
        except UserMistake:
            time.sleep(0.1)
    raise AssertionError("the port is still taken")
