import subprocess
from pathlib import Path

import pytest

from sweep.tracking import source as sources
from sweep.tracking.provenance import write_provenance
from sweep.tracking.source import source, source_of

ME = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=trunk")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *ME, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "deep").mkdir(parents=True)
    git(folder, "init")
    (folder / "deep/fit.py").write_text("rate = 1\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    (repository / "ignored.log").write_text("")
    found = source(repository / "deep")
    assert found is not None
    assert (found.commit, found.branch) == (git(repository, "rev-parse", "HEAD"), "trunk")
    assert (found.patch, found.untracked) == ("", ())
    assert found.tags()["mlflow.source.git.commit"] == found.commit


def test_changes_are_a_patch_that_applies_and_untracked_files_are_named(repository: Path) -> None:
    (repository / "deep/fit.py").write_text("rate = 2\n")
    (repository / "new file.py").write_text("never read")
    found = source(repository / "deep")
    assert found is not None
    assert found.untracked == ("new file.py",)
    assert "never read" not in found.patch
    git(repository, "checkout", "deep/fit.py")
    (repository / "changes.patch").write_text(found.patch)
    git(repository, "apply", "changes.patch")
    assert (repository / "deep/fit.py").read_text() == "rate = 2\n"


def test_a_patch_and_a_list_of_files_are_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PATCH", 100)
    monkeypatch.setattr(sources, "_UNTRACKED", 2)
    (repository / "deep/fit.py").write_text("x" * 1000)
    for name in "abc":
        (repository / name).write_text("")
    found = source(repository)
    assert found is not None
    assert len(found.patch) < 150
    assert "[cut: " in found.patch
    assert found.untracked == ("a", "b", "and 1 more")


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    found = source(repository)
    assert found is not None
    assert found.branch is None


def test_without_a_checkout_a_commit_or_git_there_is_no_source(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source(tmp_path) is None
    assert source(tmp_path / "nowhere") is None
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init")
    assert source(tmp_path / "empty") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source(repository) is None


def test_variables_of_git_do_not_point_elsewhere(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    assert source(tmp_path) is None


def test_a_patch_is_plain_whatever_git_is_configured_to_show(repository: Path) -> None:
    mark = repository.parent / "ran"
    git(repository, "config", "diff.external", f"touch {mark}; true")
    git(repository, "config", "diff.evil.textconv", f"touch {mark}; cat")
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    (repository / "deep/fit.py").write_text("rate = 2\n")
    found = source(repository)
    assert found is not None
    assert "rate = 2" in found.patch
    assert not mark.exists()


def test_provenance_is_left_in_a_folder(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "about"
    (repository / "deep/fit.py").write_text("rate = 2\n")
    files = write_provenance(folder, source(repository), slots=2)
    assert [file.name for file in files] == ["environment.json", "changes.patch"]
    text = files[0].read_text()
    assert '"slots": 2' in text
    assert '"changed": true' in text
    git(repository, "checkout", ".")
    for now in (source(repository), None):
        assert write_provenance(folder, now) == files, "also the patch, which takes the place of the one before"
        assert files[1].read_text() == ""


def test_a_tasks_source_is_the_checkout_of_its_own_file(repository: Path) -> None:
    path = repository / "deep/fit.py"
    task = eval(compile("lambda: 1", str(path), "eval"))
    found = source_of(task)
    assert found == source(repository)
    assert found is not None
    assert found.state == found.commit
    path.write_text("rate = 2\n")
    changed = source_of(task)
    assert changed is not None
    assert changed.state == f"{found.commit} with changes"
    assert source_of(pytest.raises) is None, "the checkout around an environment is not that of its packages"
    assert source_of(len) is None, "which has no file"


def test_a_folder_without_any_tracked_file_is_one_name(repository: Path) -> None:
    for number in range(300):
        (repository / "out" / str(number)).mkdir(parents=True)
        (repository / "out" / str(number) / "console.log.txt").write_text("")
    (repository / "deep/new.py").write_text("")
    found = source(repository / "deep")
    assert found is not None
    assert found.untracked == ("deep/new.py", "out/")
