"""When what was found out about a dataset was last written, in nanoseconds; 0 where it was not: keys of caches."""

from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import duplicates_path
from core.experiments.audits.cross_validation import cross_validated_path
from pages.parts.shell.cache import stamp_of


def duplicates_stamp(dataset: Dataset) -> int:
    return stamp_of(duplicates_path(dataset))


def map_stamp(dataset: Dataset, of: str) -> int:
    """of: what the map was made from, as read_map takes it."""
    return stamp_of(dataset.folder / f"map-{of}.npz")


def cross_validation_stamp(dataset: Dataset, run_id: str) -> int:
    return stamp_of(cross_validated_path(dataset, run_id))
