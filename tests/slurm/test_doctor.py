"""The doctor on a real cluster with real faults: a disk that is not mounted, a port in use, a picture that is gone."""

import shutil
import socket
from pathlib import Path

import pytest

from tests.slurm.conftest import Project

pytestmark = pytest.mark.slow


@pytest.fixture
def with_data(project: Project, tiny_tiles_dir: Path) -> Project:
    (project.folder / "data").symlink_to(tiny_tiles_dir)
    return project


def test_two_good_nodes_are_ready_and_their_link_is_measured(with_data: Project) -> None:
    said = with_data.run("slurm/doctor.sh", "--nodes=2").stdout
    assert "node1: 1 core(s), no GPU, data read" in said
    assert "node2: 1 core(s), no GPU, data read" in said
    assert "2 process(es) met by gloo; all-reduce: 1 MiB at" in said
    assert said.endswith("\nready\n")


def test_a_disk_that_one_node_does_not_mount_is_named(with_data: Project) -> None:
    with_data.cluster.restart_node("node2", without=with_data.folder)
    done = with_data.run("slurm/doctor.sh", "--nodes=2", check=False)
    with_data.cluster.restart_node("node2")
    assert done.returncode == 2
    assert f"PROBLEM: node2: {with_data.folder} or its .venv is not there: is the shared disk mounted?" in done.stdout
    assert done.stdout.count("PROBLEM") == 1
    assert done.stdout.endswith("not ready\n")


def test_a_port_in_use_and_data_that_are_not_there_are_named(project: Project, tiny_tiles_dir: Path) -> None:
    shutil.copytree(tiny_tiles_dir, project.folder / "data")
    first = (project.folder / "data/manifest.csv").read_text().splitlines()[1].split(",")[0]
    (project.folder / "data" / first).unlink()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ["salloc", "--quiet", "--nodes=2", "slurm/doctor.sh", "--port", str(port)]
        done = project.run(*command, check=False)
    assert done.returncode == 2
    assert f"node1: port {port} is taken by another process" in done.stdout
    assert f"node2: cannot read the data: data/{first}: No such file or directory" in done.stdout


def test_outside_a_job_the_doctor_says_how_to_get_into_one(with_data: Project) -> None:
    done = with_data.run(".venv/bin/python", "-m", "slurm.doctor", check=False)
    assert done.returncode == 2
    assert "use sbatch or salloc" in done.stderr
