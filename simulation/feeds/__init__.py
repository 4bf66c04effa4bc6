"""Ranked feeds in the simulated society: what people are shown, by which algorithm, and what follows from it.

`society` puts feeds into a world of the simulator; `candidates` finds what could be shown to a reader, `scorers` and
`plan` are the algorithms that rank it, `reading` is how a page is read, `exposures` records who saw what. Everything is
drawn from the seeds that are given.
"""
