"""``make validate``: our answers beside independent ones, each with a tolerance stated before (``docs/validation.md``).

Nothing is fitted to the files compared here: no code of ours names one of them, and another folder of exports is given
with ``--files FOLDER``. A difference is *explained* only where a test of the file itself shows that it must come (rows
that are missing, values between two rows); anything else fails the command.
"""
