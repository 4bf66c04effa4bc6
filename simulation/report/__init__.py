"""The realism report: stylised facts of a real stream beside those of a simulated one, and which of them miss.

`acts` brings both into one form and to one window and kinds of acts; `facts` measures; `compare` bootstraps and judges;
`command` prints and writes the page.
"""
