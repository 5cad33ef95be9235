"""Samples: pictures that the program draws itself, so that everything works without internet.

python -m core.data.imports.samples sample-artworks 0 2     every second picture to stdout, for import_sample
"""

import io
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from PIL import Image

from core.data.imports.drawing.cartoon import draw_cartoon
from core.data.imports.drawing.cyberpunk import draw_cyberpunk
from core.data.imports.drawing.noir import draw_noir
from core.data.imports.drawing.objects import SHAPES, draw_object
from core.data.imports.pipeline import import_pictures
from core.data.pictures.child import read_block, start_child, usable_cores, write_block
from core.errors import UserMistake
from core.progress import Progress


@dataclass(frozen=True)
class Sample:
    """A dataset that is drawn: the number of pictures of each class, and the function that draws one."""

    title: str
    description: str
    counts: dict[str, int]  # class -> pictures
    draw: Callable[[str, Random], Image.Image]  # class, random numbers -> RGB
    suffix: str  # ".jpg" or ".png"

    @property
    def pictures(self) -> list[tuple[str, int]]:
        """(class, number) of every picture, the classes in turn, so that progress is even."""
        most = max(self.counts.values())
        return [(name, i) for i in range(most) for name, count in self.counts.items() if i < count]


_STYLES = {"cartoon": draw_cartoon, "cyberpunk": draw_cyberpunk, "noir": draw_noir}

SAMPLES: dict[str, Sample] = {
    "sample-artworks": Sample(
        title="Artworks drawn by the program",
        description="Cartoon, cyberpunk and noir, 400 x 400: the same faces, streets, cars and rooms in each, so that "
        "only the style tells them apart.",
        counts={"cartoon": 360, "cyberpunk": 420, "noir": 300},  # unequal, so that balancing has an effect
        draw=lambda style, rng: _STYLES[style](rng),
        suffix=".jpg",
    ),
    "sample-objects": Sample(
        title="Objects drawn by the program",
        description="Ten shapes, 32 x 32, in any colour on any ground.",
        counts=dict.fromkeys(SHAPES, 300),
        draw=draw_object,
        suffix=".png",
    ),
}
SEED = 0


def import_sample(name: str, seed: int = SEED) -> Iterator[Progress]:
    """Draw a sample in parallel processes and import it; the last Progress carries the dataset.

    Raises UserMistake for a name that is not in SAMPLES. Closing the generator ends the processes and leaves nothing.
    """
    sample = _sample(name)
    drawn = _drawn_in_parallel(name, seed)
    entries = (
        (f"{class_name}/{class_name}-{i:04d}{sample.suffix}", class_name, None, content)
        for (class_name, i), content in zip(sample.pictures, drawn, strict=True)
    )
    try:
        yield from import_pictures(name, entries, "samples", True, len(sample.pictures))
    finally:
        drawn.close()


def draw_picture(name: str, class_name: str, i: int, seed: int = SEED) -> bytes:
    """Picture `i` of a class as a JPEG or PNG file: the same bytes for the same seed."""
    sample = _sample(name)
    # a text seed is hashed with SHA-512 (Random, version 2): the same in every process, whatever PYTHONHASHSEED is
    picture = sample.draw(class_name, Random(f"{name}/{class_name}/{i}/{seed}"))
    buffer = io.BytesIO()
    if sample.suffix == ".jpg":
        picture.save(buffer, "JPEG", quality=88)
    else:
        picture.save(buffer, "PNG")
    return buffer.getvalue()


def _sample(name: str) -> Sample:
    if name not in SAMPLES:
        raise UserMistake(f"unknown sample {name!r}; known: {', '.join(SAMPLES)}")
    return SAMPLES[name]


def _drawn_in_parallel(name: str, seed: int) -> Generator[bytes, None, None]:
    """The file of every picture in order; child k of n draws pictures k, k + n, ..."""
    workers = min(usable_cores(), 8)
    with ExitStack() as stack:
        pipes = [
            stack.enter_context(start_child("core.data.imports.samples", name, str(worker), str(workers), str(seed)))
            for worker in range(workers)
        ]
        for turn in range(len(_sample(name).pictures)):
            yield read_block(pipes[turn % workers])


def main(name: str, first: int, step: int, seed: int) -> None:
    """The child: draws pictures first, first + step, ... and writes each to stdout as a block."""
    for class_name, i in SAMPLES[name].pictures[first::step]:
        write_block(sys.stdout.buffer, draw_picture(name, class_name, i, seed))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
