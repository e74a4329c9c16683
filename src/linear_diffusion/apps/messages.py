"""From the library's words to the command's: in messages, arguments become options.

n_steps=20 means nothing to sampler="exact"  -->  --steps 20 means nothing to --sampler exact
"""

import re
from collections.abc import Iterable
from typing import Any

_OTHER = {
    "n_steps": "steps",
    "n_samples": "n",
    "random_state": "seed",
    "negative_prompts": "negative_prompt",
    "noise_std": "noise",
    "styles": "style",
    "client": "scheduler",
}
"""What the library calls otherwise than the command."""
_OBJECTS = ", or a Sampler"
"""What messages offer that no option can be."""
_NAMES = re.compile(
    r"""(?<![^\s(])                                                        # not inside a path or a prompt
    (?: The\ '(\w+)'\ parameter\ of\ \w+                                 # scikit-learn's words
      | ([a-z]+(?:_[a-z]+)*)=(?!\S*[/\\])("[^"]*"|'[^']*'|\([^()]*\)|[^\s,;:()]*[^\s,;:.()])?
      | ([a-z]+(?:_[a-z]+)+)\b )                                           # a name that is no English word
    """,
    re.VERBOSE,
)
_options: dict[str, str] = {}


def speak_for(parameters: Iterable[Any]) -> None:
    """From here on messages are for a command with these parameters."""
    _options.clear()
    _options.update({p.name: max(p.opts, key=len) for p in parameters if p.opts[0].startswith("-")})


def in_options(message: str) -> str:
    """A message of the library with the options of the running command for arguments.

    Examples
    --------
    >>> from types import SimpleNamespace as Parameter
    >>> speak_for([Parameter(name="steps", opts=["--steps"]), Parameter(name="crop", opts=["--crop"])])
    >>> in_options("n_steps=5 is more than eta=0 takes; resize='crop' has 2.")
    '--steps 5 is more than eta=0 takes; --crop has 2.'
    """
    return _NAMES.sub(_replace, message.replace(_OBJECTS, ""))


def _replace(found: re.Match[str]) -> str:
    name, value = found[1] or found[2] or found[4], (found[3] or "").strip("'\"")
    option = _options.get(name) or _options.get(_OTHER.get(name, ""))
    if name in ("resize", "mode"):
        return _options.get(value.lower(), found[0])
    if option is None:
        return found[0]
    if value.startswith("("):
        value = "x".join(value.strip("()").split(", "))
    return f"{option} {value}" if value and value != "True" else option
