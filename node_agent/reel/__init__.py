"""Clips rendered by hand on one machine, over the way that the farm's agents go.

reel        a clip's chunks in a folder beside its film, and the record of them
operations  extend, branch, decode again: from one record to the next, and to a `Start`
run         one render child, one `Start`, every chunk recorded before the child goes on
take        the film and its sidecar
film        the film in another encoding
presets     what the qualities mean, for people
"""
