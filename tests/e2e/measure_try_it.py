"""From drop to answer: how long Try-It takes in a browser, once the network is warm.

ATELIER_HOME=HOME python -m tests.e2e.measure_try_it RUN [--drops 50]

Every drop is another picture of the run's test part under a new name. The clock is the browser's: from the drop event
until the answer, its bars and what the network received of that picture are drawn.
"""

import argparse
import base64
import shutil

import numpy as np
from playwright.sync_api import sync_playwright

from core.data.datasets.dataset import find_dataset
from core.runs.run import read_run
from core.settings import atelier_home
from tests.e2e.browser import Server, at_rest
from tests.e2e.conftest import CHROMIUM_FLAGS

DROP_AND_WAIT = """async ([zone, name, bytes]) => {
  const received = () => [...document.querySelectorAll('.st-key-answer img')].at(-1)?.src;
  const before = received();
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], name, {type: 'image/jpeg'}));
  const there = new Promise(done => {
    const look = () => {
      const answer = document.querySelector('.st-key-answer');
      if (!answer?.innerText.includes(name) || received() === before) return;
      watcher.disconnect();
      requestAnimationFrame(() => done(performance.now()));
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
  });
  const began = performance.now();
  zone.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: files}));
  return await there - began;
}"""
WARM = 3  # drops before the clock counts


def main() -> None:
    """Print the median and the 95th percentile in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--drops", type=int, default=50)
    asked = parser.parse_args()
    run = read_run(asked.run)
    dataset, test = find_dataset(run.config.data.dataset), run.evaluation("test")
    assert test is not None, run.id
    places = np.random.default_rng(1).permutation(test.indices)[: asked.drops + WARM]
    server, took = Server(atelier_home(), threads=None), []
    try:
        with sync_playwright() as playwright:
            path = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS.split())
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(f"{server.address}/try_it?run={run.id}")
            at_rest(page)
            page.wait_for_selector(".st-key-answer h3")
            for number, place in enumerate(places.tolist()):
                zone = page.locator(".st-key-pictures [data-testid='stFileUploaderDropzone']").element_handle()
                content = base64.b64encode(dataset.original(place)).decode()
                took.append(page.evaluate(DROP_AND_WAIT, [zone, f"drop-{number}.jpg", content]))
                print(f"{took[-1]:.0f}", end=" ", flush=True)
                at_rest(page)
                page.locator("[data-testid='stFileChipDeleteBtn'] button").first.click()
                page.locator(".st-key-answer").get_by_text("An example.").wait_for()
                at_rest(page)
                page.wait_for_timeout(500)  # so that nothing of the last drop is still being drawn
            browser.close()
    finally:
        server.kill()
    counted = np.array(took[WARM:])
    low, middle, high = np.percentile(counted, [5, 50, 95])
    print(f"{run.id}, {len(counted)} drops: median {middle:.0f} ms, 95th percentile {high:.0f} ms, 5th {low:.0f} ms")


if __name__ == "__main__":
    main()
