"""What a card can do with a model: seconds, bytes, joules. `docs/bench.schema.json` is the record.

__main__  the process: measures, and writes the record to standard output
options   what to measure, from the command line
subject   the model that is measured
passes    seconds of each denoising pass, by stage
memory    the peaks of GPU and host memory, as driver and system see them
chunks    whole chunks, in lanes
around    what surrounds a chunk's passes: decode, encode, copies
about     machine, card, versions
figures   a measured number and its spread
"""
