"""The pages and their main views keep the rules of axe (WCAG 2 A and AA): contrast, names, order of headings."""

from pathlib import Path

import pytest

from tests.e2e import homes
from tests.e2e.browser import Server, at_rest

pytestmark = pytest.mark.browser
ADDRESSES = (
    "/",
    "/data",
    "/data?tab=Sizes and colours",
    "/data?tab=Data quality",
    "/architecture",
    "/train",
    "/results",
    "/results?view=Calibration",
    "/results?view=Confusion matrix",
    "/results?show=All runs",
    "/try_it",
)
# Streamlit's own: the place to drop files carries a role and a label, and tables that are drawn share their names
STREAMLITS = ("presentation-role-conflict", "landmark-unique")
RUN = "() => axe.run({resultTypes: ['violations']})"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server over the home that version 0.1.0 wrote."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        homes.fill_with_version_0_1(home)
        running = Server(home)
        yield running
        running.kill()


def test_pages_keep_the_rules_of_accessibility_in_light_and_in_dark(server, page):
    package = pytest.importorskip("axe_playwright_python")
    axe = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    wrong = []
    for address in ADDRESSES:
        page.goto(server.address + address)
        at_rest(page).wait_for_timeout(1000)
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(500)  # the page follows at once, and colours fade
            for rule in page.evaluate(RUN)["violations"]:
                if rule["id"] not in STREAMLITS:
                    shown = [node["html"][:120] for node in rule["nodes"][:3]]
                    wrong.append(f"{address}, {scheme}: {rule['id']}, {len(rule['nodes'])} times: {shown}")
        page.emulate_media(color_scheme="light")
    assert not wrong, "\n".join(wrong)
