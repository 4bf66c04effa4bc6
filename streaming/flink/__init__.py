"""`swarmlight run` as a job of Apache Flink: on more cores and machines than one, with the same alerts.

What is computed is in `streaming.parallel`, which knows no engine; here is only how Flink carries it. It needs
`apache-flink`, whose pins are older than what training needs: an environment of its own (`make flink-setup`).
"""
