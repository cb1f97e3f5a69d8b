"""The order in which files of tests are run: the longest first, so that no core waits for another at the end.

With pytest-xdist every file is run by one process (`--dist loadfile`), in the order of collection where that is asked
for (`--no-loadscope-reorder`).
"""

from collections.abc import Sequence

# Every file with a test marked `slow`, in the order of what it costs. At its end a run prints what the files cost.
SLOW_FILES = (
    "tests/test_end_to_end.py",
    "tests/slurm/test_train.py",
    "tests/training/run/test_segmentation_resume.py",
    "tests/training/run/test_resume.py",
    "tests/slurm/test_job.py",
    "tests/training/test_search.py",
    "tests/training/process/test_compilation.py",
    "tests/training/process/test_distributed.py",
    "tests/training/test_ablate.py",
    "tests/export/test_bento.py",
    "tests/export/test_bento_segmentation.py",
    "tests/export/test_crops_end_to_end.py",
    "tests/slurm/test_score.py",
    "tests/slurm/test_doctor.py",
    "tests/training/tasks/test_every_key.py",
    "tests/training/test_train.py",
    "tests/service/test_fronts.py",
    "tests/service/test_startup.py",
    "tests/service/test_hostile.py",
    "tests/service/test_batching.py",
    "tests/service/test_front_death.py",
    "tests/service/test_front_batching.py",
    "tests/service/test_drain.py",
    "tests/export/test_export.py",
    "tests/runtime/serving/test_request_batching.py",
    "tests/service/test_model_output.py",
    "tests/service/test_filters.py",
    "tests/service/test_segment.py",
    "tests/page/test_page.py",
    "tests/service/test_detect.py",
    "tests/service/test_detect_batch.py",
    "tests/service/test_jobs.py",
    "tests/service/test_segment_parts.py",
    "tests/test_demo.py",
    "tests/benchmarks/test_serve_load.py",
    "tests/training/test_cross_validate.py",
    "tests/training/records/test_tracking_together.py",
    "tests/training/tasks/test_segmentation.py",
    "tests/training/run/test_detection_resume.py",
    "tests/training/run/test_last_epochs.py",
    "tests/training/run/test_interruption.py",
    "tests/training/test_launch.py",
    "tests/training/data/test_loader.py",
    "tests/training/records/test_moved_store.py",
    "tests/training/network/test_pyramid.py",
    "tests/export/test_register_together.py",
    "tests/export/test_export_segmentation.py",
    "tests/export/test_export_detection.py",
    "tests/training/tasks/test_detection.py",
    "tests/export/test_export_masks.py",
    "tests/export/test_loaded.py",
    "tests/test_pipeline.py",
    "tests/slurm/test_claim.py",
    "tests/benchmarks/test_input_pipeline.py",
    "tests/benchmarks/test_pipeline_load.py",
    "tests/dataset/sources/test_magnetic_tile.py",
)


def longest_first(files: Sequence[str]) -> list[int]:
    """Return the places of `files`, paths from the repository's root, in the order to run them in.

    Files of the same cost stay as they are, and so do the tests of a file.
    """
    rank = {file: number for number, file in enumerate(SLOW_FILES)}
    return sorted(range(len(files)), key=lambda place: rank.get(files[place], len(rank)))
