"""The transformer's weights, where there is no room for all of them on the card.

Each block is one contiguous slab. Some blocks stay on the device; the others wait in the host's
memory and visit it, in turn, through two or three slots, copied by a stream of their own while the
blocks before them are at work.

    plan       which blocks stay and which travel, and the memory that takes; arithmetic only
    layout     a block's tensors as views of one slab
    sockets    where a module's tensors are plugged in
    host       the host's slabs, of exactly their size, page-locked for a GPU
    streams    the order between copies and arithmetic, by events and never by waiting
    streamer   slots, and who visits which of them when
    homes      a place for each tensor of a transformer
    files      weights from safetensors files into their places
"""
