"""README.md, the validators and their tests say the same: a sentence that nobody checks is refused here."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "store_schema"
SENTENCE = re.compile(
    r"^- \*\*(?P<id>[A-Z]\d+)\*\* (?P<kind>\((?:writing|reading)\) )?(?P<text>.*?)"
    r"(?: \[(?P<test>\S+::\S+)\])?$"
)
LINES = (PACKAGE / "README.md").read_text(encoding="utf-8").splitlines()
SENTENCES = [found for line in LINES if (found := SENTENCE.match(line))]
ON_DISK = {found["id"]: found["text"] for found in SENTENCES if not found["kind"]}
OF_AN_ACT = {found["id"]: found["test"] for found in SENTENCES if found["kind"]}


def functions_of(file: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def validators() -> list[tuple[str, str]]:
    """Id and sentence of every docstring that begins with an id."""
    files = sorted(PACKAGE.rglob("*.py"))
    docstrings = [ast.get_docstring(function) or "" for file in files for function in functions_of(file)]
    found = (re.match(r"([A-Z]\d+)\. (.*?)(?:\n\n|$)", text, re.DOTALL) for text in docstrings)
    return [(match[1], " ".join(match[2].split())) for match in found if match]


def test_every_must_is_in_a_numbered_sentence_of_its_own() -> None:
    head = next(number for number, line in enumerate(LINES) if line.startswith("## "))
    loose = [line for line in LINES[head:] if "MUST" in line and not SENTENCE.match(line)]
    assert loose == []
    assert all("MUST" in found["text"] for found in SENTENCES)


def test_no_number_is_given_twice() -> None:
    numbers = Counter(found["id"] for found in SENTENCES)
    assert [number for number, count in numbers.items() if count > 1] == []
    assert len(numbers) > 50


def test_every_sentence_about_a_store_is_the_docstring_of_one_validator() -> None:
    assert sorted(validators()) == sorted(ON_DISK.items())


@pytest.mark.parametrize("number", ON_DISK)
def test_every_validator_has_a_test_named_after_it(number: str) -> None:
    names = [function.name for file in Path(__file__).parent.glob("*.py") for function in functions_of(file)]
    assert any(name.startswith(f"test_{number.lower()}_") for name in names)


@pytest.mark.parametrize("number", OF_AN_ACT)
def test_every_sentence_about_an_act_names_a_test_that_is_there(number: str) -> None:
    file, name = OF_AN_ACT[number].split("::")
    assert name in {function.name for function in functions_of(TESTS / file)}
