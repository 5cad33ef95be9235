"""What is said of a worker that could not say it itself."""

import signal

import numpy as np
import pytest

from core.runs.checkpoint import newest_place, write_checkpoint
from core.runs.exit_reason import describe_exit


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "said"),
    [
        (-signal.SIGKILL, False, "stopped unexpectedly in epoch 4 (the process was killed, by somebody or for want"),
        (-signal.SIGKILL, True, "The system ran out of memory and stopped the training. Use a smaller batch"),
        (-signal.SIGSEGV, False, "crashed or was ended in epoch 4 (SIGSEGV); the log has its last words"),
        (-200, False, "(signal 200)"),
        (3, False, "without saying why (exit code 3); the log has the details"),
    ],
)
def test_every_end_has_its_sentence_and_what_was_kept(tmp_path, exit_code, out_of_memory, said):
    assert said in describe_exit(exit_code, out_of_memory, tmp_path, 4)
    assert describe_exit(exit_code, out_of_memory, tmp_path, 4).endswith(
        "Nothing had been saved yet. Start it again with Resume?"
    )
    write_checkpoint(tmp_path, 30, {"epoch": 4, "iteration": 0}, {"w": np.zeros(1)})
    assert describe_exit(exit_code, out_of_memory, tmp_path, 4).endswith(" Resume from epoch 3?")


def test_the_newest_place_is_found_even_beside_a_damaged_one(tmp_path):
    write_checkpoint(tmp_path, 30, {"epoch": 4, "iteration": 2}, {"w": np.zeros(1)})
    (tmp_path / "checkpoint" / "000000000040.json").write_text("{")
    assert newest_place(tmp_path) == "epoch 4, iteration 2"
