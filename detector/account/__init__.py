"""What is kept of one account, and what it says.

`AccountStatistics` (struct of arrays, constant memory, forgetting) takes every event of an account; its `features`
go to `AccountModel`, which answers with two parts in nats: text, and what behaviour adds to it.
"""
