"""report: runs, experiments and datasets as one file to hand in."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.compare import answers_on_test
from core.cli.options import check_path
from core.cli.output import Bar, counted, shown
from core.errors import UserMistake

MOST_BYTES = 2**20  # of a file with own words


def report(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN|EXPERIMENT|DATASET...", help="Ids of runs and experiments, names of datasets."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.html|FILE.zip", callback=check_path, help="Where it is written.")
    ],
    title: Annotated[str, typer.Option("--title", help="The title; else it is made of the names.")] = "",
    author: Annotated[str, typer.Option("--author", help="Whose report it is.")] = "",
    date: Annotated[str, typer.Option("--date", help="The date as it shall stand there; else today's.")] = "",
    sections: Annotated[
        list[str] | None,
        typer.Option("--section", metavar="NAME", help="Only this section, and others that are named so; else all."),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            "--words", metavar="FILE.md", callback=check_path, help="Own words: Markdown, # Results above those for it."
        ),
    ] = None,
) -> None:
    """Write a report: one HTML file that opens offline and prints on A4, or Markdown with pictures in a zip.

    Sections: question, data, network, training, results, mistakes, findings, guesses, time, environment, limits,
    conclusion; the first and the last hold own words only. Several runs are compared.
    """
    from core.reports.outline import make_outline, parse_words
    from core.reports.writing import check_target, find_subject, make_report, write_report
    from core.runs.run import Run

    check_target(out)
    own = parse_words(_read_words(words)) if words else {}
    outline = make_outline(title, author, date, sections or (), own)
    subjects = [find_subject(name) for name in names]
    for one in subjects:
        if isinstance(one, Run) and one.state.ended and one.has_model:
            answers_on_test(one)  # which a run that was stopped may still lack
    with Bar() as bar:
        write_report(make_report(subjects, outline, bar.show), out)
    print(f"a report about {counted(len(subjects), 'subject')} was written to {shown(out)}")


def _read_words(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserMistake(
                f"{shown(path)} has more than {MOST_BYTES // 2**20} MB; own words are a short Markdown file"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserMistake(f"{shown(path)} is not text in UTF-8; save it so") from error
    except OSError as error:
        raise UserMistake(f"{shown(path)} cannot be read: {error.strerror}") from error
