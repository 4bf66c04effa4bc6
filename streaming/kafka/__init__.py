"""The Kafka shells of `score` and `assess`: everything that talks to a broker, and nothing that judges an account.

`score_worker` reads `posts` and `feedback` as a member of a consumer group (`consumer`), calls the pure core of
`streaming/score.py` and writes entries of the observation log (`log`). `assess_worker` reads that log, feeds it to the
pure core of `streaming/assess` and commits its outputs in transactions (`journal`), while it holds the lease
(`leader`), and starts again from `snapshots`. `worker` runs both in one process, `client` makes the connections and the
topics, and `admin` serves `swarmlight forget` and `swarmlight dlq`. What can go wrong between a process and a broker,
and what is done about it, is in docs/explanation/kafka.md.
"""
