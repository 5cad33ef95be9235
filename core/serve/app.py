"""make_app: POST /predict and GET /health over whatever answers pictures; and the server that runs it."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import anyio
import uvicorn
from fastapi import FastAPI, File, HTTPException, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from core.errors import UserMistake
from core.serve.guard import Guard, ServeLimits, is_loopback

# (file name, content) of each picture -> a row of the JSON of `python -m core predict` for each, in order
Answer = Callable[[Sequence[tuple[str, bytes | str]]], list[dict[str, Any]]]
SHORTEST_TOKEN, LONGEST_TOKEN = 16, 4096
NAME_LENGTH = 255
AT_ONCE = 200  # connections; the next one is told to come again


class Share(BaseModel):
    """One class of an answer."""

    name: str = Field(alias="class")
    probability: float = Field(description="0..1, as the network gives it")
    calibrated: float | None = Field(None, description="0..1 after temperature scaling, where that is known")


class PictureAnswer(BaseModel):
    """The answer for one picture, as `python -m core predict --json` prints it."""

    file: str = Field(description="the name that came with it")
    classes: list[Share] = Field(description="best first; empty with an error")
    none_of_these: bool = Field(False, description="whether it is unlike everything that the network was trained on")
    unlike: float | None = Field(None, description="0..1, where that was measured")
    error: str | None = Field(description="why it could not be read")
    model: str = Field(description="last or best")


class Health(BaseModel):
    """That the server answers, and for which run."""

    status: str
    run: str


class Sentence(BaseModel):
    """Why a request was refused."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Sentence, "description": "the token is missing or wrong"},
    413: {"model": Sentence, "description": "too many pictures or bytes"},
    429: {"model": Sentence, "description": "too many requests; Retry-After says when to come again"},
}


def make_app(run: str, title: str, answer: Answer, limits: ServeLimits, token: str | None = None) -> FastAPI:
    """The application. One request is answered at a time, the others wait; a token, where there is one, is demanded of
    every request but GET /health."""
    app = FastAPI(
        title="Atelier",
        description=f"Classifies pictures with run {run}.",
        summary=title,
        # their pages load scripts of another site; /openapi.json is enough for any client
        docs_url=None,
        redoc_url=None,
    )
    one_at_a_time = anyio.CapacityLimiter(1)  # the network uses every core as it is

    @app.get("/health")
    async def health() -> Health:
        return Health(status="ok", run=run)

    @app.post("/predict", responses={200: {"model": list[PictureAnswer]}, **REFUSALS})
    async def predict(
        files: Annotated[list[UploadFile], File(description="one or more pictures")],
    ) -> JSONResponse:
        """The classes of each picture with their probabilities, best first; in the order of the pictures."""
        if len(files) > limits.pictures:
            raise HTTPException(413, f"A request may have {limits.pictures} pictures; this one has {len(files)}.")

        def read_and_answer() -> list[dict[str, Any]]:  # read only in its turn: those that wait lie on the disk
            return answer([((file.filename or "")[:NAME_LENGTH], file.file.read()) for file in files])

        return JSONResponse(await anyio.to_thread.run_sync(read_and_answer, limiter=one_at_a_time))

    app.add_middleware(Guard, limits=limits, token=token)
    return app


def read_token(path: Path) -> str:
    """The token in a file. UserMistake where there is none, or one that could be guessed."""
    try:
        content = path.read_bytes()[: LONGEST_TOKEN + 1]
    except OSError as error:
        raise UserMistake(f"The token file {str(path)!r} cannot be read: {error.strerror}") from error
    try:
        token = content.decode("ascii").strip()
    except ValueError as error:
        raise UserMistake(f"The token in {str(path)!r} has other letters than those of ASCII") from error
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isprintable() or " " in token:
        raise UserMistake(
            f"The file {str(path)!r} should hold one token of at least {SHORTEST_TOKEN} characters, e.g. from: "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def check_host(host: str, token: str | None) -> None:
    """UserMistake where others could reach the server and no token keeps them out."""
    if not is_loopback(host) and token is None:
        raise UserMistake(
            f"On {host} other machines can reach the server, so it needs --token-file FILE; without it only 127.0.0.1 "
            "is served"
        )


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there. UserMistake where that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=AT_ONCE)
    except OSError as error:
        raise UserMistake(
            f"Nothing can listen on {host} port {port}: {error.strerror or error}. Name another --port"
        ) from error


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then is answered."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, limit_concurrency=AT_ONCE, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listening])
