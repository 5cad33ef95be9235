"""model.json: what stands beside an exported network, everything that is needed to use it. No torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.backbones.registry import BackboneSource
from core.config import ModelConfig, RunConfig
from core.data.pictures.preprocess import Preprocess
from core.disk import read_json
from core.evaluation import Which
from core.runs.teacher_facts import TeacherFacts

SCHEMA_VERSION = 1
FACTS = "model.json"


class ExportFacts(BaseModel):
    """Classes, preprocessing and origin of an exported network. Names in it are people's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["atelier-export"] = "atelier-export"
    schema_version: int = SCHEMA_VERSION
    title: str = Field(max_length=400)
    run: str
    weights: Which  # its last or its best model
    sha256: str  # of model.safetensors
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")  # of the pictures that it was trained on
    classes: tuple[str, ...] = Field(min_length=1, max_length=10_000)  # in the order of the logits
    preprocess: Preprocess
    config: RunConfig  # as it was trained
    source: BackboneSource | None = None  # how its backbone is built, where that is another run's
    # whose answers it learnt from; not written where it had no teacher
    teacher: TeacherFacts | None = Field(None, exclude_if=lambda teacher: teacher is None)

    @property
    def dataset(self) -> str:
        return self.config.data.dataset

    @property
    def model(self) -> ModelConfig:
        return self.config.model

    @property
    def in_onnx(self) -> dict[str, object]:
        """The metadata of model.onnx."""
        return {"classes": self.classes, "sha256": self.sha256, "image_size": self.preprocess.image_size} | {
            "title": self.title,
            "run": self.run,
        }


def read_facts(folder: Path) -> ExportFacts | None:
    """The facts of an export; None where the folder is none, or one that this version cannot read."""
    try:
        return ExportFacts.model_validate(read_json(folder / FACTS))
    except (OSError, ValueError, ValidationError):
        return None
