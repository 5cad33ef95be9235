"""Home: what Atelier is, what is in the store, what runs, and the next step. streamlit run streamlit_app.py"""

from core.data.versions.versions import newest_versions
from pages.parts.form.start_run import supervisor
from pages.parts.home.dataset_cards import draw_dataset_cards
from pages.parts.home.first_run import find_first_run, follow_first_run, is_at_work
from pages.parts.home.getting_started import draw_getting_started
from pages.parts.home.guesses import draw_guesses
from pages.parts.home.newest_result import draw_newest_result
from pages.parts.home.recent_runs import draw_recent_runs
from pages.parts.home.welcome import draw_strip, draw_title
from pages.parts.shell.cache import datasets, live_runs, runs
from pages.parts.shell.frame import boundary, frame


def main() -> None:
    with frame("Home", heading=False):
        found, first_run = newest_versions(datasets()), find_first_run()
        draw_title()
        newest = next((run for run in runs() if run.state.status == "done"), None)
        answers = newest is not None and (first_run is None or not is_at_work(first_run))
        if not answers:
            with boundary():
                draw_strip(found)
        if first_run is not None:
            follow_first_run(first_run)
        if newest is not None and answers:
            with boundary():
                draw_newest_result(newest)
            with boundary():
                draw_strip(found, quiet=True)
        if first_run is None:
            draw_getting_started(found)
        with boundary():
            draw_guesses()
        if found:
            draw_dataset_cards(found)
        if runs():
            draw_recent_runs()
        if any(run.state.status == "queued" for run in live_runs()):
            supervisor()  # a queued run would wait in vain where the machine was restarted since


if __name__ == "__main__":  # a child process that imports this file again must not draw a page
    main()
