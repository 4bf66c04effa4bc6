"""Texts of simulated events: a source for people's words and one for machines'.

`base` is what a source has to offer. People's texts come from a corpus (`corpus`) or are given (`given`, of the demo's
people by `chitchat`); machines' may also come from a language model on this machine or behind an endpoint
(`language_models`). `writer` decides for every event whose words it needs, and asks the sources for them.
"""
