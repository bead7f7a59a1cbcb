"""Files of the work folder appear whole or not at all, and failures are one line."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tasks.errors import WorkFolderError
from tasks.work.folder import Folder


def write(folder: Folder, name: str, content: bytes) -> None:
    with folder.writing(name) as handle:
        handle.write(content)


def write_half(folder: Folder, name: str) -> None:
    with folder.writing(name) as handle:
        handle.write(b"half of the n")
        handle.flush()
        raise RuntimeError("killed")


def read(folder: Folder, name: str) -> bytes:
    with folder.reading(name) as handle:
        return handle.read()


def one_line(error: pytest.ExceptionInfo[WorkFolderError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_file_is_written_and_replaced(folder: Folder) -> None:
    write(folder, "deep/er/file", b"old")
    write(folder, "deep/er/file", b"new")
    assert read(folder, "deep/er/file") == b"new"
    assert folder.names("deep/er") == ["file"]
    assert folder.exists("deep/er/file")
    assert folder.sub("deep").exists("er/file")


def test_an_exception_while_writing_leaves_the_old_file_alone(folder: Folder) -> None:
    write(folder, "part", b"old and complete")
    with pytest.raises(RuntimeError, match="killed"):
        write_half(folder, "part")
    assert read(folder, "part") == b"old and complete"
    assert folder.names() == ["part"]


def test_an_exception_while_writing_leaves_no_new_file(folder: Folder) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        write_half(folder, "new/part")
    assert not folder.exists("new/part")
    assert folder.names("new") == []


def test_errors_of_the_block_are_not_blamed_on_the_folder(folder: Folder) -> None:
    with pytest.raises(ValueError, match="not a vector"), folder.writing("part"):
        raise ValueError("not a vector")


def test_names_are_of_files_only_and_empty_without_folder(folder: Folder) -> None:
    write(folder, "b", b"")
    write(folder, "a", b"")
    write(folder, "c/d", b"")
    assert folder.names() == ["a", "b"]
    assert folder.names("nowhere") == []


def test_what_is_stored_is_listed_with_its_size_and_time(folder: Folder) -> None:
    before = time.time() - 10
    write(folder, "b/c", b"12345")
    write(folder, "a", b"")
    found = folder.stored()
    assert [(file.name, file.bytes) for file in found] == [("a", 0), ("b/c", 5)]
    assert all(before < file.changed < time.time() + 10 for file in found)
    assert [file.name for file in folder.stored("b")] == ["b/c"]
    assert folder.stored("nowhere") == []
    assert folder.sub("nowhere").stored() == []


def test_empty_folders_are_removed_and_no_others(folder: Folder) -> None:
    for name in ("deep/er/a", "deep/er/still/b", "deep/c"):
        write(folder, name, b"1")
    for name in ("deep/er/a", "deep/er/still/b"):
        folder.remove(name)
    folder.remove_empty("deep")
    assert folder.find("") == ["deep/c"]
    if folder.is_local:
        assert os.listdir(folder.path("deep")) == ["c"]
    folder.remove("deep/c")
    folder.remove_empty("deep")
    folder.remove_empty("nowhere")
    assert folder.find("") == []
    if folder.is_local:
        assert not os.path.exists(folder.path("deep"))


def test_removing_twice_is_no_error(folder: Folder) -> None:
    write(folder, "a", b"1")
    folder.remove("a")
    folder.remove("a")
    assert not folder.exists("a")


def test_json_keeps_every_character(folder: Folder) -> None:
    value = {"b": "红色连衣裙 😀", "a": [1, 2.5, None]}
    folder.write_json("value.json", value)
    assert folder.read_json("value.json") == value


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json_is_named(folder: Folder, content: bytes) -> None:
    write(folder, "value.json", content)
    with pytest.raises(WorkFolderError, match=r"value.json is not JSON") as error:
        folder.read_json("value.json")
    one_line(error)


def test_a_missing_file_is_named(folder: Folder) -> None:
    with pytest.raises(WorkFolderError, match=r"cannot read .*nothing"):
        read(folder, "nothing")


def test_a_work_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(WorkFolderError, match=r"cannot write .*--work-dir") as error:
        write(Folder(str(tmp_path / "work")), "a/b", b"")
    one_line(error)


def test_an_unknown_kind_of_url() -> None:
    with pytest.raises(WorkFolderError, match="cannot open nosuch://place") as error:
        Folder("nosuch://place").exists("a")
    one_line(error)


def test_an_unwritable_work_folder(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir(mode=0o500)
    if os.access(tmp_path / "work", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(WorkFolderError, match=r"Permission denied.*--work-dir") as error:
        write(Folder(str(tmp_path / "work")), "a", b"")
    one_line(error)


def test_a_read_only_work_folder(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(remount, capture_output=True, check=False).returncode:
        pytest.skip("remounting is not allowed here")
    with pytest.raises(WorkFolderError, match=r"Read-only file system.*--work-dir") as error:
        write(Folder(str(small_disk)), "a", b"")
    one_line(error)


def test_a_full_disk_leaves_the_old_file_alone(small_disk: Path) -> None:
    folder = Folder(str(small_disk))
    write(folder, "part", b"old")
    with pytest.raises(WorkFolderError, match=r"No space left on device.*make room") as error:
        write(folder, "part", b"x" * 4_000_000)
    one_line(error)
    assert read(folder, "part") == b"old"
    assert folder.names() == ["part"]
