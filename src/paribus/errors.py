"""The exception family. Every message says what is wrong, where, the offending value, and the next action.

All of them are ``ValueError``s, so a notebook user can catch one builtin type; ``assert`` is kept for invariants.
"""


class ParibusError(ValueError):
    """Base of every error a user can cause or mend."""


class ConfigError(ParibusError):
    """A setting, a configuration field or a command-line value cannot be used."""


class DataError(ParibusError):
    """A file or a row of data cannot be used."""


class StoreError(ParibusError):
    """The artifact store is damaged, locked, full or unreadable."""


class ComparisonError(ParibusError):
    """Two arms differ in something undeclared, or miss their matching currency."""


class ModelError(ParibusError):
    """A model, checkpoint or tokenizer does not fit what is asked of it."""


class EngineError(ParibusError):
    """An inference engine could not answer."""
