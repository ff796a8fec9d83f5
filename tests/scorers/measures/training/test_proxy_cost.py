from pathlib import Path

import pytest

from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.training.proxy_cost import ProxyCost, time_proxy
from scorers.measures.training.proxy_schedule import ProxySettings
from tests.tiny_models import save_tiny_llama


def test_a_run_is_so_many_trainings_and_so_many_readings() -> None:
    cost = ProxyCost(train=2.0, record=0.5)
    assert cost.seconds(10, ProxySettings(epochs=3, checkpoints=4)) == 10 * (3 * 2.0 + 4 * 0.5)
    half = ProxySettings(epochs=3, checkpoints=4, train_share=0.5)
    assert cost.seconds(10, half) == 10 * (3 * 1.0 + 4 * 0.5)


@pytest.mark.usefixtures("one_thread")
def test_a_proxy_is_timed_and_left_as_it_was(tmp_path: Path) -> None:
    model = save_tiny_llama(tmp_path / "model")
    before = (model / "model.safetensors").read_bytes()
    rows = [RenderedExample([1, 2, 3], [3], [4, 5, n]) for n in range(20)]
    cost = time_proxy(model, rows, ProxySettings(batch_rows=8))
    assert cost.train > 0 and cost.record > 0
    assert (model / "model.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="no row to time"):
        time_proxy(model, [], ProxySettings())
