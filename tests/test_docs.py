"""What README and docs show holds: YAML fits its reader, commands parse, and every name in backticks is there.

README's commands are run, in `tests/test_end_to_end.py`; those of docs are parsed, each by its module's own parser.
"""

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from project.params import PARAMS_FILE
from runtime.serving.settings import ServingSettings
from slurm.chain_commands import check_params
from training.params import Params
from training.records.textfile import FOLDER_VARIABLE
from training.sweeps.search_space import SearchConfig

REPOSITORY = Path(__file__).parent.parent
DOCS = sorted([*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "logs/README.md"])
TRACKED = frozenset(
    subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
)
ROOMS = frozenset(path.split("/")[0] for path in TRACKED if path.endswith(".py") and "/" in path)
RUNNERS = {"training.launch", "dataset.stage"}  # they run the module that follows them
OF_OTHERS = {
    "content_type_overrides": "Schemathesis reads it",
    "burst.py": "its text stands beside it",
    "bentoml/_internal/marshal/dispatcher.py": "BentoML's",
    "hooks/**/*.py": "a user's: docs/FILTERS.md",
    "hooks/**/*.onnx": "a user's: docs/FILTERS.md",
    "hooks/rules.py": "a user's: docs/FILTERS.md",
    "x_mask.png": "an example of a picture's mask",
    "journal.log.lock": "Optuna's",
}
OUTPUT = re.compile(r"[\w./-]+\.(json|jsonl|csv|png|html|pt|onnx|parquet|txt|db|lock)")
GONE = {"VISION_BATCHING"}  # docs/BATCHING.md says why
NOT_CODE = {"tests/test_docs.py"}
FILE = re.compile(r"[\w*.-]+(/[\w*.-]+)*\.(py|sh|sbatch|md|jinja|toml|in)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*kinds: str) -> list[tuple[str, str]]:
    """Return `(page, text)` of every fenced block of one of the kinds."""
    pattern = rf"^```(?:{'|'.join(kinds)})\n(.*?)^```"
    return [(page.name, text) for page in DOCS for text in re.findall(pattern, text_of(page), re.M | re.S)]


def in_backticks() -> list[tuple[str, str]]:
    """Return `(page, words)` of everything in single backticks outside of blocks."""
    return [
        (page.name, " ".join(words.split()))
        for page in DOCS
        for words in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S))
    ]


def commands() -> list[tuple[str, str]]:
    """Return `(page, line)` of every command in a block: after `$` where there is one, else each line."""
    found = []
    for page, text in blocks("console", "sh", "bash"):
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        is_prompted = any(line.startswith("$ ") for line in lines)
        found += [(page, line.removeprefix("$ ")) for line in lines if line.startswith("$ ") or not is_prompted]
    for doc in DOCS:
        found += [
            (doc.name, line)
            for line in re.findall(r"^    ((?:make|python -m|bentoml|\.venv/bin/\S+) .+)$", text_of(doc), re.M)
        ]
    return found


class ParserFoundError(Exception):
    """Thrown in place of the command's work."""


@cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """Return the parser that a module's `main` makes."""
    found: list[argparse.ArgumentParser] = []

    def note(self: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        found.append(self)
        raise ParserFoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", note)
        patch.setattr("sys.argv", [module])
        with pytest.raises(ParserFoundError):
            importlib.import_module(module).main()
    return found[0]


def module_and_words(words: list[str]) -> tuple[str, list[str]]:
    """Return the module that `python -m ...` runs and what it is given, without the runner before it."""
    rest = words[words.index("-m") + 1 :]
    while rest[0] in RUNNERS and rest[1:]:
        rest = rest[1:]
        while rest[0].startswith("-"):
            rest = rest[2:]  # --max-restarts N
    return rest[0], rest[1:]


def make_targets() -> tuple[set[str], set[str]]:
    text = text_of(REPOSITORY / "Makefile")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.M)), set(re.findall(r"^([A-Z_]+) \?=", text, re.M))


def problem_of_make(words: list[str]) -> str:
    targets, variables = make_targets()
    unknown = [w for w in words if w.split("=")[0] not in (variables if "=" in w else targets)]
    return f"make knows no {', '.join(unknown)}" if unknown else ""


def problem_of_python(words: list[str]) -> str:
    """Say what `python -m` would refuse in a command that is written out; '' if nothing."""
    module, given = module_and_words(words)
    if importlib.util.find_spec(module) is None:
        return f"there is no module {module}"
    if module.startswith("tests."):
        return ""
    parser = parser_of(module)

    def refuse(message: str) -> NoReturn:
        raise ValueError(message)

    parser.error = refuse  # type: ignore[method-assign]
    try:
        argparse.ArgumentParser.parse_args(parser, given)
    except ValueError as exc:
        return str(exc)
    return ""


def problem_of(line: str) -> str:
    """Say why a command of a block cannot work; '' if nothing is known against it."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        return problem_of_make(words[1:])
    if program == "python" and "-m" in words:
        return problem_of_python(words)
    if program == "python":
        return "" if words[1] in TRACKED or words[1] in OF_OTHERS else f"there is no {words[1]}"
    if program == "sbatch":
        script = next(word for word in words[1:] if not word.startswith("-"))
        return "" if script in TRACKED else f"there is no {script}"
    if program == "dvc":
        settings = [pair.split("=")[0] for flag, pair in pairwise(words) if flag == "-S"]
        return next((f"params.yaml has no {key}" for key in settings if not is_key(key)), "")
    if program in ("bentoml", "mlflow", "sed", "git", "mkdir"):
        return ""
    return "" if program in TRACKED else f"nobody knows {program}"


def params() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text_of(REPOSITORY / PARAMS_FILE))
    return document


def is_key(dotted: str) -> bool:
    """Tell whether params.yaml or search.yaml has a key; a number is a place in a list."""
    for document in (params(), yaml.safe_load(text_of(REPOSITORY / "search.yaml"))):
        at: Any = document
        for name in dotted.split("."):
            at = (
                at[int(name)]
                if isinstance(at, list) and name.isdigit()
                else at.get(name)
                if isinstance(at, dict)
                else None
            )
        if at is not None:
            return True
    return False


def test_every_yaml_block_fits_its_reader(tmp_path: Path) -> None:
    shown = [(page, yaml.safe_load(text)) for page, text in blocks("yaml")]
    assert len(shown) >= 3
    for page, document in shown:
        if set(document) <= set(OF_OTHERS):
            continue
        path = tmp_path / page
        if "trials" in document:
            path.write_text(yaml.safe_dump(document), encoding="utf-8")
            search = SearchConfig.read(path)
            assert [key for key in search.space if not is_key(key)] == [], page
            continue
        merged = params()
        for section, keys in document.items():
            assert section in merged, f"{page} shows '{section}:', which params.yaml has not"
            merged[section] = merged[section] | keys
        path.write_text(yaml.safe_dump(merged), encoding="utf-8")
        Params.read(path)
        check_params(path)


def test_every_command_of_a_block_parses() -> None:
    found = commands()
    assert len(found) > 30
    assert [f"{page}: {line}: {problem}" for page, line in found if (problem := problem_of(line))] == []


def test_commands_that_edit_params_leave_params_that_can_be_read(tmp_path: Path) -> None:
    edits = [(page, line) for page, line in commands() if line.startswith("sed ")]
    assert edits
    for page, line in edits:
        (tmp_path / "params.yaml").write_text(text_of(REPOSITORY / "params.yaml"), encoding="utf-8")
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
        Params.read(tmp_path / "small.yaml")
        changed = yaml.safe_load((tmp_path / "small.yaml").read_text())
        num_edits = line.count("; s/") + 1
        assert sum(changed[name] != section for name, section in params().items()) == num_edits, f"{page}: {line}"


def test_every_command_in_the_text_names_what_is_there() -> None:
    problems = []
    for page, words in in_backticks():
        if re.match(r"(NPROC=\d )?make [a-z]", words):
            problems.append((page, words, problem_of_make(words.split("make ")[1].split())))
        if re.match(r"(\.venv/bin/)?python -m |[a-z]+\.[a-z_]+ --", words):
            module, given = module_and_words(("" if " -m " in words else "-m ").split() + words.split())
            if importlib.util.find_spec(module) is None:
                problems.append((page, words, f"there is no module {module}"))
            elif not module.startswith("tests.") and any(word.startswith("--") for word in given):
                flags = {word.split("=")[0] for word in given if word.startswith("--")}
                unknown = flags - set(parser_of(module)._option_string_actions)
                problems.append((page, words, f"{module} knows no {unknown}" if unknown else ""))
    assert len(problems) > 10
    assert [problem for problem in problems if problem[2]] == []


def test_every_variable_of_the_environment_is_read_by_somebody() -> None:
    known = {f"VISION_{name.upper()}" for name in ServingSettings.model_fields} | {FOLDER_VARIABLE, *GONE}
    named = {(page.name, name) for page in DOCS for name in re.findall(r"\bVISION_[A-Z_]*[A-Z]", text_of(page))}
    assert len(named) > 10
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_file_named_is_there() -> None:
    names = {(page, words) for page, words in in_backticks() if FILE.fullmatch(words) and words not in OF_OTHERS}
    assert len(names) > 40
    gone = {
        (page, name)
        for page, name in names
        if not any(Path(path).match(name) for path in TRACKED) and not name.startswith(("artifacts/", "data/"))
    }
    assert {
        (page, name) for page, name in gone if name.split("/")[0] in ROOMS | {"docs", "tests"} or name.endswith(".py")
    } == set()


def test_every_folder_named_is_there_and_the_map_names_every_room() -> None:
    folders = {str(parent) for path in TRACKED for parent in Path(path).parents}
    named = {(page, words.rstrip("/")) for page, words in in_backticks() if re.fullmatch(r"\w+(/\w+)*/?", words)}
    of_rooms = {(page, name) for page, name in named if "/" in name and name.split("/")[0] in ROOMS | {"docs"}}
    assert len(of_rooms) > 10
    assert {(page, name) for page, name in of_rooms if name not in folders} == set()
    chart = text_of(REPOSITORY / "docs/ARCHITECTURE.md").split("## Map")[1].split("\n## ")[0]
    assert {room for room in ROOMS - {"tests"} if f"`{room}/" not in chart} == set()


def test_every_output_named_is_written_or_read_by_somebody() -> None:
    """Of outputs the code holds the name alone, which is then in no example's place."""
    code = "\n".join(
        text_of(REPOSITORY / path)
        for path in TRACKED
        if path.endswith((".py", ".yaml", ".sh")) and path not in NOT_CODE
    )
    named = {(page, words) for page, words in in_backticks() if OUTPUT.fullmatch(words)}
    assert len(named) > 40
    assert {(page, name) for page, name in named if Path(name).name not in code and name not in OF_OTHERS} == set()


def test_every_module_and_key_named_is_there() -> None:
    """`training.data.cache` is a module, `train.cache: true` a key of params.yaml, `runtime.x.Y` a name of a module."""
    sections = set(params()) | {"sampler", "pruner"}
    gone = []
    num_found = 0
    for page, words in in_backticks():
        name = words.split(":")[0].split("=")[0].strip()
        if not re.fullmatch(r"[a-z_]+(\.\w+)+", name) or name.split(".")[0] not in ROOMS | sections:
            continue
        if FILE.fullmatch(name) or re.search(r"\.(json|csv|yaml|html|onnx|png)$", name):
            continue
        num_found += 1
        contract = name.replace("contract.", "runtime.model.contract.", 1)  # what a model carries, beside params.yaml's
        if not (is_key(name) or is_module_or_name_in_one(name) or is_module_or_name_in_one(contract)):
            gone.append((page, words))
    assert num_found > 30
    assert gone == []


def is_module_or_name_in_one(dotted: str) -> bool:
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path = "/".join(parts[:count])
        if f"{path}.py" in TRACKED:
            return (
                count == len(parts) or re.search(rf"\b{parts[count]}\b", text_of(REPOSITORY / f"{path}.py")) is not None
            )
        if f"{path}/__init__.py" in TRACKED:
            return count == len(parts)
    return False


def test_every_link_leads_to_a_file_and_a_heading_that_are_there() -> None:
    gone = []
    for page in DOCS:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = page if not name else Path(os.path.normpath(page.parent / name))
            if not path.exists() or (anchor and anchor not in anchors_of(path)):
                gone.append((page.name, target))
    assert gone == []


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
