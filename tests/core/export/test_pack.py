"""An export as one zip, and the job that packs it for a page."""

import zipfile

import pytest

from core.export import pack
from core.export.export import FORMATS
from core.export.pack import pack_export, packed_path
from core.jobs.export_job import cancel_export_job, export_folder, main, read_export_job, start_export_job
from core.progress import Progress
from tests import tiny


@pytest.fixture
def quick(monkeypatch):
    """An export that writes one file in two steps; the real one takes ten seconds."""

    def export_run(run, target, formats=FORMATS, which=None):
        target.mkdir()
        yield Progress("loading the network", 0, 2, None)
        (target / "model.json").write_text(run.id)
        yield Progress("writing ONNX", 1, 2, None)
        yield Progress("done", 2, 2, 0.0)

    monkeypatch.setattr(pack, "export_run", export_run)


def test_a_zip_holds_one_folder_with_the_export(quick, tiny_run, tmp_path):
    (tmp_path / "work").mkdir()
    phases = [step.phase for step in pack_export(tiny_run, tmp_path / "run.zip", tmp_path / "work")]
    assert phases == ["loading the network", "writing ONNX", "packing"]
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert archive.namelist() == ["network/model.json"]
        assert archive.read("network/model.json").decode() == tiny_run.id
    assert tiny.files_of(tmp_path) == {"run.zip", "work"} | ({"home"} & tiny.files_of(tmp_path))
    assert tiny.files_of(tmp_path / "work") == set()


def test_packing_that_is_given_up_leaves_nothing(quick, tiny_run, tmp_path):
    (tmp_path / "work").mkdir()
    steps = pack_export(tiny_run, tmp_path / "run.zip", tmp_path / "work")
    next(steps)
    assert tiny.files_of(tmp_path / "work") == {"network"}
    steps.close()
    assert tiny.files_of(tmp_path / "work") == set() and not (tmp_path / "run.zip").exists()


def test_a_job_leaves_the_zip_and_no_folder(quick, tiny_run):
    export_folder(tiny_run.id).mkdir(parents=True)
    assert main(tiny_run.id, export_folder(tiny_run.id)) == 0
    assert packed_path(tiny_run).is_file() and read_export_job(tiny_run.id) is None


def test_a_job_that_is_cancelled_leaves_nothing(quick, tiny_run):
    export_folder(tiny_run.id).mkdir(parents=True)
    cancel_export_job(tiny_run.id)
    assert read_export_job(tiny_run.id).stop_requested
    assert main(tiny_run.id, export_folder(tiny_run.id)) == 0
    assert not packed_path(tiny_run).exists() and not export_folder(tiny_run.id).exists()


def test_a_failure_stays_until_the_next_try(tiny_run, monkeypatch):
    monkeypatch.setattr("core.jobs.export_job.launch_job", lambda folder, *words: None)
    start_export_job(tiny_run.id)
    assert read_export_job(tiny_run.id).is_live
    (tiny_run.folder / "manifest.json").unlink()
    assert main(tiny_run.id, export_folder(tiny_run.id)) == 1
    assert read_export_job(tiny_run.id).status == "refused" and "no model" in read_export_job(tiny_run.id).message
    start_export_job(tiny_run.id)
    assert read_export_job(tiny_run.id).message == ""
