"""The shapes of all answers, for the API's description; each has the example that is shown with it.

No answer is validated or encoded by them (see `answers`). Clients ignore fields that they do not know,
so none forbids further ones.
"""
