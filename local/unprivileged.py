"""Run a command as `nobody` when we are root, because PostgreSQL refuses to run as root.

The command keeps one capability, to pass folders that only root may enter (a checkout below
`/root`, say). So no folder's permissions change and no user is added to the machine.
Linux only: elsewhere nobody develops as root.
"""

import ctypes
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

USER = "nobody"

# Numbers of <linux/capability.h> and <linux/prctl.h>.
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs `arguments` as an ordinary user, which we may already be."""
    if os.geteuid() != 0:
        return list(arguments)
    return [sys.executable, "-I", "-S", __file__, *arguments]


def give(path: Path) -> None:
    """Make the user that `command` runs as the owner of one of our own files."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def owner() -> int:
    """The uid that commands run as."""
    return pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot give up root for the database: {os.strerror(number)}")


def _become_nobody(capability: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user = pwd.getpwnam(USER)
    bit = 1 << capability
    _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    header = _Header(CAPABILITY_VERSION_3, 0)
    _check(libc.capset(ctypes.byref(header), (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))))
    _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _capability() -> int:
    """Reading past folders is enough; containers often grant only the wider one."""
    status = Path("/proc/self/status").read_text()
    permitted = int(status.partition("CapPrm:")[2].split()[0], 16)
    return CAP_DAC_READ_SEARCH if permitted >> CAP_DAC_READ_SEARCH & 1 else CAP_DAC_OVERRIDE


if __name__ == "__main__":
    _become_nobody(_capability())
    os.execv(sys.argv[1], sys.argv[1:])
