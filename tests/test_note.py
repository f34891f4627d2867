import pytest

from sweep.tracking.note import Note, fenced, plain


def test_it_says_what_varied_what_came_of_it_and_how_to_do_it_again() -> None:
    note = Note("Trial 3 of study wide", {"model.depth": 2, "rate": 0.123456789}, ["sweep run a=1"], ["val/rmse"])
    text = note.text("COMPLETE", values=(0.25,))
    assert "**Trial 3 of study wide** is complete." in text
    assert "val/rmse = **0.25**" in text
    assert "| model.depth | 2 |\n| rate | 0.123457 |" in text
    assert "```\nsweep run a=1\n```" in text


def test_it_says_what_its_commands_do() -> None:
    assert "To train it again:\n\n```\na\n```" in Note("Trial 3", again=["a"]).text()
    assert "It is judged by:\n\n```\na\n```" in Note("Trial 3", again=["a"], does="It is judged by").text()


@pytest.mark.parametrize(
    ("state", "words"), [("PRUNED", "was pruned: too slow"), ("FAIL", "failed: too slow"), ("RUNNING", "is running")]
)
def test_it_says_why_a_trial_ended(state: str, words: str) -> None:
    assert words in Note("Trial 3").text(state, "too slow")


def test_a_traceback_is_shown_at_its_end_and_fits() -> None:
    text = Note("Trial 3").text("FAIL", "exception", traceback="x" * 10_000 + "\nValueError: the end")
    assert text.endswith("ValueError: the end\n```")
    assert len(text) < 8000


def test_what_is_markdown_stays_text() -> None:
    assert plain("a_b|c*d\n<e> `f`") == r"a\_b\|c\*d \<e\> \`f\`"
    assert fenced("a ``` b") == "````\na ``` b\n````"
