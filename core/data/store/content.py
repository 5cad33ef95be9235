"""The dataset that a run was trained on, found by its content."""

from core.config import DataConfig
from core.data.datasets.dataset import Dataset, list_datasets
from core.data.store.store import store_fingerprint
from core.errors import UserMistake


def dataset_with(data: DataConfig, *, fingerprint: str = "", content_hash: str = "") -> Dataset:
    """The dataset with that content, whatever it is called here; the one that the settings name, if it is that.

    fingerprint: of a run with these settings. UserMistake where there is none."""
    every = sorted(list_datasets(), key=lambda one: one.name != data.dataset)
    for one in every:
        if one.content_hash == content_hash or (fingerprint and store_fingerprint(one, data) == fingerprint):
            return one
    raise UserMistake(
        f"The pictures of the dataset {data.dataset!r} as the run had them are not here (none here has the same "
        "content). Import them again, then ask once more."
    )
