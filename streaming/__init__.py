"""From post events to alerts: `score` (stateless) writes the observation log, `assess` (all that remembers) reads it.

Both are pure cores; `streaming.pipeline.run_recording` runs them over files, `streaming.kafka` over Kafka.
"""
