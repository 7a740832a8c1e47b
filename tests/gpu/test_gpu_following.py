"""On a GPU, helios-mini shows what it is asked for, in every profile that the card has."""

import math

import numpy as np
import pytest

from node_agent.models import ModelError
from node_agent.models.mini import MINI
from node_agent.quality.likeness import psnr_db, squares
from node_agent.render.helios.device import check_profile
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.profiles import PROFILES
from tests.mini.asks import ASKS, HOW, asked, colours
from tools.mini.renders import rendered

PSNR_MIN = 20
"""Decibels: bfloat16, and eight bits where there are any, against a CPU's float32."""


@pytest.fixture(scope="module")
def on_cpu():
    return [film for _, film in rendered(HeliosRenderer(MINI, threads=1), ASKS, HOW)]


@pytest.mark.gpu
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_shows_what_was_asked_for(card, on_cpu, name):
    try:
        check_profile(card, PROFILES[name])
    except ModelError as error:
        pytest.skip(str(error))
    renderer = HeliosRenderer(MINI, device=str(card), profile=name)
    for whole, (ask, film) in zip(on_cpu, rendered(renderer, ASKS, HOW), strict=True):
        for chunk in np.split(film, HOW.chunks):
            assert colours(chunk) == asked(ask)
        assert (psnr_db(squares(film, whole) / film.size) or math.inf) > PSNR_MIN
