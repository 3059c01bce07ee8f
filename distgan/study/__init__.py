"""A study of realism: people are shown real and made images, one at a time, and say which each is.

`panel` makes the page and the key, `answers` reads what people sent back, and `results` says what it means.
"""
