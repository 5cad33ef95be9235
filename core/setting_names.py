"""How settings stand in documents: those of version 0.1.0 had other names, and those that came later are left out."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

# read from old files and command lines, still printed in JSON documents
FORMER_NAMES = {"data": {"copies": "duplicates"}, "model": {"trunk": "backbone", "mirror": "flip_tta"}}


def current_field(field: str) -> str:
    """The dotted name of a setting today: model.backbone for model.trunk; any other as it is."""
    section, _, name = field.partition(".")
    former = FORMER_NAMES.get(section, {})
    return f"{section}.{former[name]}" if name in former else field


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    former_names: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, document: Any) -> Any:
        """Where a document has a field under both names, as those that are printed, the current one counts."""
        if not isinstance(document, Mapping):
            return document
        renamed = {cls.former_names[name]: value for name, value in document.items() if name in cls.former_names}
        return renamed | {name: value for name, value in document.items() if name not in cls.former_names}

    @property
    def newer(self) -> tuple[str, ...]:
        """Fields that came later. One that is not used is left out, so that documents, receipts and hashes of such runs
        are those of before."""
        return ()

    @model_serializer(mode="wrap")
    def _leave_out_newer_ones(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        usual = {name: type(self).model_fields[name].default for name in self.newer}
        return {name: value for name, value in serialize(self).items() if name not in usual or value != usual[name]}
