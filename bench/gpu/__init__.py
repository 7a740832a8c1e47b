"""A GPU against every claim of speed: stock diffusers and ours, in one run of minutes.

    python -m bench.gpu

__main__    the one command: children in order of value, a file that is written anew after each case
bare        the same on a machine that has only Python and torch: other packages come as wheels
cases       what is measured, in order of value
scale       of which size: the 14B model on a GPU, a small one on a CPU
child       the process that measures
stock       diffusers' pipeline
ours        our loop, with each profile
slow_link   every copy to the device N times, to mimic a slower link
parts       where a chunk's time goes: kernels by what they do, and when none is at work
results     the measured cases, and what the card model says of them
acceptance  the promises, and whether the figures keep them
page        docs/gpu.md, from bench/results/gpu
"""
