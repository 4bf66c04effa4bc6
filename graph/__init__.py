"""Who acts together: traces of what accounts did, soft edges between accounts, groups and their tests.

Traces (time, account, kind, shared object) enter in event order; groups with an e-value leave at campaign ticks.
Nothing here
reads text: a shared object is a key, an account is a row.
"""
