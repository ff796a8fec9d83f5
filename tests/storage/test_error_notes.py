from pathlib import Path

import pytest

from storage.error_notes import partial_folder


def test_a_folder_in_the_making_is_empty_and_gone_unless_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "place" / "made"
    (left := folder.with_name(".made.partial")).mkdir(parents=True)
    (left / "of a killed one").touch()
    with pytest.raises(OSError, match="full") as raised, partial_folder(folder) as partial:
        assert partial == left and not [*partial.iterdir()]
        raise OSError("full")
    assert raised.value.__notes__ == [f"while writing {folder}"] and not left.exists()
    with partial_folder(folder) as partial:
        (partial / "file").touch()
        partial.rename(folder)
    assert [*folder.parent.iterdir()] == [folder] and (folder / "file").exists()
