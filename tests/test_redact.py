"""What is secret is found wherever it stands, and nothing else is touched."""

import json
import logging
import sys
from pathlib import Path

import hydra.core.utils
import pytest
from omegaconf import OmegaConf

from sweep.engine.errors import UserError
from sweep.engine.outcome import raised
from sweep.engine.outputs import redacted_outputs
from sweep.engine.redact import learn, redact, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql+psycopg://me:s3cr@host:5432/db now", "at postgresql+psycopg://***@host:5432/db now"),
        ("postgresql://me:a/b:c@host/db", "postgresql://***@host/db"),
        ("mysql://me@firm:s3cr@host/db", "mysql://***@host/db"),
        ("redis://:s3cr@host,redis://:other@elsewhere", "redis://***@host,redis://***@elsewhere"),
        ("https://me:s3cr@host:5000/path and https://token@host", "https://***@host:5000/path and https://***@host"),
        ("'HTTP://me:p@ss@host/'", "'HTTP://***@host/'"),
        (
            "postgresql://host/db?user=me&password=s3cr&sslmode=on",
            "postgresql://host/db?user=me&password=***&sslmode=on",
        ),
        ("GET /api?page=2&access_token=abc#top", "GET /api?page=2&access_token=***#top"),
        ("https://b.s3/x?X-Amz-Signature=abc&X-Amz-Date=1", "https://b.s3/x?X-Amz-Signature=***&X-Amz-Date=1"),
    ],
)
def test_what_is_secret_in_an_address_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model.max_tokens=100 data.key=value",
        "postgresql://me@host/db",
        "http://127.0.0.1:5000/#/experiments/1?x=me@host",
        "package @ git+ssh://git@github.com/me/package@v1",
        "sqlite:////a/path@home/my.db",
        "https://host/page?next_page=2&tokens=3",
        'fetch("http://"+user+"@"+host)',
        "s3://bucket/key:1/me@host",
    ],
)
def test_what_is_not_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_known_secret_is_hidden_wherever_and_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", 'a "quoted"\\ kéy/')
    monkeypatch.setenv("DATABASE", "postgresql://me:Pa%2Fss%40w0rd@host/db")
    for text in (
        'a "quoted"\\ kéy/',
        json.dumps('a "quoted"\\ kéy/'),
        repr('a "quoted"\\ kéy/'),
        "a%20%22quoted%22%5C%20k%C3%A9y%2F",
        "Pa/ss@w0rd",
        "xPa%2Fss%40w0rdx",
    ):
        assert "***" in (clean := redact(f"({text})"))
        assert "quoted" not in clean
        assert "w0rd" not in clean
    monkeypatch.delenv("SERVICE_API_KEY")
    assert redact('a "quoted"\\ kéy/') == 'a "quoted"\\ kéy/'


@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "my_api_key", "DB_PASS"]
)
def test_variables_whose_names_say_so_are_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2")
    assert redact("it is hunter2!") == "it is ***!"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X_PASSWORD", "sweep"),  # short
        ("X_PASSWORD", "5"),
        ("X_PASSWORD", ""),
        ("X_PASSWORD_FILE", str(Path(__file__).parent)),  # where it is kept
        ("X_TOKEN", "/" + 300 * "x"),  # neither a place nor in the text
        ("TOKENIZERS_PARALLELISM", "single"),
        ("MAX_TOKENS", "100000"),
        ("PWD", "elsewhere"),
    ],
)
def test_what_would_leave_no_text_is_not_looked_for(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    text = f"sweep at 5 single {Path(__file__)} elsewhere 100000"
    assert redact(text) == text


def test_a_secret_that_reads_like_a_word_is_looked_for_as_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "postgres")
    monkeypatch.setenv("PIN_SECRET", "123456")
    assert redact("postgresql, my_postgres, postgres") == "postgresql, my_postgres, ***"
    assert redact("0.123456 1234567 123456") == "0.123456 1234567 ***"
    assert redact(repr("a line\npostgres")) == r"'a line\n***'"


def test_a_key_of_many_lines_is_hidden_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_KEY", "-----BEGIN-----\nabcdefghij0\nklmnopqrst1\n-----END-----")
    assert redact("  klmnopqrst1\n  abcdefghij0") == "  ***\n  ***"


def test_an_address_that_was_given_is_learned() -> None:
    assert redact("hunter33") == "hunter33"
    learn("postgresql://me:hunter33@host/db")
    assert redact("hunter33") == "***"


def test_values_are_redacted_however_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2")
    value = {"a": ["hunter2", 1, None, ("x hunter2", True)], "path": "hunter2", "PGPASSWORD": "x", "TOKEN": 0.5}
    expected = {"a": ["***", 1, None, ("x ***", True)], "path": "hunter2", "PGPASSWORD": "***", "TOKEN": 0.5}
    assert redacted(value, but=("path",)) == expected


def test_errors_and_outcomes_have_no_secret_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2")
    error = UserError("key hunter2", "hunter2", "not hunter2")
    assert "hunter2" not in f"{error} {error.__reduce__()}"
    try:
        raise RuntimeError("hunter2 is wrong")
    except RuntimeError as failure:
        outcome = raised(failure)
    assert outcome.reason == "exception: RuntimeError: *** is wrong"
    assert "hunter2" not in outcome.traceback, "nor in the line of source that it shows"


def test_a_process_writes_nothing_secret_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2")
    config = OmegaConf.create({"a": "x hunter2", "b": ["hunter2", "${a}"], "c": "???", "n": 1})
    factory = logging.getLogRecordFactory()
    with redacted_outputs(streams=True):
        handler = logging.StreamHandler(sys.stdout)
        log = logging.getLogger("a name")
        log.addHandler(handler)
        print("printed hunter2", file=sys.stderr)
        log.warning("%s and %s", "logged", "hunter2", stack_info=True)
        try:
            raise ValueError("raised hunter2")
        except ValueError:
            log.exception("it failed")
        log.removeHandler(handler)
        hydra.core.utils._save_config(config, "config.yaml", tmp_path)
    out, err = capsys.readouterr()
    assert err == "printed ***\n"
    assert out.startswith("logged and ***\n")
    assert "ValueError: raised ***" in out
    assert "hunter2" not in out
    written = OmegaConf.load(tmp_path / "config.yaml")
    assert OmegaConf.to_container(written, resolve=False) == {"a": "x ***", "b": ["***", "${a}"], "c": "???", "n": 1}
    assert logging.getLogRecordFactory() is factory
    print("hunter2")
    assert capsys.readouterr().out == "hunter2\n"
