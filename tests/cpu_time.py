"""What tests cost: CPU time by file, that of the processes they start included."""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

NUM_SHOWN = 25
SLOW_S = 10.0  # a test that costs more carries the marker `slow`
CPU_SECONDS = "cpu_s"  # the property of a test's last report that holds its share
_STARTED = pytest.StashKey[float]()


_elsewhere = 0.0


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all it has waited for, in seconds, user and system."""
    return sum(os.times()[:4]) + _elsewhere


def count_elsewhere(seconds: float) -> None:
    """Add what a process cost that another one waited for."""
    global _elsewhere
    _elsewhere += seconds


class CpuTime:
    """A pytest plugin that measures every test, with its fixtures, and prints the files that cost most.

    A fixture that several tests share counts for the first of them, a process for the test that waits for its end.
    """

    def __init__(self) -> None:
        self.by_file: dict[str, float] = defaultdict(float)
        self.unmarked: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        item.stash[_STARTED] = cpu_seconds()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            report.user_properties.append((CPU_SECONDS, cpu_seconds() - item.stash[_STARTED]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one test; with pytest-xdist this runs where the reports of all workers arrive."""
        if report.when == "teardown":
            seconds = sum(float(str(value)) for name, value in report.user_properties if name == CPU_SECONDS)
            self.by_file[report.nodeid.partition("::")[0]] += seconds
            if seconds > SLOW_S and "slow" not in report.keywords:
                self.unmarked[report.nodeid] = seconds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"CPU seconds of the {NUM_SHOWN} files that cost most")
        for file, seconds in sorted(self.by_file.items(), key=lambda item: -item[1])[:NUM_SHOWN]:
            terminalreporter.write_line(f"{seconds:8.1f} {file}")
        terminalreporter.write_line(f"{sum(self.by_file.values()):8.1f} all {len(self.by_file)} files")
        for test, seconds in sorted(self.unmarked.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{seconds:8.1f} though not marked slow: {test}")
