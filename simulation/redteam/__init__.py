"""The red team: simulated societies against the detector as it ships, and an operator who learns from what it flags.

`tactics` is the operator's menu and how it chooses (pure); `rounds` plays it against the detector beside a control that
chooses at random; `slices` runs the detector on the presets; `page` writes what both found. The detector is a
subprocess, as its users run it.
"""
