"""How far two renderings of a clip are apart, in decibels; more is closer, infinity is equal."""

import math

import numpy as np


def frames_psnr_db(one, other):
    """Of two lists of chunks: PSNR of their frames, peak 255."""
    frames = [np.concatenate([chunk.frames for chunk in chunks]) for chunks in (one, other)]
    return psnr_db(*frames)


def psnr_db(one, other):
    """Of two arrays of frames."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def latents_snr_db(one, other):
    """Of two arrays of latents: the power of `other` over that of their difference."""
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    power = np.mean(np.asarray(other, float) ** 2)
    return math.inf if error == 0 else 10 * math.log10(power / error)


def latents_of(chunks):
    """The latents of a clip's chunks, one after another."""
    return np.concatenate([chunk.negative.latents for chunk in chunks], axis=2)
