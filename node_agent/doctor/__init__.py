"""The doctor: is this machine fit to render, and if not, what is to be done?

`gather` looks (facts), the checks judge (facts in, `Finding` out; pure), `examine` puts them
together and says which command comes next.
"""
