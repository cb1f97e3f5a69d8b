"""What a training process frees it keeps, and so does not fault in again."""

import subprocess
import sys

TWENTY_LARGE_BLOCKS = """
import resource
import numpy as np
{before}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**25, np.float32)  # 128 MiB
first = faults()
for _ in range(20):
    np.ones(2**25, np.float32)
print(faults() - first)
"""


def _page_faults(before: str) -> int:
    program = TWENTY_LARGE_BLOCKS.format(before=before)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def test_memory_that_is_freed_and_asked_for_again_costs_no_page_faults() -> None:
    kept = _page_faults("from training.process.memory import keep_freed_memory; assert keep_freed_memory()")
    assert kept < 100
    assert _page_faults("") > 1000  # 64 a block at least, of 2 MiB each
