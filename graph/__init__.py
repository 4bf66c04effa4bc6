"""Who acts together: traces of what accounts did, soft edges between accounts, groups and their tests.

Traces (time, account, kind, shared object) enter in event order; groups with a q-value leave at campaign
ticks. A shared object is a key, an account is a row; of texts only their vectors of meaning come here.
"""
