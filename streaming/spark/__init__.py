"""`swarmlight run` over archives, its texts read by Apache Spark: `swarmlight batch`.

What is computed is in `streaming.parallel`; here is how Spark carries it. It needs `pyspark` (`swarmlight[batch]`) and
Java.
"""
