import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorers.measures.models import devices
from scorers.measures.models.devices import (
    borrowed_device,
    read_core_limit,
    resolve_autocast,
    resolve_device,
    resolve_dtype,
)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(devices, "usable_devices", lambda: ["cuda:0", "cuda:1"])
    devices._free_devices.cache_clear()
    yield
    devices._free_devices.cache_clear()


@pytest.mark.usefixtures("two_gpus")
def test_pieces_of_work_have_a_device_each_and_a_third_waits() -> None:
    held: list[str] = []
    most: list[tuple[str, ...]] = []

    def work() -> None:
        with borrowed_device() as device:
            assert resolve_device() == device
            held.append(device)
            time.sleep(0.1)
            most.append(tuple(sorted(held)))
            held.remove(device)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most, key=len) == ("cuda:0", "cuda:1") and len(most) == 5


@pytest.mark.usefixtures("two_gpus")
def test_what_borrows_within_a_borrowing_gets_the_same_device() -> None:
    with borrowed_device() as outer, borrowed_device() as inner:
        assert outer == inner == "cuda:0"
    assert resolve_device() == "cuda:0"  # the first one there is, when none is borrowed
    assert resolve_device("cuda:1") == "cuda:1"


@pytest.mark.usefixtures("two_gpus")
def test_a_device_is_given_back_after_an_error() -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"), borrowed_device():
            raise RuntimeError("broken")


@pytest.mark.parametrize(("native", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_device_multiplies_it(
    native: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: native)
    assert resolve_dtype("auto", "cpu") == wanted
    assert resolve_dtype("auto", "cuda:0") == "bfloat16"
    assert resolve_dtype("bfloat16", "cpu") == "bfloat16"
    assert resolve_dtype("float32", "cuda:0") == "float32"
    with pytest.raises(ValueError, match="dtype must be"):
        resolve_dtype("float16")


def test_weights_that_are_cast_in_each_pass_stay_float32_on_a_processor() -> None:
    assert resolve_autocast("auto", "cpu") == "float32"
    assert resolve_autocast("auto", "cuda:0") == "bfloat16"
    assert resolve_autocast("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", None), ("200000 100000", 2), ("50000 100000", 1), ("150000 100000", 1)],
)
def test_the_limit_of_a_container_is_read(text: str, cores: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert read_core_limit(tmp_path / "cpu.max") == cores
    assert read_core_limit(tmp_path / "none") is None
