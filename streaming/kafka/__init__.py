"""The Kafka shells around the cores of `score` and `assess`."""
