"""serve: a run answers over HTTP."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import ModelOfRun, RunName
from core.cli.output import Bar, minutes, shown
from core.cli.predict import model_of
from core.progress import Progress
from core.runs.run import read_run


def serve(
    run_name: RunName,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any free one.")] = 8600,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen. Beyond this machine a token is needed.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token that requests have to send.")
    ] = None,
    model: ModelOfRun = None,
) -> None:
    """Answer pictures over HTTP: POST /predict, multipart field "files" -> the JSON of predict; GET /health;
    /openapi.json says it all."""
    from core.serve.app import check_host, make_app, open_socket, read_token
    from core.serve.app import serve as run_server
    from core.serve.guard import ServeLimits

    run = read_run(run_name)
    token = read_token(token_file) if token_file else None
    check_host(host, token)
    with open_socket(host, port) as listening, Bar() as bar:
        from core.inference.answers import prepare_answers  # brings torch: after what can be a mistake

        for step in prepare_answers(run, model_of(run, model)):
            if isinstance(step, Progress):
                bar.show(step.phase, step.done, step.total, minutes(step.seconds_left))
            else:
                answers = step
        bar.close()
        for sentence in answers.missing:
            print(shown(sentence), file=sys.stderr)
        app = make_app(run.id, shown(run.title), answers.rows, ServeLimits(), token)
        place = f"[{host}]" if ":" in host else host
        print(f"{run.id} answers at http://{place}:{listening.getsockname()[1]}/predict; Ctrl-C ends it.", flush=True)
        run_server(app, listening)
