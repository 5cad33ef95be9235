"""The paper's training loop as a notebook writes it: what every claim of speed is measured against.

python -m core.experiments.benchmarks.baseline pictures DATASET EPOCHS SEED  seconds an epoch and test accuracy, as JSON
python -m core.experiments.benchmarks.baseline folder FOLDER EPOCHS SEED    the same of an ImageFolder, no accuracy
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from core.config import DataConfig
from core.data.store.batches import load_part
from core.data.store.store import load_store
from core.engine.evaluate import evaluate
from core.models.paper_cnn import PaperCNN

BATCH = 32  # section 3 of the paper
WORKERS = 2
TO_FLOATS = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]


class NotebookNet(PaperCNN):
    """The same layers and first weights, in the order of the paper: leaky ReLU, then pooling."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(self._leaky(self.conv1(images)))
        x = self.pool2(self._leaky(self.conv2_bn(self.conv2(x))))
        x = self._leaky(self.dense1_bn(self.fc1(torch.flatten(x, 1))))
        return self.fc3(self._leaky(self.fc2(x)))


class PictureDataset(Dataset[tuple[Tensor, int]]):
    """As torchvision.datasets.CIFAR10: an array that becomes a PIL picture, then a tensor, one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images  # uint8 (N, H, W, 3)
        self.labels = labels
        self.transform = transforms.Compose(TO_FLOATS)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def open_image_folder(folder: Path) -> Dataset[tuple[Tensor, int]]:
    """torchvision's ImageFolder, which decodes every picture again in each epoch."""
    return ImageFolder(str(folder), transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32), *TO_FLOATS]))


def train_like_a_notebook(model: nn.Module, pictures: Dataset[tuple[Tensor, int]], epochs: int) -> Iterator[float]:
    """Train in place; yields the seconds of each epoch, the start of its two loading processes included."""
    loader = DataLoader(pictures, batch_size=BATCH, shuffle=True, num_workers=WORKERS)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    for _ in range(epochs):
        began, running_loss = time.perf_counter(), 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        yield time.perf_counter() - began


def measure_pictures(dataset: str, epochs: int, seed: int) -> dict[str, object]:
    """{"seconds": of each epoch, "accuracy": on all test pictures, in evaluation mode}."""
    store = load_store(DataConfig(dataset=dataset, val_fraction=0.0))
    chosen = store.parts["train"]
    pictures = PictureDataset(store.images[chosen].transpose(0, 2, 3, 1).copy(), store.labels[chosen])
    model = _net(len(store.classes), seed)
    seconds = list(train_like_a_notebook(model, pictures, epochs))
    accuracy = evaluate(model, load_part(store, "test"), "test", store.classes).accuracy
    return {"seconds": seconds, "accuracy": accuracy}


def measure_folder(folder: Path, epochs: int, seed: int) -> dict[str, object]:
    classes = sum(path.is_dir() for path in folder.iterdir())
    return {"seconds": list(train_like_a_notebook(_net(classes, seed), open_image_folder(folder), epochs))}


def _net(classes: int, seed: int) -> NotebookNet:
    torch.manual_seed(seed)
    return NotebookNet(classes)


if __name__ == "__main__":
    kind, where, epochs, seed = sys.argv[1:]
    measured = (
        measure_folder(Path(where), int(epochs), int(seed))
        if kind == "folder"
        else measure_pictures(where, int(epochs), int(seed))
    )
    print(json.dumps(measured))
