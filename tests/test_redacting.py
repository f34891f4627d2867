"""What MLflow is told has nothing secret in it, and what is not text comes through as it is."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.tracking.redacting import without_secrets
from sweep.tracking.store import Store, client

SECRET = "hunter2-of-mine"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", SECRET)


def test_what_is_told_of_a_run(open_experiment: Callable[[str], Store]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    store = open_experiment("redacting")
    api = client(store.uri)
    run_id = api.create_run(store.experiment_id, tags={"a": f"x {SECRET}"}, run_name=f"run {SECRET}").info.run_id
    api.log_batch(run_id, [Metric("m", 0.5, 1, 2)], [Param("p", SECRET)], [RunTag("b", SECRET)], synchronous=True)
    api.log_param(run_id, "q", SECRET)
    api.set_tag(run_id, "mlflow.note.content", f"# A note\n\nhttps://me:pw@host and {SECRET}")
    api.log_inputs(
        run_id, [DatasetInput(Dataset("d", "1", "local", json.dumps({"url": SECRET})), [InputTag("t", SECRET)])]
    )
    api.update_run(run_id, name=f"again {SECRET}")
    run = api.get_run(run_id)
    assert run.data.params == {"p": "***", "q": "***"}
    assert run.data.metrics == {"m": 0.5}
    assert run.data.tags["a"] == "x ***"
    assert run.data.tags["mlflow.note.content"] == "# A note\n\nhttps://***@host and ***"
    assert run.info.run_name == "again ***"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.source, dataset.dataset.digest, dataset.tags[0].value) == ('{"url": "***"}', "1", "***")
    assert SECRET not in str(run.to_dictionary())


def test_what_is_sent_as_files(open_experiment: Callable[[str], Store], tmp_path: Path) -> None:
    store = open_experiment("redacting")
    api = client(store.uri)
    run = api.create_run(store.experiment_id)
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    picture = b"\x89PNG\0" + SECRET.encode()
    (folder / "deep" / "picture.png").write_bytes(picture)
    (folder / "deep" / "console.log").write_bytes(f"a {SECRET}\r\n".encode() + b"\xff no UTF-8\n")
    (folder / "clean.txt").write_text("nothing")
    api.log_artifacts(run.info.run_id, str(folder), "all")
    api.log_artifact(run.info.run_id, folder / "deep")
    api.log_artifact(run.info.run_id, str(folder / "clean.txt"))
    api.log_text(run.info.run_id, f"text {SECRET}", "traceback.txt")
    api.log_dict(run.info.run_id, {"a": SECRET}, "a.json")
    kept = Path(run.info.artifact_uri)
    assert {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()} == {
        *("all/deep/picture.png", "all/deep/console.log", "all/clean.txt"),
        *("deep/picture.png", "deep/console.log", "clean.txt", "traceback.txt", "a.json"),
    }
    for place in ("all/deep", "deep"):
        assert (kept / place / "picture.png").read_bytes() == picture
        assert (kept / place / "console.log").read_bytes() == b"a ***\r\n\xff no UTF-8\n"
    assert (kept / "traceback.txt").read_text() == "text ***"
    assert json.loads((kept / "a.json").read_text()) == {"a": "***"}
    assert (folder / "deep" / "console.log").read_bytes().startswith(f"a {SECRET}".encode()), "the file is the user's"


def test_a_large_file_is_looked_at_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "large.log"
    path.write_text("".join(f"line {number} {SECRET if number % 50_000 == 0 else ''}\n" for number in range(150_000)))
    with without_secrets(path) as clean:
        text = clean.read_text()
        assert (clean.name, text.count("***"), text.count("\n")) == ("large.log", 3, 150_000)
        assert SECRET not in text
    assert not clean.exists()
