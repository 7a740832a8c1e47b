"""A clip's random numbers: its own, resumable, and correlated within blocks as asked."""

import pytest
import torch

from node_agent.render.helios.noise import ClipNoise, block_factor


def test_the_state_carries_the_stream_on():
    noise = ClipNoise(seed=5)
    noise.gaussian((3,))
    resumed = ClipNoise.from_state(noise.state)
    assert torch.equal(resumed.gaussian((100,)), noise.gaussian((100,)))


def test_a_fork_leaves_its_source_where_it_was():
    noise = ClipNoise(seed=5)
    first = noise.fork().gaussian((10,))
    assert torch.equal(noise.gaussian((10,)), first)


@pytest.mark.parametrize("gamma", [1 / 3, 0.3333, 0.1])
def test_blocks_have_variance_one_and_covariance_minus_gamma(gamma):
    noise = ClipNoise(seed=1).blocks((1, 16, 9, 64, 64), (2, 2), gamma)
    tiles = noise.view(16 * 9, 32, 2, 32, 2).permute(0, 1, 3, 2, 4).reshape(-1, 4)
    expected = torch.eye(4) * (1 + gamma) - gamma
    assert torch.allclose(torch.cov(tiles.T), expected, atol=0.01)


def test_blocks_of_the_real_models_cancel_out():
    noise = ClipNoise(seed=1).blocks((1, 4, 2, 8, 8), (2, 2), 1 / 3)
    assert torch.nn.functional.avg_pool2d(noise[0], 2).abs().max() < 1e-3


def test_the_factor_is_the_stock_one_wherever_that_exists():
    for gamma in (0.3333, 0.33, 0.2, 0.0):
        covariance = torch.eye(4) * (1 + gamma) - torch.ones(4, 4) * gamma + torch.eye(4) * 1e-8
        assert torch.equal(block_factor(4, gamma), torch.linalg.cholesky(covariance))
