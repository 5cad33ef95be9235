"""find_copies: the pictures of a dataset of which one picture is a copy: the same, re-encoded, resized or cropped."""

import hashlib

import numpy as np

from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import SAME_COARSE, SAME_DETAIL
from core.data.duplicates.similarity import BLOCK, COARSE, PAIR, SimilarityIndex, align_pairs
from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import show_received
from core.data.store.store import open_images


def find_copies(dataset: Dataset, content: bytes, rows: np.ndarray) -> np.ndarray:
    """Those of `rows`, int64 (N,) of the dataset, that show the picture file `content`, int64, ascending.

    Compared are the bytes, and at 32 pixels whole pictures and crops by a tenth, mirrored too, as find_duplicates does.
    Raises Refusal where `content` cannot be read.
    """
    digest = np.void(hashlib.sha256(content).digest())
    same = dataset.records["sha256"][rows] == digest
    preprocess = Preprocess(image_size=COARSE)
    received = np.asarray(show_received(content, preprocess)).transpose(2, 0, 1)
    images, kept = open_images(dataset, preprocess)
    at = np.flatnonzero(np.isin(kept, rows))
    every = np.concatenate([images[at], received[None]])
    pairs = _pairs_with_last(every)
    alike = np.unique(np.concatenate([pairs["first"], pairs["second"]]))
    return np.union1d(rows[same], kept[at[alike[alike < len(at)]]]).astype(np.int64)


def _pairs_with_last(every: np.ndarray) -> np.ndarray:
    """PAIRS of pictures uint8 (N, 3, 32, 32) with the last one: it is a part of the other, or the other of it."""
    last = np.array([len(every) - 1])
    others = np.arange(len(every) - 1)
    if not len(others):
        return np.zeros(0, PAIR)
    found = [SimilarityIndex(every, others).find_similar(every[last], last)]
    alone = SimilarityIndex(every, last)
    found += [
        alone.find_similar(every[others[first : first + BLOCK]], others[first : first + BLOCK])
        for first in range(0, len(others), BLOCK)
    ]
    pairs = np.concatenate(found)
    return align_pairs(pairs, every[pairs["first"]], every[pairs["second"]], SAME_COARSE, SAME_DETAIL)
