"""Who acts together: traces of what accounts did, soft edges between accounts, groups and their tests.

Touches (account, object, time) enter in event order; groups with an e-value leave at campaign ticks.
Nothing here reads text: an object is a key, an account is a row.
"""
