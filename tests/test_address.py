"""Addresses without their passwords, and the way back to them."""

import os

import pytest
from omegaconf import OmegaConf

from sweep.engine.address import (
    STORAGE,
    TRACKING,
    bare,
    keep,
    passwords,
    same_database,
    with_password,
    withhold,
)
from sweep.engine.texts import change_texts

FULL, BARE = "postgresql+psycopg://me:hunter2@host/x", "postgresql+psycopg://me@host/x"


@pytest.mark.parametrize(
    ("url", "left"),
    [
        (FULL, BARE),
        ("postgresql+psycopg://me:secret@host:5433/db", "postgresql+psycopg://me@host:5433/db"),
        ("postgresql://me@host/db?password=secret&sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("postgresql://:secret@host/db?password=secret", "postgresql://host/db"),
        ("postgresql://me:quo'te\"d@host/db", "postgresql://me@host/db"),
        ("postgresql+psycopg:///sweep", "postgresql+psycopg:///sweep"),
        ("http://me:secret@host:5000/path", "http://host:5000/path"),
        ("https://secret@host", "https://host"),
        ("sqlite:////deep/my.db", "sqlite:////deep/my.db"),
        ("sqlite:////deep/my.db?timeout=5", "sqlite:////deep/my.db?timeout=5"),
        ("journal:///deep/my.journal", "journal:///deep/my.journal"),
        ("secret", "a text that is no URL"),
    ],
)
def test_an_address_without_what_is_secret_in_it(url: str, left: str) -> None:
    assert bare(url) == left
    assert left == "a text that is no URL" or bare(left) == left


def test_passwords_are_told_as_written_and_as_meant() -> None:
    assert set(passwords("postgresql://me:a%2Fb@h/d?sslpassword=c")) == {"a%2Fb", "a/b", "c"}
    assert set(passwords("https://token@h")) == {"token"}
    assert set(passwords("postgresql://me@h:5432/d?x=1")) == set()


def test_a_password_travels_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE, "postgresql://me:other@elsewhere/db")
    assert with_password(BARE, STORAGE) == BARE
    assert keep(FULL, STORAGE) == BARE
    assert os.environ[STORAGE] == FULL
    assert with_password(BARE, TRACKING, STORAGE) == FULL
    typed = FULL.replace("hunter2", "another")
    assert with_password(typed, STORAGE) == typed, "the password that was given counts"
    assert keep(BARE, STORAGE) == BARE
    assert os.environ[STORAGE] == FULL


def test_what_is_kept_is_withheld_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE, FULL)
    assert withhold(f"storage.url='{FULL}'") == f"storage.url='{BARE}'"
    config = OmegaConf.create(
        {"a": {"url": FULL, "same": "${a.url}"}, "lines": [f"storage={FULL}", 3], "n": 1, "m": "???", "z": None}
    )
    OmegaConf.set_readonly(config, True)
    OmegaConf.set_struct(config, True)
    change_texts(config, withhold)
    assert "hunter2" not in OmegaConf.to_yaml(config)
    assert config.lines == [f"storage={BARE}", 3]
    assert config.a.same == BARE
    assert (config.n, config.z) == (1, None)


def test_a_database_is_the_same_with_every_driver() -> None:
    assert same_database(FULL, "postgresql://other@host/x?sslmode=require")
    assert not same_database(FULL, "postgresql://me@host/y")
    assert not same_database(FULL, None)
