"""Settings by their dotted names, such as train.learning_rate: the value of one, all of them, and whether one acts."""

from typing import Any

from core.config import RunConfig, acts


def value_of(config: RunConfig, field: str) -> Any:
    section, _, name = field.partition(".")
    return getattr(getattr(config, section), name)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Dotted name -> value as JSON has it, so a list for a tuple; in the order of the definition, the data first."""
    document = config.model_dump(mode="json")
    sections = ("data", "model", "train")
    return {f"{section}.{name}": value for section in sections for name, value in document[section].items()}


def acts_in(config: RunConfig, field: str) -> bool:
    """Whether a setting has an effect with the others: one of the network may have none in this kind of network."""
    section, _, name = field.partition(".")
    return section != "model" or acts(name, dict(config.model))
