"""How nodes share out the pieces of a model among themselves: pure, for nodes and simulator alike.

bits       sets of pieces, how rare each is, and whose each is
picker     which piece to ask of whom
"""
