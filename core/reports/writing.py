"""write_report: runs, experiments and datasets as one HTML file that opens offline, or as Markdown with pictures."""

import base64
import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from core.config import DataConfig, RunConfig
from core.data.datasets.dataset import Dataset, find_dataset, list_datasets
from core.data.quality.shortcuts import Shortcuts, measure_shortcuts
from core.data.store.store import build_store, open_store
from core.disk import write_atomic
from core.errors import UserMistake
from core.experiments.ablation.effects import report as effects_of
from core.experiments.ablation.experiment import Experiment, read_experiment
from core.experiments.ablation.markdown import to_markdown
from core.experiments.dataset_runs import runs_on
from core.reports.blocks import Block, Items, Listing, Paragraph, Picture, Report, Section, Table, Words, table
from core.reports.markdown import words_to_html, words_to_markdown
from core.reports.outline import SECTIONS, Outline, make_outline
from core.reports.results_sections import accuracy_sentence, compare_section
from core.reports.run_sections import dataset_blocks, guess_blocks, run_sections, sample_sheet, shortcut_table
from core.runs.naming import with_names
from core.runs.run import Run, list_runs, read_run
from core.typed import visible

Subject = Run | Experiment | Dataset
ReportProgress = Callable[[str, int, int], None]  # what is done, done, of
IN_SHORT = "In short"  # the first section of a report about one thing
SHORT = 20  # letters of a cell that is not broken
_ID = re.compile(r"[a-z0-9]{1,12}|latest")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&$])")


def find_subject(name: str) -> Subject:
    """What a name means: a dataset that is called so, else a run, else an experiment. UserMistake for none of them."""
    every = {dataset.name: dataset for dataset in list_datasets()}
    if name in every:
        return every[name]
    if not _ID.fullmatch(visible(name)):
        return find_dataset(name)
    try:
        return read_run(name)
    except UserMistake as mistake:
        try:
            return read_experiment(name)
        except UserMistake:
            raise UserMistake(
                f"There is no run, experiment or dataset {name[:40]!r}. {mistake} The datasets: "
                f"{', '.join(every) or 'none'}"
            ) from mistake


def make_report(
    subjects: Sequence[Subject],
    outline: Outline | None = None,
    progress: ReportProgress = lambda what, done, of: None,
) -> Report:
    """The report about these subjects; several runs are also compared. Every number is one that is stored with them."""
    outline = outline or make_outline()

    def measure(dataset: Dataset, config: RunConfig) -> Shortcuts | None:
        try:
            return measure_shortcuts(dataset, config.data, lambda done, of: progress("measuring shortcuts", done, of))
        except UserMistake:  # too few pictures
            return None

    sections: list[Section] = []
    runs = with_names([one for one in subjects if isinstance(one, Run)])
    named = {run.id: run for run in runs}
    subjects = [named[one.id] if isinstance(one, Run) else one for one in subjects]
    if len(runs) > 1 and "results" in outline.sections:
        sections.append(compare_section(runs))
    for one in subjects:
        if isinstance(one, Run):
            sections += run_sections(one, measure, outline.sections)
        elif isinstance(one, Experiment):
            sections += _experiment_sections(one, outline.sections)
        else:
            sections += _dataset_sections(one, measure, outline.sections)
    title = outline.title or _title(subjects)
    if len(subjects) == 1 and title == _title(subjects):  # which need not be said twice
        sections[0] = replace(sections[0], heading=IN_SHORT)
    when = outline.date or date.today().isoformat()
    return Report(title, outline.author, when, tuple(_with_words(sections, outline.words)))


def _with_words(sections: Sequence[Section], words: Mapping[str, str]) -> Iterator[Section]:
    """Own words stand first in the first section of their name; those of no section that is there in one of their own:
    the question before all others, the rest behind them."""
    there = {section.name for section in sections}
    alone = [Section(SECTIONS[name], (Words(words[name]),), 1, name) for name in SECTIONS if name in set(words) - there]
    yield from (section for section in alone if section.name == "question")
    said: set[str] = set()
    for section in sections:
        own = words.get(section.name, "") if section.name not in said else ""
        said.add(section.name)
        yield replace(section, blocks=(Words(own), *section.blocks)) if own else section
    yield from (section for section in alone if section.name != "question")


def to_html(report: Report) -> str:
    """One file with everything inside: no address is asked for, no script runs."""
    return _template("report.html.j2", autoescape=True).render(report=report)


def to_zip(report: Report) -> bytes:
    """report.md and the pictures beside it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.md", _template("report.md.j2", autoescape=False).render(report=report))
        for section in report.sections:
            for block in section.blocks:
                if isinstance(block, Picture):
                    archive.writestr(f"pictures/{block.name}", block.content)
    return buffer.getvalue()


def write_report(report: Report, path: Path) -> None:
    """As HTML or as a zip, by the ending of the file. UserMistake for another one, and where it cannot be written."""
    check_target(path)
    try:
        write_atomic(path, to_html(report).encode() if path.suffix == ".html" else to_zip(report))
    except OSError as error:
        raise UserMistake(f"{str(path)!r} cannot be written: {error.strerror}. Name another file.") from error


def check_target(path: Path) -> None:
    """UserMistake for a file that is neither HTML nor a zip: told before the work."""
    if path.suffix not in (".html", ".zip"):
        raise UserMistake(f"a report is written as FILE.html or FILE.zip, not {path.name!r}")


def _title(subjects: Sequence[Subject]) -> str:
    names = [one.name if isinstance(one, Dataset) else one.title for one in subjects]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _experiment_sections(experiment: Experiment, chosen: Collection[str]) -> Iterator[Section]:
    text = to_markdown(effects_of(experiment))
    yield Section(experiment.title, tuple(_blocks_of(text)) if "results" in chosen else (), 1, "results")
    yield from _guesses({experiment.id}, chosen)


def _guesses(subjects: Collection[str], chosen: Collection[str]) -> Iterator[Section]:
    if "guesses" in chosen and (blocks := tuple(guess_blocks(subjects))):
        yield Section(SECTIONS["guesses"], blocks, name="guesses")


def _blocks_of(markdown: str) -> Iterator[Block]:
    """The paragraphs, lists and tables of the Markdown that an experiment writes itself."""
    for piece in re.split(r"\n\s*\n", markdown.strip()):
        lines = piece.splitlines()
        if lines[0].startswith("|"):
            rows = [tuple(_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]) for line in lines]
            yield Table(
                rows[0], tuple(row for row in rows[1:] if not all(re.fullmatch(r":?-+:?", cell) for cell in row))
            )
        elif all(line.startswith("- ") for line in lines):
            yield Items(tuple(_plain(line.removeprefix("- ")) for line in lines))
        else:
            yield Paragraph(_plain(" ".join(lines)))


def _plain(text: str) -> str:
    text = text.replace("**", "").replace("`", "").replace(" -> ", " → ")  # an arrow of two signs breaks between them
    return re.sub(r"\\(.)", r"\1", text).strip().lstrip("# ")


def _dataset_sections(
    dataset: Dataset, measure: Callable[[Dataset, RunConfig], Shortcuts | None], chosen: Collection[str]
) -> Iterator[Section]:
    """Its story: what there is, what became of each file, and what was trained on it."""
    config = RunConfig(data=DataConfig(dataset=dataset.name))
    blocks: list[Block] = []
    if "data" in chosen:
        blocks += dataset_blocks(dataset, config)
        blocks += shortcut_table(shortcuts) if (shortcuts := measure(dataset, config)) else []
        for _ in build_store(dataset, config.data):
            pass
        blocks += sample_sheet(open_store(dataset, config.data), f"{dataset.id}-examples.png")
    yield Section(dataset.name, tuple(blocks), 1, "data")
    runs = with_names(runs_on(dataset, list_runs()))
    if "results" in chosen:
        rows = [
            [run.title, run.id, accuracy_sentence(test)] for run in runs if (test := run.evaluation("test")) and test.n
        ]
        none = Paragraph("No finished run on these pictures.")
        yield Section("Runs", (table(["run", "id", "accuracy"], rows) if rows else none,), name="results")
    yield from _guesses({run.id for run in runs}, chosen)


def _template(name: str, autoescape: bool) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    kinds = (Paragraph, Items, Table, Picture, Listing, Words)
    environment.tests |= {kind.__name__.lower(): _is_kind(kind) for kind in kinds}
    environment.filters |= {"inside": _inside, "md": _escape_markdown}
    environment.filters |= {"short": _mark_short, "words_html": words_to_html, "words_md": words_to_markdown}
    return environment.get_template(name)


def _is_kind(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _mark_short(cell: str) -> str:
    """The attribute that keeps a short cell on one line, and the words of another one whole; a long name may break
    anywhere."""
    if len(cell) <= SHORT:
        return ' class="short"'
    return ' class="whole"' if max(map(len, cell.split()), default=0) <= SHORT else ""


def _inside(picture: Picture) -> str:
    """The picture as an address that holds it."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.content).decode()}"


def _escape_markdown(text: str) -> str:
    """Text that means itself: no markup, no HTML, one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
