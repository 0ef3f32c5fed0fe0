"""Ties a decoder process down: no network, no files to write, no other programs, bounded memory.

Each hold is taken where the machine allows it, and named. Seccomp is loaded through
libseccomp, which every Debian has; namespaces need a kernel and a container that let ordinary users make them.
"""

import ctypes
import errno
import os
import resource
import signal

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CLONE_THREAD = 0x00010000
_UNKNOWN = -1
# What no decoder needs, and what somebody who took one over would reach for first.
_DENIED = (
    ("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"),
    ("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"),
    ("kill", "tkill", "tgkill", "pidfd_send_signal", "setrlimit", "memfd_create", "memfd_secret"),
    ("unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    ("mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "creat", "truncate", "ftruncate", "openat2"),
    ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "chroot", "pivot_root"),
    ("mount", "umount2", "open_tree", "move_mount", "fsopen", "unshare", "setns", "bpf", "perf_event_open"),
    ("io_uring_setup", "userfaultfd", "keyctl", "add_key", "request_key", "init_module", "finit_module"),
    ("shmget", "shmat", "msgget", "semget", "mq_open", "kexec_load", "reboot", "swapon", "quotactl", "acct"),
)


def leave_network() -> list[str]:
    """Leave the network by namespaces of our own, as far as that is allowed; before any thread is started.

    Returns:
        What holds: ``namespaces``, or nothing.
    """
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None:
        return []
    for flags in (_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC, _CLONE_NEWNET | _CLONE_NEWIPC):
        if unshare(flags) == 0:
            return ["namespaces"]
    return []


def confine(memory_bytes: int) -> list[str]:
    """Bound the memory, forbid files and, by seccomp, what else no decoder needs; after all imports.

    Args:
        memory_bytes: address space, which counts what a result takes.

    Returns:
        What holds: ``memory``, and ``seccomp`` where libseccomp is installed and the kernel takes the filter.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its parent closes the socket
    return ["memory", *(["seccomp"] if _filter_calls() else [])]


def _filter_calls() -> bool:
    try:
        import pyseccomp as lib  # noqa: PLC0415 - where libseccomp is not installed, its import raises
    except (ImportError, RuntimeError, OSError, AttributeError):
        return False
    denied = lib.ERRNO(errno.EPERM)
    calls = lib.SyscallFilter(lib.ALLOW)

    def add(action: int, name: str, *arguments: object) -> None:
        number = lib.resolve_syscall(lib.Arch.NATIVE, name)
        if number != _UNKNOWN:  # what this libseccomp has never heard of
            calls.add_rule(action, number, *arguments)

    try:
        for name in (name for group in _DENIED for name in group):
            add(denied, name)
        for name, argument in (("open", 1), ("openat", 2)):
            for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT):
                add(denied, name, lib.Arg(argument, lib.MASKED_EQ, flag, flag))
        # Threads, but no processes. The newer call has its flags in memory, where no filter can read them.
        add(denied, "clone", lib.Arg(0, lib.MASKED_EQ, _CLONE_THREAD, 0))
        add(lib.ERRNO(errno.ENOSYS), "clone3")
        # Limits are read by libraries; only its own time is set, anew for each image.
        add(denied, "prlimit64", lib.Arg(1, lib.NE, resource.RLIMIT_CPU), lib.Arg(2, lib.NE, 0))
        calls.load()
    except OSError:
        return False
    return True
