"""What the tests of audits share: a run on pictures of which some lie in the wrong class."""

import pytest
from PIL import Image

from core.data.imports.pipeline import import_pictures
from tests.pictures import encoded, finish
from tests.tiny import COLOURS, colour_picture, train_tiny_run


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory):
    """(run, dataset, names of the 6 of 60 pictures that lie in the other colour's folder)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(tmp_path_factory.mktemp("mislabelled")))
        entries, wrong = [], set()
        for k, colour in enumerate(COLOURS):
            for i in range(30):
                name, label = f"{colour}/{i:02}.png", colour
                if i % 10 == 3:
                    label = list(COLOURS)[1 - k]
                    wrong.add(name)
                entries.append((name, label, None, encoded(Image.fromarray(colour_picture(colour, 100 * k + i)))))
        dataset = finish(import_pictures("colours", iter(entries), "zip", False))
        yield train_tiny_run(train__epochs=12, train__learning_rate=0.02), dataset, wrong
