"""A run that has ended is told to local servers, and once more after a failure; no secret is written anywhere."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from core.cli.app import main as cli
from core.errors import UserMistake
from core.runs import notices
from core.runs.actions import hide_run, rename_run
from core.runs.notices import (
    Notices,
    in_words,
    log_path,
    notice_document,
    notices_path,
    payload,
    read_notices,
    send_all,
)
from core.runs.run import open_run
from core.runs.writer import mark_ended
from tests.waiting import wait_until

SECRET = "s3cret-token"
HOSTILE = "<!channel> @everyone **x**\nBcc: evil@example.org " + "العربية 🎨" + "x" * 300


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        answer = self.server.answers.pop(0) if self.server.answers else 200
        self.send_response(answer)
        if answer == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_):
        pass


class _Post(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 here\r\n")
        in_data, lines = False, []
        for line in self.rfile:
            text = line.decode().rstrip("\r\n")
            if in_data:
                in_data = text != "."
                lines.append(text)
                self.wfile.write(b"250 kept\r\n" if not in_data else b"")
                continue
            self.server.commands.append(text)
            in_data = text.upper() == "DATA"
            self.wfile.write(
                b"354 go on\r\n" if in_data else b"221 bye\r\n" if text.upper() == "QUIT" else b"250 fine\r\n"
            )
        self.server.mails.append(lines)


@pytest.fixture
def hook():
    yield from _serving(HTTPServer(("127.0.0.1", 0), _Hook), got=[], answers=[])


@pytest.fixture
def post():
    yield from _serving(socketserver.TCPServer(("127.0.0.1", 0), _Post), commands=[], mails=[])


def _serving(server, **fields):
    vars(server).update(fields)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def hooked(server, kind="json"):
    return {"kind": kind, "url": f"http://127.0.0.1:{server.server_address[1]}/{SECRET}"}


def write_notices(**fields):
    notices_path().write_text(json.dumps(fields))


def test_a_webhook_of_each_kind_and_a_mailbox_are_told(tiny_run, hook, post):
    run = rename_run(tiny_run, HOSTILE.replace("\n", " ")[:80])
    mail = {"host": "127.0.0.1", "port": post.server_address[1], "security": "none", "sender": "a@b.c", "to": ["d@e.f"]}
    told = Notices(webhooks=[hooked(hook, kind) for kind in ("slack", "discord", "json")], mail=mail)
    document = notice_document(run)
    assert send_all(told, document) == []
    (slack, discord, plain) = (body for _, body in hook.got)
    assert "<!channel>" not in slack["text"] and "%" in slack["text"]
    assert discord["allowed_mentions"] == {"parse": []} and "@everyone" not in discord["content"].replace("\\@", "")
    assert plain == json.loads(json.dumps(document)) and plain["accuracy"] == tiny_run.evaluation("test").accuracy
    assert post.commands[1:3] == ["mail FROM:<a@b.c>", "rcpt TO:<d@e.f>"] or "d@e.f" in str(post.commands)


def test_no_name_makes_a_header_or_a_second_line(tiny_run):
    run = tiny_run
    document = notice_document(run) | {"title": notices._short(HOSTILE), "message": ""}
    assert "\n" not in in_words(document) and len(document["title"]) <= 300
    assert len(payload("discord", document)["content"]) <= 2000


def test_a_failure_is_tried_once_more(hook):
    hook.answers += [500]
    assert send_all(Notices(webhooks=[hooked(hook)]), {"title": "x"}, retry_after=0) == [] and len(hook.got) == 2


@pytest.mark.parametrize("answers", [[500, 503], [302, 302]])
def test_what_fails_twice_is_told_without_its_address(hook, answers):
    hook.answers += answers
    (failure,) = send_all(Notices(webhooks=[hooked(hook)]), {"title": "x"}, retry_after=0)
    assert str(answers[1]) in failure and SECRET not in failure and len(hook.got) == 2


def test_a_silent_server_holds_up_nothing(monkeypatch):
    monkeypatch.setattr(notices, "TIMEOUT", 0.1)
    with socketserver.TCPServer(("127.0.0.1", 0), _Post) as server:  # accepts, and never answers
        (failure,) = send_all(Notices(webhooks=[hooked(server)]), {"title": "x"}, retry_after=0)
    assert "tried twice" in failure


def test_a_run_that_ends_is_told_by_a_process_of_its_own(new_run, hook):
    write_notices(webhooks=[hooked(hook)], when=["failed"])
    assert mark_ended(new_run.folder, "failed", "It failed.")
    wait_until(lambda: hook.got)
    ((path, body),) = hook.got
    assert path == f"/{SECRET}" and (body["status"], body["message"]) == ("failed", "It failed.")


def test_what_was_not_asked_for_is_not_told(tiny_run, hook):
    write_notices(webhooks=[hooked(hook)], when=["failed"])
    assert notices.main(tiny_run.folder) == 0
    write_notices(webhooks=[hooked(hook)])
    assert notices.main(hide_run(tiny_run).folder) == 0
    assert not hook.got
    assert notices.main(open_run(hide_run(tiny_run, False).folder).folder) == 0
    assert len(hook.got) == 1


def test_no_secret_is_shown_or_logged(tiny_run, hook, capsys, monkeypatch):
    monkeypatch.setattr(notices, "RETRY_AFTER", 0)
    monkeypatch.setattr(notices.time, "sleep", lambda _: None)
    mail = {"host": "127.0.0.1", "port": 1, "user": "me", "password": SECRET, "sender": "a@b.c", "to": ["d@e.f"]}
    write_notices(webhooks=[hooked(hook)], mail=mail)
    hook.answers += [500, 500, 500, 500]
    assert cli(["notices"]) == 0 and cli(["notices", "test"]) == 1 and notices.main(tiny_run.folder) == 1
    said = capsys.readouterr()
    assert "mail: d@e.f by 127.0.0.1:1" in said.out
    assert SECRET not in said.out + said.err + log_path().read_text() + repr(read_notices())


@pytest.mark.parametrize(
    "wrong", [{"webhooks": [{"url": f"file:///{SECRET}"}]}, {"password": SECRET}, {"when": [SECRET]}]
)
def test_a_wrong_file_is_told_without_its_values(home, wrong):
    home.mkdir()
    write_notices(**wrong)
    with pytest.raises(UserMistake, match=r"notices\.json cannot be used") as caught:
        read_notices()
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None


def test_without_the_file_no_process_is_started(new_run, monkeypatch):
    monkeypatch.setattr(notices.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert mark_ended(new_run.folder, "failed", "It failed.")
