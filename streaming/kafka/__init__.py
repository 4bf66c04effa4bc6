"""The Kafka shells of `score` and `assess`: everything that talks to a broker, and nothing that judges an account.

Records come in as bytes through `source` (a consumer group over `posts` and `feedback`), go through the pure core of
`streaming/score.py`, and leave as entries of the observation log. `assessor` feeds that log to the pure core of
`streaming/assess`, and writes what it says in transactions. What can go wrong between a process and a broker, and what
is done about it, is in docs/explanation/kafka.md.
"""
