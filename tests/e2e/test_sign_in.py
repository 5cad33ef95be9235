"""Signing in with a provider, in a real browser: the door, who comes in, whose runs are whose, and the way out."""

import pytest

from core.config import RunConfig
from core.people import Person, ask_who
from core.runs.actions import create_run
from core.runs.run import read_run
from core.runs.state import replace_state, write_state
from tests.app import add_pictures
from tests.e2e.browser import AT_REST, Server
from tests.oidc import SECRET, provider

pytestmark = pytest.mark.browser


class SignedIn(Server):
    """A server whose people sign in with `provider`."""

    def __init__(self, home, provider, **people) -> None:
        self.provider, self.people = provider, people
        super().__init__(home)

    def prepare(self) -> None:
        secrets = self.home / "secrets.toml"
        secrets.write_text(self.provider.secrets(self.address, **self.people))
        self.options = ("--secrets.files", str(secrets))


def test_people_of_a_provider_come_in_and_change_what_is_theirs(tmp_path, monkeypatch, page, phone):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    dataset = add_pictures()
    ask_who(lambda: Person(id="b" * 16, name="Ben"))
    run = create_run(RunConfig(), "f" * 64, dataset.classes)
    write_state(run.folder, replace_state(run.state, status="stopped"))
    with provider() as known:
        server = SignedIn(tmp_path, known, allowed=["*@school.example"], teachers=["cleo@school.example"])
        try:
            page.goto(f"{server.address}/train?run={run.id}")
            assert page.get_by_role("button").count() <= 1 or page.get_by_text("Start training").count() == 0
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{server.address}/**")
            page.get_by_text("Ada", exact=True).wait_for()  # home, as the provider named her
            page.goto(f"{server.address}/train?run={run.id}")  # the cookie lets her in at once
            page.locator(".st-key-actions").get_by_role("button", name="Clone").wait_for()
            offered = page.locator(".st-key-actions").get_by_role("button").all_inner_texts()
            assert offered and all("Clone" in one or "As command" in one for one in offered)  # none changes it
            page.screenshot(path=str(tmp_path / "signed-in.png"))
            page.get_by_text("Ada", exact=True).click()
            page.get_by_role("button", name="Sign out").click()
            page.get_by_role("button", name="Sign in").wait_for()

            known.who = {"sub": "2", "name": "Cleo", "email": "Cleo@School.example", "email_verified": True}
            phone.goto(f"{server.address}/train?run={run.id}")
            phone.get_by_role("button", name="Sign in").click()
            phone.get_by_text("Cleo · teacher").wait_for()
            phone.goto(f"{server.address}/train?run={run.id}")
            phone.get_by_role("button", name="☆ Star").click()
            phone.get_by_text("has a star").wait_for()
            assert read_run(run.id).marks.star

            known.who = {"sub": "3", "name": "Eve", "email": "eve@elsewhere.example", "email_verified": True}
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("Your account is not let in here").wait_for()
            page.wait_for_selector(AT_REST)
        finally:
            server.kill()
    log = (tmp_path / "server.log").read_text()
    assert SECRET not in log and "a-cookie-secret" not in log, log
