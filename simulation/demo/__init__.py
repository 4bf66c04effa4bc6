"""The demo: a small broker, a stream with planted campaigns, the worker, and a panel that shows what it finds.

People are real (`people.py`, messages read at run time), planted accounts were written for this project
(`planted.jsonl`), and what joins them is modelled (`society.py`). `stream.py` puts them in order and knows the truth;
`player.py` sends it, `panel.py` shows the alerts, `show.py` runs it all and ends it all.
"""
