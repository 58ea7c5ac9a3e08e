"""A toy world: seeded tools, queries and calls that look like real records.

`lexicon` holds the words, `parameters` what can be asked for, `domains` which
things can be done to which objects, `wording` how people say it, and `world`
draws tools and examples from them and writes the record files.
"""
