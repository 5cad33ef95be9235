"""Names that settings had in version 0.1.0: read from old files and command lines, still printed in JSON documents."""

FORMER_NAMES = {"data": {"copies": "duplicates"}, "model": {"trunk": "backbone", "mirror": "flip_tta"}}


def current_field(field: str) -> str:
    """The dotted name of a setting today: model.backbone for model.trunk; any other as it is."""
    section, _, name = field.partition(".")
    former = FORMER_NAMES.get(section, {})
    return f"{section}.{former[name]}" if name in former else field
