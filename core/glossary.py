"""The glossary: what each word on screen means; the pages' help texts and docs/guide/glossary.md use it word for word.

python -m core.glossary > docs/guide/glossary.md
"""

from core.config import RunConfig

TERMS = {  # word on screen -> what it means, as a help text says it; a setting's word has its text in core/config.py
    "Accuracy": "The share of pictures whose class the network gets right.",
    "Backbone": "A network that has learnt already, without its last layer. A new last layer is put on it.",
    "Calibration error": "Expected calibration error on the test part, in points",
    "Confidence interval": "Repeated with other test pictures of the same kind, 95 of 100 such intervals "
    "would hold the true accuracy. The fewer the test pictures, the wider it is.",
    "Confusion matrix": "A row is the true class, a column the predicted one. On the diagonal are the "
    "pictures that are right.",
    "Epoch": "One pass over all training pictures.",
    "F1": "Harmonic mean of precision and recall",
    "Finding": "What a number means, in a sentence, with its figures and what to try. Where nothing is sure, "
    "none speaks.",
    "Gap": "Training minus test accuracy, in points",
    "Guess": "What do you expect? A difference in test accuracy (“+2 points”, “worse”, “no difference”), an "
    "accuracy (“70 %”), a time (“slower”). It is kept in the notebook, and scored beside the interval when "
    "the outcome is known.",
    "Iteration": "One step of the training: a batch of pictures, and a small change of the weights.",
    "Largest class": "Always answering the largest class of the test part",
    "Loss": "What training makes small: how surprised the network is by the right classes. 0 would be no "
    "surprise at all.",
    "Macro F1": "Mean of the classes' F1 on the test part",
    "McNemar test": "Two networks on the same pictures: of those that only one of them gets right, could a "
    "coin have dealt them out so unevenly?",
    "Mean of classes": "Mean of the classes' test accuracies",
    "None of these": "A picture unlike the training pictures, so that none of the classes is an answer.",
    "Overfitting": "Far above the test accuracy, the network overfits: it has memorised its training pictures "
    "instead of learning what the pictures of a class have in common.",
    "Parts": "The network learns from the training pictures. The validation pictures measure it after every "
    "epoch, the test pictures once at the end; it learns from neither.",
    "Precision of a class": "Of the test pictures predicted as this class, those that are of it",
    "Preset": "Settings with a name to start from. What you change stands beside it.",
    "Recall": "Recall of the class: of its test pictures, those that are right",
    "Receipt": "A run as a signed document: data, settings, environment, numbers and checksums. An edited one is told.",
    "Shortcut": "What predicts the class without any network: colour, brightness or size alone.",
    "Sweep": "A search for good settings: many short trainings, judged by the validation part.",
    "Temperature": "The number by which the network's last values are divided so that its probabilities can "
    "be believed.",
    "Tier": "Runs of one tier cannot be told apart; runs of different tiers can.",
}


def setting_terms() -> dict[str, str]:
    """The title of every setting and its description, which is its help text in the form."""
    fields = (
        field
        for section in RunConfig.model_fields.values()
        for field in getattr(section.annotation, "model_fields", {}).values()
    )
    return {field.title: field.description for field in fields if field.title and field.description}


def glossary_document() -> str:
    """docs/guide/glossary.md."""
    lines = [
        "# Glossary",
        "",
        "Every word as the pages use it; their help texts are these sentences, word for word. Written by",
        "`python -m core.glossary > docs/guide/glossary.md`; a test holds that it is up to date.",
        "",
        "## Words",
        "",
        *(f"**{word}** · {text.rstrip('.')}." for word, text in sorted(TERMS.items())),
        "",
        "## Settings",
        "",
        *(f"**{title}** · {text}" for title, text in sorted(setting_terms().items())),
    ]
    body = "\n".join(f"{line}\n" if line.startswith("**") else line for line in lines)
    return body.rstrip() + "\n"


if __name__ == "__main__":
    print(glossary_document(), end="")
