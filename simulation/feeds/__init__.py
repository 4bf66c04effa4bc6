"""Ranked feeds in the simulated society: what people are shown, by which algorithm, and what follows from it.

`society` puts feeds into a world of the simulator; `candidates` finds what could be shown to a reader, `scorers` and
`plan` are the algorithms that rank it, `reading` is how a page is read, `exposures` records who saw what. `values`
and `raters` rate posts on eight democratic values, `agreement` says how far raters agree; `study` has the feeds of a
published experiment; `explain` says to a reader why a post is shown. Everything is drawn from the seeds given.
"""
