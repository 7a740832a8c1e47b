"""What a profile loses: the same seeds rendered with two, and how like they are.

clips      which clips are rendered: prompts and seeds
measure    two clips' chunks go in, their likeness comes out; pure
film       both beside each other, and what differs
pair       the two reels of a clip, from their files to a likeness and a film
report     the record of a comparison, and its tables
"""
