"""The plan in docs/ARCHITECTURE.md is held: who imports whom, and what production never loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
MOST_MODULES = 18
NEVER_IN_PRODUCTION = ("torch", "torchvision", "timm", "albumentations", "mlflow", "sklearn", "pandas", "cv2")


def _rooms() -> dict[str, set[str]]:
    """Read the table `| place | what lives there | may import |`."""
    rows = re.findall(
        r"^\| `(\w+)` \| .+ \| ([\w, -]+) \|$", (REPOSITORY / "docs/ARCHITECTURE.md").read_text(encoding="utf-8"), re.M
    )
    return {room: set(re.findall(r"\w+", imports)) for room, imports in rows}


ROOMS = _rooms()


def _folders() -> dict[str, set[str]]:
    """Read the table `| folder | what lives there | may import of its room's folders |`."""
    rows = re.findall(
        r"^\| `(\w+/\w+)` \| .+ \| ([\w, -]+) \|$",
        (REPOSITORY / "docs/ARCHITECTURE.md").read_text(encoding="utf-8"),
        re.M,
    )
    return {folder: set(re.findall(r"\w+", imports)) for folder, imports in rows}


FOLDERS = _folders()


def _files(room: str) -> list[Path]:
    single = REPOSITORY / f"{room}.py"
    return [single] if single.is_file() else sorted((REPOSITORY / room).rglob("*.py"))


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names.add((node.module or "").split(".")[0])
    return names


def test_every_python_file_belongs_to_a_room() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-co", "--exclude-standard", "*.py"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    places = {path.split("/")[0].removesuffix(".py") for path in tracked}
    own = {"hooks"}  # of a user who has filters of their own: docs/FILTERS.md
    assert places - own == set(ROOMS) | {"tests"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_plan_allows(room: str) -> None:
    assert _files(room), f"docs/ARCHITECTURE.md names {room}, which is not there"
    for path in _files(room):
        forbidden = _imported(path) & (set(ROOMS) | {"tests"}) - ROOMS[room] - {room}
        assert not forbidden, f"{path} imports {sorted(forbidden)}"


def _module(path: Path) -> str:
    return path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")


def _imported_modules(path: Path) -> set[str]:
    """Return the full names of what a module imports, within functions too; `a` and `a.b` of `from a import b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_nobody_imports_a_command() -> None:
    """What commands share lies in a module beside them: a command is started, by a person or as a process."""
    files = [path for room in ROOMS for path in _files(room)]
    commands = {_module(path) for path in files if _is_command(path)} | {"demo"}
    assert len(commands) > 30  # the way in which they are told still finds them
    found = [f"{_module(path)} imports {name}" for path in files for name in sorted(_imported_modules(path) & commands)]
    assert not found, "\n".join(found)


def _is_command(path: Path) -> bool:
    """Tell whether a module has a function under `@command(...)`."""
    return any(
        isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "command"
        for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    )  # fmt: skip


def test_no_product_module_is_named_like_a_test() -> None:
    """pytest collects `test_*.py` and `*_test.py`, wherever it is started."""
    named = [path for room in ROOMS for path in _files(room) if path.match("test_*.py") or path.match("*_test.py")]
    assert not named


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_the_folders_of_its_room_that_the_plan_allows(folder: str) -> None:
    room, own = folder.split("/")
    folders = {path.name for path in (REPOSITORY / room).iterdir() if (path / "__init__.py").is_file()}
    assert own in folders, f"docs/ARCHITECTURE.md names {folder}, which is not there"
    for path in _files(folder):
        forbidden = _imported_folders(path, room) & folders - FOLDERS[folder] - {own}
        assert not forbidden, f"{path} imports {sorted(forbidden)} of {room}"


def _imported_folders(path: Path, room: str) -> set[str]:
    """Return the second words of what a module imports of `room`: `run` of `training.run.state`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith(f"{room}.")}


def test_no_folder_has_more_modules_than_one_can_look_over() -> None:
    for room in ROOMS:
        for folder in {path.parent for path in _files(room)} - {REPOSITORY}:
            modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(modules) <= MOST_MODULES, f"{folder} has {len(modules)} modules: give some a folder of their own"


@pytest.mark.parametrize("room", ["service", "runtime", "demo"])
def test_production_code_names_no_training_package(room: str) -> None:
    for path in _files(room):
        assert not _imported(path) & set(NEVER_IN_PRODUCTION), path


def test_one_module_each_knows_albumentations_and_mlflow() -> None:
    for package, owner in (
        ("albumentations", "training/data/augmentation.py"),
        ("mlflow", "training/records/tracking.py"),
    ):
        users = [
            p.relative_to(REPOSITORY).as_posix() for room in ROOMS for p in _files(room) if package in _imported(p)
        ]
        assert users == [owner]


@pytest.mark.parametrize("room", ["project", "runtime", "dataset", "evaluation"])
def test_importing_a_room_reads_no_project_file_and_prints_nothing(room: str, tmp_path: Path) -> None:
    modules = [p.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".") for p in _files(room)]
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]


def test_one_module_each_parses_arguments_sets_up_logs_and_syncs_files() -> None:
    """Commands share one `main`, and files are written whole in one way; each exception reads words of its own."""
    owners = {
        "argparse.ArgumentParser(": {"project/command.py", "benchmarks/peers/classifier.py", "demo.py"},
        "logging.basicConfig(": {"project/command.py", "training/process/exit_status.py"},
        "os.fsync(": {"project/write_whole.py"},
        "yaml.safe_load(path": {"dataset/data_source.py"},
        "yaml.load(path": {"project/params.py"},
    }
    files = [path for room in ROOMS for path in _files(room)]
    for words, expected in owners.items():
        found = {p.relative_to(REPOSITORY).as_posix() for p in files if words in p.read_text(encoding="utf-8")}
        assert found == expected, words


def test_every_command_is_named_where_people_look_or_started_by_another() -> None:
    patterns = ("*.md", "docs/*.md", "Makefile", "dvc.yaml", "slurm/*.s*")
    texts = [path.read_text(encoding="utf-8") for pattern in patterns for path in REPOSITORY.glob(pattern)]
    sources = {path: path.read_text(encoding="utf-8") for room in ROOMS for path in _files(room)}
    commands = {path for path, text in sources.items() if 'if __name__ == "__main__"' in text}
    for command in commands - {
        REPOSITORY / "demo.py",
        *(REPOSITORY / "benchmarks/peers").iterdir(),
    }:  # by path; by name
        name = command.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")
        is_named = any(re.search(rf"\b{name}\b", text) for text in texts)
        others = (text for path, text in sources.items() if path != command)
        assert is_named or any(re.search(rf"(-m |[\"'])({name})\b", text) for text in others), name


def test_modules_and_functions_stay_small() -> None:
    for room in ROOMS:
        for path in _files(room):
            source = path.read_text(encoding="utf-8")
            assert source.count("\n") <= 300, f"{path} has more than 300 lines: could one room be two?"
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    assert length <= 60, f"{path}:{node.lineno} {node.name} has {length} lines"
