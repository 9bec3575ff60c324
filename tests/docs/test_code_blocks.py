"""What the documentation tells people to type works: Python blocks run, commands are understood."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOW_TO = ROOT / "docs" / "how-to"
# pages whose Python is whole programs, or, in README, the lines to add to one
RUN = [
    ROOT / "README.md",
    ROOT / "docs" / "your-own-run.md",
    ROOT / "docs" / "reference" / "index.md",
    HOW_TO / "compare-optimisers.md",
    HOW_TO / "read-the-numbers.md",
    HOW_TO / "taskonomy.md",
]
# Pages that are walked through: a block that begins with "# name.py" is saved as that and run, then the commands, whose
# output holds the lines of the text after them. A section of the second needs the library named here.
WALKED = {
    "import-checkpoints": {},
    "beyond-classification": {},
    "lightning-and-hugging-face": {"Lightning": "lightning", "Hugging Face": "accelerate"},
}
AROUND = {"README.md": ROOT / "tests" / "docs" / "around_readme.py"}  # what the reader's own program has defined
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def commands() -> list[tuple[str, str]]:
    """Every line that calls the command line, with the page it stands on."""
    found = []
    for page in PAGES:
        for text in blocks(page, "") + blocks(page, "console"):
            for line in text.splitlines():
                if (line := line.strip()).startswith("python cli.py "):
                    found.append((page.name, line))
    return found


def test_no_page_with_python_is_left_out():
    assert {page for page in PAGES if blocks(page, "python")} == {*RUN, *(HOW_TO / f"{name}.md" for name in WALKED)}


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_python_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    if page.name in AROUND:
        exec(AROUND[page.name].read_text(), namespace)
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{page.name}, block {number + 1}", "exec"), namespace)
        said = capsys.readouterr().out
        for line in code.splitlines():  # what a comment says is printed is printed
            if line.startswith("print(") and (expected := line.partition("  # ")[2]):
                assert expected in said


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints: of the command line, or of a module that is run as a script."""
    python, door, *words = shlex.split(line)
    assert python == "python"
    if door == "-m":
        monkeypatch.setattr(sys, "argv", list(words))
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        return ""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, (line, result.output)
    return result.output


@pytest.mark.parametrize(
    ("page", "section", "library"),
    [(page, *named) for page, sections in WALKED.items() for named in sections.items() or [("", "torch")]],
)
def test_what_a_page_says_to_type_does_what_it_says(page, section, library, tmp_path, monkeypatch, capsys):
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    text = (HOW_TO / f"{page}.md").read_text()
    if section:
        text = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    said, seen = "", 0
    for language, block in FENCE.findall(text):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", block)
            script = tmp_path / (name[1] if name else "typed.py")
            script.write_text(block)
            runpy.run_path(str(script), run_name="__main__")
        elif language == "text":
            assert not [line for line in block.splitlines() if line not in said], said
            seen += 1
        else:
            said = "".join(typed(line, monkeypatch) for line in block.splitlines())
    assert seen or section == "Hugging Face"


def test_every_command_in_the_documentation_is_understood():
    lines = commands()
    assert len(lines) > 25
    wrong = []
    for page, line in lines:
        words = shlex.split(line, comments=True)[2:]
        command: click.Command = main
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words[0])
            if found is None:
                break
            command, words = found, words[1:]
        try:
            with command.make_context(command.name, list(words)):
                pass
        except click.ClickException as error:
            if "does not exist" not in error.format_message():  # the reader's own files
                wrong.append(f"{page}: {line}: {error.format_message()}")
        if isinstance(command, click.Group):
            wrong.append(f"{page}: {line}: there is no such command")
    assert not wrong, "\n".join(wrong)
