import numpy as np
import pytest
import torch

from scorers.measures.training import projection
from scorers.measures.training.projection import project, signs

CPU = torch.device("cpu")


def test_signs_are_one_or_minus_one_and_as_often() -> None:
    drawn = signs(0, 4000, 100, 0, CPU)
    assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
    assert abs(float(drawn.mean())) < 0.01  # 2.5 standard errors of 400 000 are 0.004
    assert float(drawn.mean(dim=0).abs().max()) < 0.08
    assert float(drawn.mean(dim=1).abs().max()) < 0.5
    products = (drawn.T @ drawn / 4000 - torch.eye(100)).abs()
    assert float(products.max()) < 0.09, "no two columns are alike"


def test_the_hash_is_the_finaliser_of_splitmix() -> None:
    # The first outputs of SplitMix64 from state 0, as its authors and Java give them: they hash
    # GOLDEN, 2 GOLDEN, ... which are the numbers 0, 1, ... here.
    words = signs(0, 3, 64, 0, CPU)
    found = [sum(int(bit > 0) << at for at, bit in enumerate(row)) for row in words.tolist()]
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_neither_blocks_nor_rows_nor_seed_matter_more_than_they_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = torch.randn(5, 300, generator=torch.Generator().manual_seed(0))
    whole = project(vectors, 70, seed=3)
    np.testing.assert_allclose(whole, vectors @ signs(0, 300, 70, 3, CPU), atol=1e-4)
    monkeypatch.setattr(projection, "SIGNS_CPU", 700)
    np.testing.assert_allclose(project(vectors, 70, seed=3), whole, atol=1e-4)
    np.testing.assert_allclose(project(vectors[2:3], 70, seed=3), whole[2:3], atol=1e-4)
    assert torch.equal(signs(250, 50, 70, 3, CPU), signs(0, 300, 70, 3, CPU)[250:])
    assert not torch.equal(signs(0, 9, 70, 3, CPU), signs(0, 9, 70, 4, CPU))


def test_angles_are_kept() -> None:
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(40, 3000, generator=generator)
    second = first + torch.randn(40, 3000, generator=generator)
    true = torch.cosine_similarity(first, second)
    found = torch.cosine_similarity(project(first, 1024, 0), project(second, 1024, 0))
    assert float((true - found).abs().max()) < 4 / 1024**0.5
    assert 0.65 < float(true.mean()) < 0.75
