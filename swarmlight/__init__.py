"""Swarmlight in Python: read recordings, judge them, look at what was found, and train on one's own.

    import swarmlight

    recording = swarmlight.read("posts.csv", format="table:account=user,at=time,text=body")
    run = swarmlight.assess(recording)
    run.scores.to_pandas().nlargest(10, "total")
    run.report("found.html")

The command line does the same with the same functions; here results are objects instead of files. `to_pandas` needs
pandas, `train` and `evaluate` what the extra `train` installs; everything else runs on the core install.
"""

from detector.errors import SwarmlightError
from swarmlight.coordinated import Coordination, coordinate
from swarmlight.learning import Evaluation, calibrate, evaluate, train
from swarmlight.recordings import Recording, read
from swarmlight.records import Records
from swarmlight.runs import Run, assess, open_run
from swarmlight.texts import TextScore, score

__all__ = [
    "Coordination",
    "Evaluation",
    "Recording",
    "Records",
    "Run",
    "SwarmlightError",
    "TextScore",
    "assess",
    "calibrate",
    "coordinate",
    "evaluate",
    "open_run",
    "read",
    "score",
    "train",
]
