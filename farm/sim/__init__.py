"""The farm on a virtual clock: the real coordinator and ledger, simulated cards and faults.

`Simulation` runs batches over a fleet, measures, and looks at the ledger that it leaves with the
oracle. Everything follows from the seed: the same one gives the same events, in the same
order.
"""
