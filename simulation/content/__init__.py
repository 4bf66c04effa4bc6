"""Where the words come from: a plug-in for people's texts and one for machines'.

People's texts are people's: none at all, or a corpus that the user has (`corpus`). Machines' come from a corpus too,
from a local language model (`local`) or from any endpoint that speaks OpenAI's protocol (`endpoint`). `writer` decides
whose words each event needs and asks for them; `personas` holds the prompts.
"""
