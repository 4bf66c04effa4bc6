"""What one account's posts say about who writes them.

Text enters as posts (`detector.text`), is gathered per account (`detector.account`), and leaves as
log-likelihood ratios in nats (`detector.evidence`) with a threshold a person can stand behind
(`detector.thresholds`). Nothing here imports another folder, reads a clock or does I/O beyond loading weights.
"""
