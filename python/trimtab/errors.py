"""The exceptions of trimtab: one base class, and each also the built-in that fits."""

__all__ = [
    "ConfigError",
    "LogError",
    "ModelError",
    "NoEndpoints",
    "ScenarioError",
    "TokenError",
    "TrimtabError",
]


class TrimtabError(Exception):
    """Whatever goes wrong in trimtab."""

    __module__ = "trimtab"


class NoEndpoints(TrimtabError, ConnectionError):  # noqa: N818 - said as users say it
    """The fleet is empty, or all of it is draining."""

    __module__ = "trimtab"


class ConfigError(TrimtabError, ValueError):
    """A setting or an endpoint that cannot be used; the message names it."""

    __module__ = "trimtab"


class LogError(TrimtabError, ValueError):
    """A log that nothing can be learned from; the message names the file and what it lacks."""

    __module__ = "trimtab"


class ModelError(TrimtabError, ValueError):
    """A model that cannot be read; the message names the file and what is wrong with it."""

    __module__ = "trimtab"


class ScenarioError(TrimtabError, ValueError):
    """A simulation that cannot be run; the message names the file, line or key, and the rule."""

    __module__ = "trimtab"


class TokenError(TrimtabError, ValueError):
    """A token that is not open in this balancer."""

    __module__ = "trimtab"
