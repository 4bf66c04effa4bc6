"""The red team: simulated populations against the detector as it ships, and an operator who learns from what it flags.

`measure` acts populations out, has the detector read them and counts what it flagged, preset by preset; `menu` is what
an operator may change and how it chooses; `adaptive` is the game that it plays beside a control that chooses at random;
`page` writes what both found.
"""
