"""Similarity of pictures: an index of descriptors that finds candidate pairs, and the alignment of a pair."""

from functools import cache

import numpy as np

COARSE, FINE = 32, 96  # pixels of a side at which pictures are compared
BLOCK = 1024  # pictures that are described and searched at once
CELL = 1024  # pictures in a cell on average
PROBES = 4  # cells that are searched for each view of a picture
SIMILAR = 0.85  # cosine of two descriptors above which a pair is a candidate; 98 % of 10 % crops are above 0.89
NEIGHBOURS = 10  # most candidates of a picture: a thousand frames of one film would make a million pairs
SAME_COLOUR = 0.85  # correlation in all colours of duplicates; a recoloured drawing may pass
CHUNK = 32  # pairs that are aligned at once: more do not fit the processor's cache

PAIR = np.dtype(
    [
        ("first", "<i8"),  # a part of this one matches the whole of `second`
        ("second", "<i8"),
        ("flipped", "?"),  # `first` is flipped left to right before
        ("scale", "<f4"),  # side of that part; 1 is the whole
        ("right", "<f4"),  # place of its centre, as a fraction of the side; 0 is the centre
        ("down", "<f4"),
        ("correlation", "<f4"),
    ]
)
CORNERS = tuple((0.9, right, down) for right in (-0.04, 0.04) for down in (-0.04, 0.04))
# (scale, right, down) of the whole and of crops of which one is close to any crop by a tenth, in all or on each side
VIEWS = np.array([(1, 0, 0), (0.9, 0, 0), (0.8, 0, 0), *CORNERS], np.float32)


class SimilarityIndex:
    """Descriptors of pictures, sorted into cells of similar ones, so that each is compared with few others."""

    def __init__(self, every: np.ndarray, rows: np.ndarray) -> None:
        """Index the pictures at `rows` (int64 (N,)) of `every`, uint8 (M, 3, 32, 32)."""
        whole = _bases()[0]
        raw = np.concatenate(
            [_describe(every[rows[i : i + BLOCK]], whole)[0] for i in range(0, len(rows), BLOCK)]
        )  # float32 (N, 53), 212 bytes a picture
        prior, weight = _usual_spread(), max(200.0, len(rows) / 100)  # as if so many usual pictures were among them
        total = len(rows) + weight
        self.mean = np.where(_flip_signs() > 0, raw.sum(0) / total, 0).astype(np.float32)
        square = (np.square(raw - self.mean).sum(0) + weight * np.square(prior)) / total
        self.spread = np.sqrt(square).astype(np.float32)
        self.rows, self.descriptors = rows, self._standardise(raw)
        self.centres = _centres(self.descriptors, max(1, len(rows) // CELL) if len(rows) >= 8 * CELL else 1)
        cell = np.concatenate(
            [np.argmax(self.descriptors[i : i + BLOCK] @ self.centres.T, axis=1) for i in range(0, len(rows), BLOCK)]
        )
        self.order = np.argsort(cell, kind="stable")
        self.begins = np.searchsorted(cell[self.order], np.arange(len(self.centres) + 1))

    def find_similar(self, pictures: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """At most 10 PAIRs of each of `pictures` (uint8 (B, 3, 32, 32), at `rows`), whole or cropped, with others."""
        views = self._standardise(_describe(pictures, *_bases()))
        queries = np.concatenate([views, views * _flip_signs()]).reshape(-1, views.shape[-1])  # 2 x V x B
        probes = min(PROBES, len(self.centres))
        cells = np.argpartition(queries @ self.centres.T, -probes, axis=1)[:, -probes:]
        hits = []
        for cell in range(len(self.centres)):
            probing = np.flatnonzero((cells == cell).any(axis=1))
            members = self.order[self.begins[cell] : self.begins[cell + 1]]
            for first in range(0, len(probing), BLOCK):
                some = probing[first : first + BLOCK]
                cosines = queries[some] @ self.descriptors[members].T
                query, member = np.nonzero(cosines > SIMILAR)
                hits.append((some[query], members[member], cosines[query, member]))
        query, member, cosine = (np.concatenate(column) for column in zip(*hits, strict=True))
        flipped, view, picture = np.unravel_index(query, (2, len(VIEWS), len(rows)))
        pairs = np.zeros(len(query), PAIR)
        pairs["first"], pairs["second"] = rows[picture], self.rows[member]
        pairs["flipped"], pairs["correlation"] = flipped == 1, cosine
        pairs["scale"], pairs["right"], pairs["down"] = VIEWS[view].T
        return _strongest(pairs[pairs["first"] != pairs["second"]])

    def _standardise(self, raw: np.ndarray) -> np.ndarray:
        """Descriptors of mean 0 and equal spread, scaled to length 1: float32 (..., 53)."""
        scaled = (raw - self.mean) / self.spread
        return np.asarray(scaled / np.maximum(np.linalg.norm(scaled, axis=-1, keepdims=True), 1e-6), np.float32)


def _strongest(pairs: np.ndarray) -> np.ndarray:
    """The NEIGHBOURS most similar pairs of each `first`, each pair once."""
    pairs = pairs[np.lexsort((-pairs["correlation"], pairs["second"], pairs["first"]))]
    again = (pairs["first"][1:] == pairs["first"][:-1]) & (pairs["second"][1:] == pairs["second"][:-1])
    pairs = pairs[np.concatenate([np.ones(min(1, len(pairs)), bool), ~again])]
    pairs = pairs[np.lexsort((-pairs["correlation"], pairs["first"]))]
    place = np.arange(len(pairs)) - np.searchsorted(pairs["first"], pairs["first"])
    return pairs[place < NEIGHBOURS]


def _centres(descriptors: np.ndarray, count: int) -> np.ndarray:
    """Centres of `count` cells, float32 (count, D), by five rounds of k-means on up to 32 pictures a cell."""
    sample = descriptors[:: max(1, len(descriptors) // (32 * count))]
    centres = sample[:: max(1, len(sample) // count)][:count]
    for _ in range(5 if count > 1 else 0):
        nearest = np.argmax(sample @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-6), centres)
    return centres


LUMA = np.array([0.299, 0.587, 0.114], np.float32)
COLOURS = ((LUMA, 6), (np.array([-0.169, -0.331, 0.5]), 3), (np.array([0.5, -0.419, -0.081]), 3))  # and frequencies


@cache
def _bases() -> tuple[np.ndarray, ...]:
    """For each view a matrix float32 (53, 3 x 32 x 32) from pixels to a descriptor.

    A descriptor holds the low frequencies of a cosine transform of the brightness (6 x 6 without the mean) and of two
    colour differences (3 x 3 each).
    """
    bases = []
    for scale, right, down in VIEWS:
        parts = []
        for weights, most in COLOURS:
            across, upright = (
                _waves(most) @ _pick(np.array([[scale]]), np.array([[at]]), COARSE)[0] for at in (right, down)
            )
            waves = np.einsum("c,ki,lj->klcij", weights, upright, across).reshape(most * most, -1)
            parts.append(waves[1:] if most == COLOURS[0][1] else waves)
        bases.append(np.concatenate(parts).astype(np.float32))
    return tuple(bases)


def _waves(most: int) -> np.ndarray:
    """The first rows of the orthonormal cosine transform of 32 values."""
    at = (np.arange(COARSE) + 0.5) * np.pi / COARSE
    waves = np.cos(np.arange(most)[:, None] * at) * np.sqrt(2 / COARSE)
    waves[0] /= np.sqrt(2)
    return waves


def _frequencies() -> np.ndarray:
    """int (53, 2): the frequency of each number of a descriptor, downwards and to the right."""
    grids = [np.indices((most, most)).reshape(2, -1).T for _, most in COLOURS]
    return np.concatenate([grids[0][1:], *grids[1:]])


def _flip_signs() -> np.ndarray:
    """The factors by which a left-right flip changes a descriptor: -1 for waves that are odd from left to right."""
    return np.where(_frequencies()[:, 1] % 2, -1, 1).astype(np.float32)


def _usual_spread() -> np.ndarray:
    """float (53,): rough standard deviations of descriptors in CIFAR-10 and artworks, a prior for small datasets."""
    strength = np.repeat([600.0, 300.0], [35, 18])
    return strength / (1 + _frequencies().sum(1))


def _describe(pictures: np.ndarray, *bases: np.ndarray) -> np.ndarray:
    """Descriptors float32 (views, B, 53) of pictures uint8 (B, 3, 32, 32)."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    return np.stack([flat @ basis.T for basis in bases])


def detail_of(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """float (M,): how much of each picture is lost at 32 pixels, as a fraction of its contrast."""
    enlarge = _pick(np.ones((1, 1)), np.zeros((1, 1)), COARSE, FINE)
    small = _brightness(coarse)
    lost = _brightness(fine) - enlarge @ small @ enlarge.transpose(0, 2, 1)
    return np.sqrt(np.square(lost).mean((1, 2))) / (small.std((1, 2)) + 1)


def align_pairs(
    pairs: np.ndarray, first: np.ndarray, second: np.ndarray, enough: float, in_detail: float = -1.0
) -> np.ndarray:
    """The pairs that correlate by more than `enough` when aligned best; first, second: uint8 (M, 3, n, n).

    in_detail: least correlation of the details alone, without low frequencies: two ships at sea share sky and water.
    """
    found = [pairs[:0]]
    for start in range(0, len(pairs), CHUNK):
        some = pairs[start : start + CHUNK].copy()
        a, b = first[start : start + CHUNK].astype(np.float32), second[start : start + CHUNK].astype(np.float32)
        a[some["flipped"]] = a[some["flipped"]][..., ::-1]
        _find_place(some, _blur(_brightness(a)), _blur(_brightness(b)))
        passed = some["correlation"] > enough
        a, b, some = a[passed], b[passed], some[passed]
        if len(some):
            warped, target = _warp(_blur(a), some["scale"], some["right"], some["down"]), _blur(b)
            passed = _correlation(warped, target) > SAME_COLOUR
            passed &= _correlation(_details(warped), _details(target)) > in_detail
            some = some[passed]
        found.append(some)
    return np.concatenate(found)


def _find_place(pairs: np.ndarray, a: np.ndarray, b: np.ndarray, steps: int = 4) -> None:
    """Fit scale and shift of a part of `a` to `b` (float32 (M, n, n)) by Gauss-Newton; writes the best into `pairs`."""
    n = a.shape[-1]
    across = ((np.arange(n) + 0.5) / n - 0.5).astype(np.float32)
    now = np.stack([pairs["scale"], pairs["right"], pairs["down"]], axis=1)
    target = b - b.mean((1, 2), keepdims=True)
    contrast = np.sqrt(np.square(target).sum((1, 2))) + 1e-3
    pairs["correlation"] = -1
    for step in range(steps + 1):
        warped = _warp(a[:, None], *now.T)[:, 0]
        warped -= warped.mean((1, 2), keepdims=True)
        length = np.sqrt(np.square(warped).sum((1, 2))) + 1e-3
        correlation = (warped * target).sum((1, 2)) / (length * contrast)
        better = correlation > pairs["correlation"]
        for name, values in zip(("scale", "right", "down"), now.T, strict=True):
            pairs[name][better] = values[better]
        pairs["correlation"][better] = correlation[better]
        if step < steps:
            gain = (contrast / length)[:, None, None]  # the lighting may differ
            down, right = np.gradient(warped * gain * n, axis=(1, 2))
            slopes = np.stack([down * across[:, None] + right * across, right, down], axis=1) / now[:, :1, None, None]
            slopes = (slopes - slopes.mean((2, 3), keepdims=True)).reshape(len(a), 3, -1)
            residual = (target - warped * gain).reshape(len(a), -1, 1)
            square = slopes @ slopes.transpose(0, 2, 1)
            damping = 1e-3 * square.trace(axis1=1, axis2=2) + 1e-6
            square += damping[:, None, None] * np.eye(3, dtype=np.float32)
            move = np.linalg.solve(square, slopes @ residual)[..., 0]
            now = now + np.clip(move, -0.05, 0.05)
            now[:, 0] = np.clip(now[:, 0], 0.76, 1.02)
            room = np.maximum(0, 1 - now[:, :1]) / 2 + 0.5 / COARSE  # a part lies within the whole
            now[:, 1:] = np.clip(now[:, 1:], -room, room)


def _warp(pictures: np.ndarray, scale: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The part of each picture (float32 (M, C, n, n)) at its scale and place, enlarged to n x n."""
    n = pictures.shape[-1]
    across, upright = (_pick(scale[:, None], at[:, None], n) for at in (right, down))
    return np.asarray(upright[:, None] @ pictures @ across.transpose(0, 2, 1)[:, None], np.float32)


def _pick(scale: np.ndarray, middle: np.ndarray, n: int, wanted: int | None = None) -> np.ndarray:
    """float32 (M, wanted, n): linear interpolation of n pixels at `wanted` places; scale, middle: (M, 1), fractions."""
    wanted = wanted or n
    places = (((np.arange(wanted) + 0.5) / wanted - 0.5) * scale + 0.5 + middle) * n - 0.5
    places = np.clip(places, 0, n - 1).astype(np.float32)
    return np.maximum(0, 1 - np.abs(places[..., None] - np.arange(n, dtype=np.float32)))


def _brightness(pictures: np.ndarray) -> np.ndarray:
    """(M, 3, n, n) to float32 (M, n, n)."""
    return np.einsum("c,mcij->mij", LUMA, pictures.astype(np.float32), optimize=True)


def _blur(pictures: np.ndarray) -> np.ndarray:
    """Blur with weights 1, 2, 1 in both directions, so that a shift by less than a pixel matters less."""
    for axis in (-1, -2):
        wide = np.pad(
            pictures, [(1, 1) if at == pictures.ndim + axis else (0, 0) for at in range(pictures.ndim)], "edge"
        )
        middle = [slice(None)] * pictures.ndim
        shifted = []
        for begin in (0, 1, 2):
            middle[axis] = slice(begin, begin + pictures.shape[axis])
            shifted.append(wide[tuple(middle)])
        pictures = (shifted[0] + 2 * shifted[1] + shifted[2]) / 4
    return pictures


def _details(pictures: np.ndarray) -> np.ndarray:
    """The brightness of blurred pictures minus four further blurs of it: float32 (M, 1, n, n)."""
    bright = _brightness(pictures)
    return (bright - _blur(_blur(_blur(_blur(bright)))))[:, None]


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float (M,): correlation of (M, C, n, n) with (M, C, n, n), without the mean of every channel."""
    a, b = a - a.mean((2, 3), keepdims=True), b - b.mean((2, 3), keepdims=True)
    return (a * b).sum((1, 2, 3)) / (np.sqrt(np.square(a).sum((1, 2, 3)) * np.square(b).sum((1, 2, 3))) + 1e-3)
