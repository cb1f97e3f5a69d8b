"""Jobs on disk: each image has one answer, and what is wrong with the file is said."""

import resource
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from runtime.answers.refusals import JobErrorCode, RequestRefused
from runtime.serving.intake.image_list import ImageAddress, SentImage
from runtime.serving.jobs.database import DATABASE_FILE, open_database, transaction
from runtime.serving.jobs.lock import FolderLock
from runtime.serving.jobs.records import Claim, NewJob
from runtime.serving.jobs.store import JobStore

MANY_BYTES = 2**24
TASKS = ("predict",)


def store_in(folder: Path, **changes: Any) -> JobStore:
    return JobStore(folder, **{"max_jobs": 10, "max_bytes": MANY_BYTES, **changes})


def new_job(name: str, *images: SentImage, **changes: Any) -> NewJob:
    fields = {"task": "predict", "images": images or (b"a",), "request_id": "r", "trace_id": "t", "content_sha256": "0"}
    return NewJob(id=name, **{**fields, **changes})


def claimed(store: JobStore) -> Claim:
    claim = store.claim(TASKS)
    assert claim
    return claim


def code_of(refusal: pytest.ExceptionInfo[RequestRefused]) -> object:
    assert refusal.value.retry_after_s or refusal.value.code in (JobErrorCode.NOT_FOUND, JobErrorCode.KEY_REUSED)
    return refusal.value.code


def test_images_come_as_they_were_sent_and_each_is_claimed_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    images: list[SentImage] = [b"\0file", "base64", ImageAddress("http://a/")]
    assert store.create(new_job("one", *images)).as_json()["state"] == "queued"
    claims = [claimed(store) for _ in images]
    assert [claim.image for claim in claims] == images
    assert [(claim.place, claim.task, claim.num_attempts) for claim in claims] == [(n, "predict", 1) for n in range(3)]
    assert store.claim(TASKS) is None
    assert dict(store.page("one", 0, 10).status.counts) == {"queued": 0, "running": 3, "done": 0, "failed": 0}


def test_answers_come_in_order_and_an_image_has_one(tmp_path: Path) -> None:
    store = store_in(tmp_path, now=lambda: 1.5)
    store.create(new_job("one", b"a", b"b", b"c"))
    first, second, third = (claimed(store) for _ in range(3))
    assert store.finish(second, "B", is_failed=False)
    assert not store.finish(second, "B again", is_failed=False)
    assert store.finish(first, "A", is_failed=True)
    page = store.page("one", 0, 10)
    assert (page.lines, page.status.state, page.status.finished_at) == (["B", "A"], "running", None)
    assert store.finish(third, "C", is_failed=False)
    page = store.page("one", 1, 1)
    assert (page.lines, page.status.state, page.status.finished_at) == (["A"], "done", 1.5)
    assert store.page("one", 2, 10).lines == ["C"]
    assert store.page("one", 3, 10).lines == []
    assert dict(page.status.counts) == {"queued": 0, "running": 0, "done": 2, "failed": 1}


def test_what_was_in_hand_waits_again_and_its_late_answer_is_not_a_second_one(tmp_path: Path) -> None:
    """As after a kill: another store on the same file takes over."""
    before = store_in(tmp_path)
    before.create(new_job("one", b"a", b"b"))
    kept, lost = claimed(before), claimed(before)
    before.finish(kept, "A", is_failed=False)
    store = store_in(tmp_path)
    store.put_all_back(was_tried=True)
    again = claimed(store)
    assert (again.place, again.image, again.num_attempts) == (1, b"b", 2)
    assert store.claim(TASKS) is None
    assert store.finish(again, "B", is_failed=False)
    assert not before.finish(lost, "B late", is_failed=False)
    assert store.page("one", 0, 10).lines == ["A", "B"]


def test_image_that_is_put_back_without_a_try_counts_no_attempt(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("one"))
    for was_tried, expected in ((False, 1), (True, 2), (False, 2)):
        store.put_back(claimed(store), was_tried)
        assert claimed(store).num_attempts == expected
        store.put_back(Claim(1, "one", 0, "predict", b"", 1, "", ""), was_tried=False)


def test_jobs_take_turns(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("long", *[b"a"] * 4))
    claims = [claimed(store), claimed(store)]
    store.create(new_job("short", b"b", b"b"))
    claims += [claimed(store) for _ in range(4)]
    assert [claim.job for claim in claims] == [1, 1, 2, 1, 2, 1]


def test_images_of_other_tasks_wait(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("one", task="detect"))
    store.create(new_job("two", b"b"))
    assert claimed(store).image == b"b"
    assert store.claim(TASKS) is None
    assert store.waiting_tasks() == ["detect", "predict"]
    other = store.claim(("segment", "detect"))
    assert other is not None
    assert (other.job_id, other.num_attempts) == ("one", 1)
    store.finish(other, "A", is_failed=False)
    assert store.waiting_tasks() == ["predict"]


def test_same_key_is_the_same_job_and_other_content_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path, max_jobs=1)
    store.create(new_job("one", idempotency_key="key"))
    assert store.create(new_job("two", idempotency_key="key")).id == "one"
    with pytest.raises(RequestRefused) as refusal:
        store.create(new_job("two", idempotency_key="key", content_sha256="1"))
    assert code_of(refusal) == JobErrorCode.KEY_REUSED
    store.forget("one")
    assert store.create(new_job("two", idempotency_key="key", content_sha256="1")).id == "two"


def test_job_that_is_forgotten_leaves_nothing_and_its_answers_nowhere_to_go(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("one", b"a", b"b"))
    claim = claimed(store)
    store.forget("one")
    assert not store.finish(claim, "A", is_failed=False)
    for ask in (lambda: store.page("one", 0, 1), lambda: store.forget("one")):
        with pytest.raises(RequestRefused) as refusal:
            ask()
        assert code_of(refusal) == JobErrorCode.NOT_FOUND
    store.close()
    with sqlite3.connect(tmp_path / DATABASE_FILE) as connection:
        for table in ("jobs", "images", "contents", "answers"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()


def test_job_is_forgotten_though_the_file_cannot_be_made_smaller_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(_: Path) -> AbstractContextManager[None]:
        monkeypatch.undo()
        raise RequestRefused(JobErrorCode.STORE_FAILED, "database is locked")

    store = store_in(tmp_path)
    store.create(new_job("one"))
    do = store._do

    def then_fail(*arguments: Any) -> Any:
        found = do(*arguments)
        monkeypatch.setattr("runtime.serving.jobs.store.refusing", locked)
        return found

    monkeypatch.setattr(store, "_do", then_fail)
    store.forget("one")
    assert "stays the file's: database is locked" in caplog.text
    assert store.jobs() == []


def test_jobs_are_forgotten_some_time_after_they_are_done(tmp_path: Path) -> None:
    now = 100.0
    store = store_in(tmp_path, now=lambda: now)
    for name in ("done", "undone"):
        store.create(new_job(name, b"a"))
    store.finish(claimed(store), "A", is_failed=False)
    now += 60
    assert store.forget_finished(older_than_s=61) == 0
    assert store.forget_finished(older_than_s=59) == 1
    assert [status.id for status in store.jobs()] == ["undone"]


def test_pages_end_before_they_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.serving.jobs.store.MAX_PAGE_BYTES", 10)
    store = store_in(tmp_path)
    store.create(new_job("one", *[b"a"] * 4))
    for _ in range(4):
        store.finish(claimed(store), "sixsix", is_failed=False)
    assert [len(store.page("one", after, 100).lines) for after in (0, 2, 3, 4)] == [2, 2, 1, 0]
    store.create(new_job("two", *[b"a"] * 2))
    for _ in range(2):
        store.finish(claimed(store), "ß" * 6, is_failed=False)
    assert len(store.page("two", 0, 100).lines) == 1, "of bytes, not characters"


def test_room_is_bounded_and_comes_back(tmp_path: Path) -> None:
    store = store_in(tmp_path, max_bytes=2**20)
    half = b"x" * 2**19
    store.create(new_job("one", half))
    with pytest.raises(RequestRefused) as refusal:
        store.create(new_job("two", half))
    assert code_of(refusal) == JobErrorCode.STORE_FULL
    store.finish(claimed(store), "A", is_failed=False)
    store.create(new_job("two", half))
    store.forget("two")
    store.close()
    assert (tmp_path / DATABASE_FILE).stat().st_size < 2**18
    for number in range(9):
        store.create(new_job(f"more-{number}"))
    with pytest.raises(RequestRefused) as refusal:
        store.create(new_job("too-many"))
    assert code_of(refusal) == JobErrorCode.TOO_MANY_JOBS


def test_full_disk_is_said_and_nothing_is_kept_by_half(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("one"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, limits[1]))  # of any file: a write beyond it fails
    try:
        with pytest.raises(RequestRefused) as refusal:
            store.create(new_job("two", b"x" * 2**20))
        assert code_of(refusal) in (JobErrorCode.STORE_FULL, JobErrorCode.STORE_FAILED)
        assert str(tmp_path / DATABASE_FILE) in str(refusal.value)
        assert [status.id for status in store.jobs()] == ["one"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    store.create(new_job("two", b"x" * 2**20))
    assert [claimed(store).job for _ in range(2)] == [1, 2]


def test_damaged_file_is_named_and_left_alone_and_a_new_one_works(tmp_path: Path) -> None:
    file = tmp_path / DATABASE_FILE
    file.write_bytes(b"no database " * 500)
    store = store_in(tmp_path)
    for _ in range(2):
        with pytest.raises(RequestRefused, match="is damaged; move it away") as refusal:
            store.create(new_job("one"))
        assert code_of(refusal) == JobErrorCode.STORE_FAILED
    assert file.read_bytes().startswith(b"no database")
    file.rename(tmp_path / "away")
    assert store.create(new_job("one")).id == "one"


def test_answer_of_a_job_whose_file_was_replaced_goes_to_no_other_job(tmp_path: Path) -> None:
    """The new file counts its jobs from 1 again."""
    store = store_in(tmp_path)
    store.create(new_job("one"))
    claim = claimed(store)
    store.close()
    (tmp_path / DATABASE_FILE).rename(tmp_path / "away")
    store.create(new_job("two"))
    assert claimed(store).job == claim.job
    assert not store.finish(claim, "A", is_failed=False)
    store.put_back(claim, was_tried=False)
    page = store.page("two", 0, 10)
    assert (page.lines, page.status.counts["running"]) == ([], 1)


def test_pictures_are_for_the_service_alone_also_in_a_folder_that_others_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store_in(tmp_path).create(new_job("one"))
    files = list(tmp_path.glob(f"{DATABASE_FILE}*"))
    assert len(files) > 1
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}


def test_transaction_that_cannot_be_ended_is_gone_back_upon_and_the_next_one_begins(tmp_path: Path) -> None:
    connection = open_database(tmp_path, MANY_BYTES)

    def write() -> None:
        with transaction(connection):
            connection.execute("PRAGMA defer_foreign_keys = ON")  # so that it is the end that fails
            connection.execute("INSERT INTO images (job, place, state) VALUES (7, 0, 'queued')")

    with pytest.raises(sqlite3.IntegrityError):
        write()
    with transaction(connection):
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (0,)
    connection.close()


def test_file_that_is_damaged_behind_its_first_page_is_noticed_when_that_is_read(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(new_job("one", *[b"x" * 5000] * 200))
    store.close()
    file = tmp_path / DATABASE_FILE
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 8192))
    with pytest.raises(RequestRefused, match="is damaged; move it away") as refusal:
        store.claim(TASKS)
    assert code_of(refusal) == JobErrorCode.STORE_FAILED


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for ask in (lambda: store_in(tmp_path / "file").jobs(), lambda: FolderLock(tmp_path / "file").take()):
        with pytest.raises(RequestRefused, match=r"the folder of VISION_JOBS_DIR cannot be used: .*file") as refusal:
            ask()
        assert code_of(refusal) == JobErrorCode.STORE_FAILED


def test_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE_FILE) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(RequestRefused, match="has version 7, this service writes 1"):
        store_in(tmp_path).jobs()


def test_one_holds_the_lock_until_it_is_released(tmp_path: Path) -> None:
    one, two = FolderLock(tmp_path / "new"), FolderLock(tmp_path / "new")
    assert (one.take(), two.take(), one.take()) == (True, False, True)
    one.release()
    assert two.take()
    two.release()
