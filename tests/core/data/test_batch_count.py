"""Batches of an epoch, as the form counts them and as training yields them."""

import pytest

from core.data.store.batch_count import count_batches, effective_batch_size
from core.data.store.batches import load_part, training_batches
from tests import tiny


@pytest.mark.parametrize(("pictures", "batches"), [(64, 2), (65, 2), (66, 3), (2, 1), (1, 0)])
def test_training_yields_as_many_batches_as_are_counted(pictures, batches):
    part = load_part(tiny.noise_store(pictures), "train")
    assert count_batches(pictures, 32) == batches == len(list(training_batches(part, 32, (), seed=0, epoch=1)))


def test_a_batch_is_never_larger_than_the_training_part():
    assert [effective_batch_size(32, pictures) for pictures in (100, 32, 7, 0)] == [32, 32, 7, 1]
