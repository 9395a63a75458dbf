//! Docker's default: what programs need is allowed, what would reach the machine is refused (`EPERM`). With a capability
//! goes what it is about.

use std::collections::BTreeSet;

use super::{Action, Comparison, Condition, Rule, Rules};

/// Allowed to all, in all ways.
const ALLOWED: &[&str] = &[
    // Files.
    "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 \
     fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync flock fstat fstatfs fsync \
     ftruncate futimesat getcwd getdents getdents64 ioctl lchown link linkat lseek lstat mkdir mkdirat mknod mknodat \
     name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read \
     readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile splice stat statfs statx symlink \
     symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write \
     writev cachestat",
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr \
     lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    "inotify_add_watch inotify_init inotify_init1 inotify_rm_watch",
    // Waiting for several, and events.
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd \
     eventfd2 poll ppoll pselect6 select signalfd signalfd4",
    "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    // Memory.
    "brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync \
     munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages map_shadow_stack",
    // Sockets. A new one is looked at more closely.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg \
     sendto setsockopt shutdown socketpair",
    // Messages, semaphores and memory that are shared.
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget \
     semop semtimedop shmat shmctl shmdt shmget",
    "futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list set_robust_list rseq",
    // Processes, who they are, and their signals.
    "capget capset execve execveat exit exit_group fork getpgid getpgrp getpid getppid getsid gettid kill pause \
     pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace \
     restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
     rt_sigtimedwait rt_tgsigqueueinfo seccomp set_thread_area set_tid_address setpgid setsid sigaltstack tgkill tkill \
     get_thread_area vfork wait4 waitid",
    "getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid setresgid \
     setresuid setreuid setuid",
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self",
    // Time, limits, and what the machine is.
    "adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer \
     time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime \
     timerfd_settime times",
    "getcpu getpriority getrandom getrlimit getrusage ioprio_get ioprio_set sched_get_priority_max \
     sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
     sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit sysinfo uname",
    // Of one kind of processor only.
    "arch_prctl modify_ldt riscv_hwprobe",
];

/// Allowed with a capability.
const WITH: &[(&str, &str)] = &[
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount lookup_dcookie mount mount_setattr \
         move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns statmount syslog \
         umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime settimeofday"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// `CLONE_NEW…` of all kinds: a process of its own namespaces takes `CAP_SYS_ADMIN`.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// The address family that reaches the machine under a virtual one.
const VSOCK: u64 = 40;
/// What programs change of how the kernel treats them: nothing, 32-bit addresses, no random ones; and the question.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// `ENOSYS`: a C library asks for `clone3` first and takes this for an old kernel.
const NOT_THERE: u32 = 38;

/// The profile of a container with these capabilities.
pub(super) fn rules(capabilities: &BTreeSet<String>) -> Rules {
    let allow =
        |name: &str, conditions: Vec<Condition>| Rule { name: name.to_owned(), conditions, action: Action::ALLOW };
    let with = WITH.iter().filter(|(capability, _)| capabilities.contains(*capability)).map(|(_, names)| *names);
    let mut rules: Vec<_> = ALLOWED
        .iter()
        .copied()
        .chain(with)
        .flat_map(str::split_whitespace)
        .map(|name| allow(name, Vec::new()))
        .collect();
    let about = |comparison: Comparison, value: u64| vec![Condition { argument: 0, comparison, value }];
    rules.push(allow("socket", about(Comparison::NotEqual, VSOCK)));
    rules.extend(PERSONALITIES.map(|value| allow("personality", about(Comparison::Equal, value))));
    if !capabilities.contains("CAP_SYS_ADMIN") {
        rules.push(allow("clone", about(Comparison::Masked(NEW_NAMESPACES), 0)));
        // Its flags lie in memory, where no filter sees them.
        rules.push(Rule { name: "clone3".to_owned(), conditions: Vec::new(), action: Action::errno(NOT_THERE) });
    }
    Rules { default: Action::errno(1), rules }
}
