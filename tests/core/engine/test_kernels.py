"""Kernels: among which a run has the choice, by processor and settings, and what is kept of a measurement."""

import pytest

from core.config import ModelConfig, RunConfig, TrainConfig
from core.engine.kernels import Kernels, has_bfloat16, is_narrow, keep_kernels, possible_kernels, read_kernels

NARROW = RunConfig()
WIDE = RunConfig(model=ModelConfig(name="resnet"))
HALF = RunConfig(model=ModelConfig(name="resnet"), train=TrainConfig(precision="bfloat16"))
SLIM = RunConfig(model=ModelConfig(name="resnet", width=16))
WINOGRAD = Kernels(conv_algorithm="winograd")
MATMUL = Kernels("bfloat16", conv_algorithm="matmul")
ZEN4 = {"flags": "avx512f avx512_bf16", "vendor_id": "AuthenticAMD", "cpu family": "25"}
INTEL = {"flags": "avx512f avx512_bf16", "vendor_id": "GenuineIntel", "cpu family": "6"}
MATRICES = {"flags": "avx512f avx512_bf16 amx_bf16", "vendor_id": "GenuineIntel", "cpu family": "6"}
OLD = {"flags": "fpu avx2"}


@pytest.fixture
def cpu(monkeypatch, home):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    return lambda info: monkeypatch.setattr("core.engine.kernels.cpu_info", lambda: info)


@pytest.mark.parametrize(
    ("model", "precision", "narrow"),
    [
        (ModelConfig(), "float32", True),
        (ModelConfig(), "bfloat16", False),
        (ModelConfig(name="cnn"), "float32", True),
        (ModelConfig(name="cnn", channels=(16, 32)), "float32", False),
        (ModelConfig(name="resnet"), "float32", False),
    ],
)
def test_vectors_are_narrow_for_few_channels_in_float32(model, precision, narrow):
    assert is_narrow(RunConfig(model=model, train=TrainConfig(precision=precision))) is narrow


@pytest.mark.parametrize(
    ("info", "has"),
    [(INTEL, True), ({"Features": "fp asimd bf16"}, True), (OLD, False), ({}, False)],
)
def test_a_processor_says_whether_it_computes_in_bfloat16(cpu, info, has):
    cpu(info)
    assert has_bfloat16() is has


@pytest.mark.parametrize(
    ("info", "config", "possible"),
    [
        (ZEN4, NARROW, (Kernels(isa="AVX2"), Kernels())),  # what is known of it comes first
        (INTEL, NARROW, (Kernels(), Kernels(isa="AVX2"))),
        (OLD, NARROW, (Kernels(),)),
        (INTEL, WIDE, (Kernels(), WINOGRAD)),
        (INTEL, HALF, (Kernels("bfloat16"), MATMUL, Kernels(), WINOGRAD)),
        (OLD, HALF, (Kernels(), WINOGRAD)),
        (OLD, SLIM, (Kernels(),)),  # its channels are too few
    ],
)
def test_there_is_a_choice_where_a_processor_leaves_one(cpu, info, config, possible):
    cpu(info)
    assert possible_kernels(config) == possible


def test_whoever_has_limited_the_instructions_is_not_overruled(cpu, monkeypatch):
    cpu(ZEN4)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert possible_kernels(NARROW) == (Kernels(),)


def test_what_was_measured_is_found_for_the_same_settings_threads_and_processor_only(cpu, monkeypatch):
    cpu(INTEL)
    keep_kernels(HALF, 2, Kernels("float32"), [80.0, 146.0])
    assert read_kernels(HALF, 2) == Kernels("float32")
    flips = HALF.model_copy(update={"model": HALF.model.model_copy(update={"flip_tta": True, "tta_below": 0.7})})
    assert read_kernels(flips, 2) == Kernels("float32")  # how it answers changes no layer
    assert read_kernels(HALF, 1) is None and read_kernels(WIDE, 2) is None
    monkeypatch.setattr("core.engine.kernels.cpu_name", lambda: "another")
    assert read_kernels(HALF, 2) is None


def test_processors_that_are_called_the_same_and_compute_otherwise_are_measured_apart(cpu):
    cpu(INTEL)
    keep_kernels(HALF, 2, Kernels("float32"), [80.0, 146.0])
    cpu(MATRICES)
    assert read_kernels(HALF, 2) is None
    keep_kernels(HALF, 2, Kernels("bfloat16"), [300.0, 146.0])
    cpu(INTEL)
    assert read_kernels(HALF, 2) == Kernels("float32")


def test_a_damaged_file_or_kernels_that_are_impossible_by_now_count_as_not_measured(cpu, home):
    cpu(OLD)
    keep_kernels(HALF, 2, Kernels("bfloat16"), [80.0, 40.0])
    assert read_kernels(HALF, 2) is None
    next((home / "kernels").glob("*.json")).write_text("[]")
    assert read_kernels(HALF, 2) is None
