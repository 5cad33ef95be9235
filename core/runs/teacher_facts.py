"""TeacherFacts: what a run keeps of the one whose answers it learnt from, whatever becomes of that one. No torch."""

from pydantic import BaseModel, ConfigDict


class TeacherFacts(BaseModel):
    """The teacher of a run as it was when the run was made; in its config.json. Escape the title on a page."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    title: str
    score: tuple[int, int] | None = None  # (correct, total) on the test part; None where it was not measured

    @property
    def in_words(self) -> str:
        """Its title and accuracy: "Best · cifar10 (93.1 % of 10,000 test pictures)"."""
        if not self.score or not self.score[1]:
            return f"{self.title} (not measured on a test part)"
        return f"{self.title} ({100 * self.score[0] / self.score[1]:.1f} % of {self.score[1]:,} test pictures)"
