"""A start without the garbage collector.

What a handler imports stays for good, but the collector does not know that: it walks through all
of it again and again while it grows, a fifth of the time to the first answer. So it rests from the
import of this module, the first of a handler's imports, to `over`, the handler's last line.
"""

import gc

gc.disable()


def over() -> None:
    """Let the collector work again, on what is made from now on: the rest is set aside."""
    gc.freeze()
    gc.enable()
