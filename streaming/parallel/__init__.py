"""The two stages of `swarmlight run` as an engine for many machines runs them (Apache Flink, Apache Spark).

Records are cut into slices, and each slice into parts by account (`slices`). Whatever reads texts happens part by part,
on as many cores as there are (`part_reading`): the first stage, and ahead of `assess` those texts that it is likely to
ask for. One state machine takes the parts in order and decides (`gathering`). Nothing here knows an engine.
"""
