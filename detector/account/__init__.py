"""The statistics kept of one account, and the evidence in them.

`AccountStatistics` (struct of arrays, constant memory, decaying) takes every event of an account; its `features` go to
`AccountModel`, which returns two evidence components in nats: text, and what behaviour adds to it.
"""
