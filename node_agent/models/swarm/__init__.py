"""A model from node to node, piece by piece, so that its source sends few copies.

pieces     the table of a model's pieces
store      what of a model is here, and its way to being whole
server     gives pieces to neighbours, while they still come in, too
client     asks neighbours and the source for pieces
bring      a model to this node: pieces from neighbours, and only what they lack from the source
seed       a model to this node: all of it from the source
settings   where models go, and how this node is reached
supply     the agent's side: heeds what the farm offers, says what is here
"""
