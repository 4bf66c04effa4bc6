"""The red team: simulated populations against the detector as it ships, and an operator who learns from what it flags.

`run` acts populations out, has the detector read them and counts what it flagged, preset by preset; `adaptive` is the
operator's menu, how it chooses, and the game it plays beside a control that chooses at random; `page` writes what both
found.
"""
