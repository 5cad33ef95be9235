"""The teacher of a run: a finished run whose answers it learns from beside the labels. No torch.

train.teacher is <id of that run>-<8 digits of its weights' SHA-256>: trained on, it would be another teacher.
"""

from core.backbones.registry import is_kept_run
from core.config import RunConfig
from core.errors import UserMistake
from core.evaluation import Which
from core.runs.run import Run, read_run
from core.runs.teacher_facts import TeacherFacts

NAMED_DIGITS = 8  # of the weights' SHA-256, in the name of a teacher


def pin_teacher(config: RunConfig) -> RunConfig:
    """The same settings, with the run that is the teacher named by its weights. UserMistake as find_teacher."""
    name = config.train.teacher
    if not name or is_kept_run(name):
        return config
    run, which = find_teacher(name)
    train = config.train.model_copy(update={"teacher": teacher_name(run, which)})
    return config.model_copy(update={"train": train})


def teacher_name(run: Run, which: Which | None = None) -> str:
    """What train.teacher calls that model of the run; None: the used one. UserMistake where there is none."""
    return f"{run.id}-{run.weights_sha256(which or run.used_model)[:NAMED_DIGITS]}"


def find_teacher(name: str) -> tuple[Run, Which]:
    """The run that train.teacher names, or that a person does (an id, a unique part of one, "latest"), and the model of
    it that answers. UserMistake where it is not here, has not ended well, or has other weights than the named ones."""
    part, _, digits = name.partition("-")
    try:
        run = read_run(part)
    except UserMistake as mistake:
        raise UserMistake(
            f"There is no run {part[:40]!r} to take as the teacher. Choose a finished run, e.g. --set "
            "train.teacher=latest; those there are: python -m core runs list"
        ) from mistake
    if run.state.is_live:
        raise UserMistake(f"Run {run.id} still trains; another one can learn from its answers when it has ended")
    if not run.state.is_finished or not run.has_model:
        raise UserMistake(
            f"Run {run.id} cannot be a teacher: it ended as {run.state.status}"
            f"{'' if run.has_model else ' and has no model'}. Choose a run that has finished"
        )
    models: list[Which] = [run.used_model, "last", "best"] if run.has_best_model else ["last"]
    for which in models:
        if teacher_name(run, which).endswith(f"-{digits}") or not digits:
            return run, which
    raise UserMistake(
        f"Run {run.id} has other weights now than when it was chosen as the teacher. Choose it again: --set "
        f"train.teacher={run.id}"
    )


def teacher_run(config: RunConfig) -> str:
    """The id of the run that is the teacher, "" without one."""
    return config.train.teacher.partition("-")[0]


def read_teacher_facts(config: RunConfig) -> TeacherFacts | None:
    """What is known of the teacher now; None without one, and where it is not here (any more)."""
    if not config.train.teacher:
        return None
    try:
        run = read_run(teacher_run(config))
        test = None if run.state.score else run.evaluation("test")
    except UserMistake:
        return None
    measured = (int(test.correct.sum()), test.n) if test else None
    return TeacherFacts(run=run.id, title=run.title, score=run.state.score or measured)


def teacher_sentence(run: Run) -> str:
    """From whose answers a run learnt, and how good that one is; "" without a teacher. Holds what people typed: escape
    it on a page. Wherever the accuracy of a run stands for itself, this stands beside it."""
    if not run.config.train.teacher:
        return ""
    share = 100 * run.config.train.distill_share
    known = run.teacher.in_words if run.teacher else f"run {teacher_run(run.config)}, of which nothing is known here"
    return f"Learnt {share:.0f} % from the answers of {known} and {100 - share:.0f} % from the labels."
